/** The engine's own pages, as the server wants them shown; `http/` renders them. */
import type { KoaContextWithOIDC } from 'oidc-provider';

/** An error that cannot be sent back to the client. */
export interface ErrorPage {
  readonly status: number;
  /** OAuth error code. */
  readonly code: string;
  readonly description: string | undefined;
}

export interface ProviderPages {
  error(ctx: KoaContextWithOIDC, page: ErrorPage): Promise<void> | void;
  /** Asks whether to sign out; posts `decision=logout|stay` and `csrf` to `action`. */
  logout(
    ctx: KoaContextWithOIDC,
    page: { action: string; csrf: string; clientName: string | undefined; userId: string | undefined },
  ): Promise<void> | void;
  /** The end of the logout page's way, whichever was chosen there. */
  signedOut(
    ctx: KoaContextWithOIDC,
    page: {
      clientName: string | undefined;
      stayed: boolean;
      /** Names of the clients that are being told (back-channel logout). */
      apps: readonly string[];
    },
  ): Promise<void> | void;
  /** Posts an answer to the client, at once where scripts run; `action`, `inputs` and `script` are HTML. */
  formPost(
    ctx: KoaContextWithOIDC,
    page: { clientName: string; action: string; inputs: string; script: string; status: number },
  ): Promise<void> | void;
  /** Path of the page for an interaction, below the issuer's path. */
  interactionPath(uid: string): string;
}
