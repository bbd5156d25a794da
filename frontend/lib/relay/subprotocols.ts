/** Returns the subprotocols to offer: the relay's own, and the token where there is one. */
export function subprotocols(token: string | null): readonly string[] {
  return token === null ? ["hints.v1"] : ["hints.v1", `bearer.${token}`];
}
