import { TokenError } from "@/lib/relay/token-keeper";

interface Question {
  readonly signal: AbortSignal;
  readonly answer: (token: string) => void;
  readonly refuse: (error: unknown) => void;
}

/** An application that gives tokens when the test says so. */
export class FakeTokens {
  readonly questions: Question[] = [];

  readonly getToken = (signal: AbortSignal): Promise<string> =>
    new Promise((answer, refuse) => {
      this.questions.push({ signal, answer, refuse });
    });

  get question(): Question {
    const question = this.questions.at(-1);
    if (question === undefined) throw new Error("nobody has asked for a token");
    return question;
  }

  async give(token: string): Promise<void> {
    this.question.answer(token);
    await settled();
  }

  async fail(error: unknown = new TokenError("It answered 503.")): Promise<void> {
    this.question.refuse(error);
    await settled();
  }
}

/** Returns a token that says when it ends, in ms, and its holder's role. */
export function jwt(expiresAtMs: number, claims: object = {}): string {
  const part = (value: object) =>
    btoa(JSON.stringify(value)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  return `${part({ alg: "none" })}.${part({ exp: expiresAtMs / 1_000, ...claims })}.c2ln`;
}

/** Lets promises that are settled tell those who wait for them. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 5; turn += 1) await Promise.resolve();
}
