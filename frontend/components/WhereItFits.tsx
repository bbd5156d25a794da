/** A word beside an icon, seen whole or not at all; always read out. */
export function WhereItFits({ children }: { readonly children: string }) {
  // Without room, what stands before the word pushes it into a second line, which is cut off.
  return (
    <span className="flex h-5 min-w-0 flex-wrap overflow-hidden before:h-5 before:w-px">
      <span className="whitespace-nowrap">{children}</span>
    </span>
  );
}
