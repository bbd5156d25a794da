import { backoffMs } from "./backoff";
import type { Connection } from "./connection";
import type { TokenTrouble } from "./connection-state";
import type { Environment } from "./environment";
import type { MessageOf } from "./messages";
import { type GetToken, type TokenError, TokenKeeper } from "./token-keeper";

export interface AccessOptions {
  readonly token: string | null;
  readonly getToken: GetToken | null;
  /** The connection that is to go by the newest token; null while there is none. */
  readonly connection: () => Connection | null;
  /** Called when the connection can't take the new token, so that another is needed in its place. */
  readonly onReplace: () => void;
  /** Called when the token is there that was waited for. */
  readonly onReady: () => void;
  /** Called when it is not to be had, with the delay in ms after which it makes sense to ask again. */
  readonly onFailure: (error: TokenError, retryInMs: number) => void;
  readonly onTrouble: (trouble: TokenTrouble | null) => void;
}

/**
 * Sees to it that connections go by a token that is good, for as long as one is to be had.
 *
 * Ask it with `mustWait` before connecting; tell it what the relay says about tokens.
 */
export class Access {
  readonly #environment: Environment;
  readonly #options: AccessOptions;
  readonly #keeper: TokenKeeper;
  #awaited = false;

  constructor(environment: Environment, options: AccessOptions) {
    this.#environment = environment;
    this.#options = options;
    this.#keeper = new TokenKeeper(environment, {
      token: options.token,
      getToken: options.getToken,
      onToken: this.#onToken,
      onFailure: this.#onFailure,
    });
  }

  /** The newest token. */
  get token(): string | null {
    return this.#keeper.token;
  }

  /** Whether there is anybody to ask for another. */
  get renewable(): boolean {
    return this.#keeper.canAsk;
  }

  /** Tells whether a token has to come before connecting makes sense; then it asks for one. */
  mustWait(): boolean {
    this.#awaited = this.#keeper.mustAsk;
    if (this.#awaited) this.#keeper.ask();
    return this.#awaited;
  }

  /**
   * Takes a token that the person has brought. Returns whether the present connection takes it over;
   * else it is time to connect anew.
   */
  bring(token: string): boolean {
    this.#awaited = false;
    this.#keeper.hold(token);
    this.#options.onTrouble(null);
    const connection = this.#options.connection();
    if (!connection?.greeted || connection.token === null) return false;
    this.#present();
    return true;
  }

  /** Notes that the relay has greeted. */
  greeted(connection: Connection, expiresAt: number | null | undefined): void {
    if (connection.token === this.token) this.#keeper.accepted(inMs(expiresAt));
    this.#options.onTrouble(null);
    // One that came while the connection was being made.
    this.#present();
  }

  /** Notes that the relay took the token that it was offered. */
  refreshed(connection: Connection, expiresAt: number | null | undefined): void {
    if (connection.offered === null) return;
    connection.token = connection.offered;
    connection.offered = null;
    this.greeted(connection, expiresAt);
  }

  /** Takes in an error of the relay's own: it may be about the token that was offered. */
  heard(connection: Connection, error: MessageOf<"error">): void {
    if (error.ref || connection.offered === null) return;
    if (error.code === "unauthorized") this.declined(connection, error.text);
    // A good token, of somebody else: that is for another connection to find out.
    if (error.code === "forbidden") this.#options.onReplace();
  }

  /** Notes that the relay keeps to the token it has: the connection stays until that one ends. */
  declined(connection: Connection, detail: string): void {
    const { offered } = connection;
    if (offered === null) return;
    connection.offered = null;
    if (offered !== this.token) {
      // Meanwhile there is a newer one.
      this.#present();
      return;
    }
    this.#keeper.declined(connection.token);
    const { failures } = this.#keeper;
    if (this.renewable) {
      this.#keeper.askIn(backoffMs(failures, () => this.#environment.random()));
    }
    this.#options.onTrouble({ kind: "not_taken", detail, failures });
  }

  /** Notes that the relay says that the token has ended. */
  expired(): void {
    this.#keeper.spend();
  }

  /** After a token was refused: whether there is one that wasn't, or somebody to ask for one. */
  canRecover(refused: string | null): boolean {
    if (this.token !== refused) return true;
    // One that was given for this very try is as good as they get.
    if (!this.renewable || this.#keeper.untried) return false;
    this.#keeper.spend();
    return true;
  }

  /** Asks nothing by itself until the next greeting; what was asked already goes on. */
  rest(): void {
    this.#awaited = false;
    this.#keeper.rest();
  }

  close(): void {
    this.#keeper.close();
  }

  /** Has the present connection go by the newest token. */
  #present(): void {
    const connection = this.#options.connection();
    const { token } = this;
    if (!connection?.greeted || token === null) return;
    if (token === connection.token || token === connection.offered) return;
    connection.offered = token;
    if (connection.transport === "socket") connection.send({ type: "refresh", token });
    else this.#options.onReplace();
  }

  #onToken = (): void => {
    this.#options.onTrouble(null);
    if (this.#awaited) this.#options.onReady();
    else this.#present();
  };

  #onFailure = (error: TokenError, retryInMs: number): void => {
    const { failures } = this.#keeper;
    this.#options.onTrouble({ kind: "not_given", detail: error.message, failures });
    if (this.#awaited) {
      this.#awaited = false;
      this.#options.onFailure(error, retryInMs);
    } else if (this.#options.connection()?.greeted) this.#keeper.askIn(retryInMs);
  };
}

function inMs(seconds: number | null | undefined): number | null {
  return seconds == null ? null : seconds * 1_000;
}
