export function connectOrigins(settings: {
  readonly NEXT_PUBLIC_WS_URL?: string;
  readonly NEXT_PUBLIC_TOKEN_URL?: string;
}): string[];
export function policyFor(html: string, origins: readonly string[]): string;
export function withPolicy(html: string, origins: readonly string[]): string;
