/** Links that mails carry: each good once, for half an hour, for what it was made for. */
import type { Clock } from '../lib/clock.ts';
import { randomId } from '../lib/ids.ts';
import type { ArtifactName, Artifacts } from '../storage/artifacts.ts';

/** What a link is for, and what it knows. */
export interface LinkPurposes {
  /** A new password. `generation`: the user's when the link was made; `email`: where it was sent. */
  readonly recover: { readonly userId: string; readonly generation: string; readonly email: string };
  /** A confirmed address. */
  readonly verify: {
    readonly userId: string;
    readonly email: string;
    /** There where it is to be a new one: what the user had, and was, when it was asked for. */
    readonly change?: { readonly from?: string | undefined; readonly generation: string };
  };
  /** A new account. */
  readonly register: { readonly email: string };
}

export interface MailLinks {
  /** @returns the token for the URL */
  create<P extends keyof LinkPurposes>(purpose: P, about: LinkPurposes[P]): Promise<string>;
  /** What a token is about, while it is good. */
  find<P extends keyof LinkPurposes>(purpose: P, token: string): Promise<LinkPurposes[P] | undefined>;
  /** What a change uses up that a token is good for. */
  proof(purpose: keyof LinkPurposes, token: string): ArtifactName;
}

/** Milliseconds. */
export const LINK_LIFE = 30 * 60_000;

export function createMailLinks(artifacts: Artifacts, clock: Clock): MailLinks {
  const kind = (purpose: string): string => `MailLink:${purpose}`;
  return {
    async create(purpose, about) {
      const token = randomId(32);
      await artifacts.save(kind(purpose), token, about, { expiresAt: clock.now() + LINK_LIFE });
      return token;
    },
    async find<P extends keyof LinkPurposes>(purpose: P, token: string) {
      const found = await artifacts.find(kind(purpose), token);
      return found && found.consumedAt === undefined
        ? (found.payload as unknown as LinkPurposes[P])
        : undefined;
    },
    proof: (purpose, token) => ({ kind: kind(purpose), id: token }),
  };
}
