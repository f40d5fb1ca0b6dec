/** Everything long-lived that lies sealed: the context that each is sealed with, and where it lies. */

/** What a sealed value is and where it belongs, by the row's key. */
export const sealContext = {
  familyGrant: (id: string): string => `family:${id}:grant`,
  familyToken: (id: string): string => `family:${id}:token`,
  /** Sealed under the old refresh token first. */
  familySuccessor: (): string => 'successor',
  session: (uid: string): string => `session:${uid}`,
  signingKey: (kid: string): string => `signing-key:${kid}`,
  totp: (userId: string): string => `totp:${userId}`,
  mail: (id: string): string => `mail:${id}`,
  webhook: (id: string): string => `webhook:${id}`,
};

/** A column that is sealed anew when the sealing key changes; what lives for a day at most is not. */
export interface SealedColumn {
  readonly table: 'families' | 'sessions' | 'signing_keys' | 'totp_secrets' | 'webhooks';
  readonly key: string;
  readonly column: string;
  readonly context: (key: string) => string;
}

export const sealedColumns: readonly SealedColumn[] = [
  { table: 'signing_keys', key: 'kid', column: 'sealed', context: sealContext.signingKey },
  { table: 'totp_secrets', key: 'user_id', column: 'sealed', context: sealContext.totp },
  { table: 'webhooks', key: 'id', column: 'secret', context: sealContext.webhook },
  { table: 'sessions', key: 'uid', column: 'payload', context: sealContext.session },
  { table: 'families', key: 'id', column: 'grant_payload', context: sealContext.familyGrant },
  { table: 'families', key: 'id', column: 'token_payload', context: sealContext.familyToken },
  { table: 'families', key: 'id', column: 'successor', context: sealContext.familySuccessor },
];
