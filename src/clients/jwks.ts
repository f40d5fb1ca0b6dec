/** A client's public keys. Used by `client-schema.ts` and `client-rules.ts`. */
import { createPublicKey, type webcrypto } from 'node:crypto';
import { z } from 'zod';

/** How a client may sign its assertions (RFC 7523; RFC 9700, 2.5: asymmetric). */
export const assertionAlgs = ['RS256', 'PS256', 'ES256', 'EdDSA'] as const;

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k'];
const CURVES = ['P-256', 'P-384', 'P-521', 'Ed25519'];

/** NUL and halves of surrogate pairs, as JSON writes them: PostgreSQL reads no document with them. */
const UNREADABLE = /\\u(?:0000|d[89a-f])/i;

/** A public key (RFC 7517, 4). */
const publicJwk = z
  .looseObject({
    kty: z.enum(['RSA', 'EC', 'OKP'], { error: 'must be RSA, EC or OKP' }),
    kid: z.string().min(1).max(256).optional(),
    use: z.string().optional(),
    alg: z.string().optional(),
    crv: z.enum(CURVES, { error: `must be one of ${CURVES.join(', ')}` }).optional(),
  })
  .superRefine((jwk, ctx) => {
    const secret = PRIVATE_MEMBERS.filter((member) => member in jwk);
    for (const member of secret) {
      ctx.addIssue({ code: 'custom', path: [member], message: 'is private: send the public key only' });
    }
    if (secret.length > 0) return;
    if (UNREADABLE.test(JSON.stringify(jwk))) {
      ctx.addIssue({ code: 'custom', message: 'must not hold control characters' });
      return;
    }
    const fault = keyFault(jwk);
    if (fault) ctx.addIssue({ code: 'custom', message: fault });
  });

/** A parsed public key. */
export type PublicJwk = z.output<typeof publicJwk>;

function keyFault(jwk: PublicJwk): string | undefined {
  try {
    const key = createPublicKey({ key: jwk as webcrypto.JsonWebKey, format: 'jwk' });
    const bits = key.asymmetricKeyDetails?.modulusLength;
    return bits !== undefined && bits < 2048 ? 'must have at least 2048 bits' : undefined;
  } catch {
    return 'is not a valid public key';
  }
}

/** A set of public keys (RFC 7517, 5). */
export const publicJwks = z.strictObject({
  keys: z
    .array(publicJwk)
    .min(1, { error: 'must hold at least one key' })
    .max(20, { error: 'must hold at most 20 keys' })
    .superRefine((keys, ctx) => {
      const kids = keys.map(({ kid }) => kid);
      for (const [index, kid] of kids.entries()) {
        if (kid !== undefined && kids.indexOf(kid) !== index) {
          ctx.addIssue({ code: 'custom', path: [index, 'kid'], message: 'is used twice' });
        }
      }
    }),
});

/** Whether the key can verify a client assertion signed with `alg` (with any that we take, when left out). */
export function verifiesAssertion(jwk: PublicJwk, alg?: (typeof assertionAlgs)[number]): boolean {
  if (jwk.use !== undefined && jwk.use !== 'sig') return false;
  const fitting: readonly string[] =
    jwk.kty === 'RSA'
      ? ['RS256', 'PS256']
      : jwk.crv === 'P-256'
        ? ['ES256']
        : jwk.crv === 'Ed25519'
          ? ['EdDSA']
          : [];
  const own = jwk.alg === 'Ed25519' ? 'EdDSA' : jwk.alg;
  return fitting.some((each) => (alg ?? each) === each && (own ?? each) === each);
}
