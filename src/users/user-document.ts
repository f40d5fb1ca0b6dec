/** A user as the admin API takes one: validated as a whole, every fault with its pointer. */
import { z } from 'zod';
import { type Fault, faultsOf, isObject, mergePatch } from '../lib/documents.ts';
import { PortcullisError } from '../lib/errors.ts';
import { claimsSchema, line } from './claims.ts';
import { lengthPolicy, passwordFaultText, type PasswordPolicy } from './password-policy.ts';

/** Every member that a caller may send. */
export const userSchema = z.strictObject({
  username: line(128)
    .regex(/^[^\p{Cf}\p{Co}\p{Cn}]*$/u, { error: 'must not hold invisible characters' })
    .regex(/^\S(?:.*\S)?$/su, { error: 'must not begin or end with a space' }),
  email: z
    .email({ error: 'must be an e-mail address' })
    .max(254, { error: 'must have at most 254 characters' })
    .optional(),
  email_verified: z.boolean({ error: 'must be true or false' }).default(false),
  name: line(256).optional(),
  claims: claimsSchema.default({}),
  enabled: z.boolean({ error: 'must be true or false' }).default(true),
  password: z.string({ error: 'must be text' }).optional().meta({ writeOnly: true }),
});

/** A whole, valid document. `password` is there only when it is to be set. */
export type UserInput = z.output<typeof userSchema>;

/** Members that answers carry and callers may not send. */
const READ_ONLY = new Set(['id', 'sub', 'created_at', 'updated_at']);

/**
 * Validates the document of a new user and fills in defaults. A null member counts as left out.
 * @throws PortcullisError `invalid_user` (422) with every fault
 */
export const parseUser = (input: unknown, policy = lengthPolicy): UserInput =>
  validate(mergePatch({}, input), policy);

/**
 * Applies a JSON merge patch (RFC 7396) to a valid document: null takes a member away. An e-mail address that
 * changes is no longer verified, unless the patch says so; likewise a phone number.
 * @throws PortcullisError `invalid_user` (422) with every fault
 */
export function mergeUser(
  existing: Omit<UserInput, 'password'>,
  patch: unknown,
  policy = lengthPolicy,
): UserInput {
  if (!isObject(patch)) throw refusal([{ pointer: '', detail: 'must be an object' }]);
  const { email_verified: emailVerified, claims, ...rest } = existing;
  const { phone_number_verified: phoneVerified, ...otherClaims } = claims;
  const newEmail = 'email' in patch && patch['email'] !== existing.email;
  const claimsPatch = isObject(patch['claims']) ? patch['claims'] : {};
  const newPhone = 'phone_number' in claimsPatch && claimsPatch['phone_number'] !== claims.phone_number;
  return validate(
    mergePatch(
      {
        ...rest,
        email_verified: emailVerified && !newEmail,
        claims: newPhone || phoneVerified === undefined ? otherClaims : claims,
      },
      patch,
    ),
    policy,
  );
}

/**
 * Checks a password that is to be set for a user.
 * @throws PortcullisError `invalid_user` (422), pointer `/password`
 */
export function requireGoodPassword(
  password: unknown,
  owner: PasswordOwner,
  policy = lengthPolicy,
): asserts password is string {
  const faults = passwordFaults(password, owner, policy);
  if (faults.length > 0) throw refusal(faults);
}

type PasswordOwner = Parameters<PasswordPolicy['check']>[1];

function passwordFaults(password: unknown, owner: PasswordOwner, policy: PasswordPolicy): Fault[] {
  const pointer = '/password';
  if (typeof password !== 'string') return [{ pointer, detail: 'must be text' }];
  const fault = policy.check(password, owner);
  return fault ? [{ pointer, detail: passwordFaultText(fault, policy) }] : [];
}

function validate(input: unknown, policy: PasswordPolicy): UserInput {
  const result = userSchema.safeParse(input);
  const faults = result.success ? [] : faultsOf(result.error).map(explain);
  const document = isObject(input) ? input : {};
  const bad = (member: string): boolean => faults.some(({ pointer }) => pointer.split('/')[1] === member);
  if (document['password'] !== undefined && !bad('password')) {
    const { username, email } = document;
    faults.push(
      ...passwordFaults(
        document['password'],
        {
          username: typeof username === 'string' ? username : undefined,
          email: typeof email === 'string' ? email : undefined,
        },
        policy,
      ),
    );
  }
  if (document['email_verified'] === true && document['email'] === undefined) {
    faults.push({ pointer: '/email_verified', detail: 'needs an email' });
  }
  const claims = isObject(document['claims']) ? document['claims'] : {};
  if (claims['phone_number_verified'] === true && claims['phone_number'] === undefined) {
    faults.push({ pointer: '/claims/phone_number_verified', detail: 'needs a phone_number' });
  }
  if (!result.success || faults.length > 0) throw refusal(faults);
  return result.data;
}

/** Says of a read-only member that it is one. */
const explain = (fault: Fault): Fault =>
  READ_ONLY.has(fault.pointer.slice(1)) ? { ...fault, detail: 'is set by the server' } : fault;

const refusal = (errors: readonly Fault[]): PortcullisError =>
  new PortcullisError('invalid_user', 422, 'The user document is not valid.', { errors });
