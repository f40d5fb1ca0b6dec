/** Passkeys and security keys (WebAuthn), alone or after a password: what a browser is asked, and whether its answer is right. */
import { isIP } from 'node:net';
import type { AuthenticationResponseJSON, RegistrationResponseJSON } from '@simplewebauthn/server';
import type { PasskeyRecord } from '../storage/second-factors.ts';
import type { UserRecord } from '../storage/user-record.ts';

/** What a browser is asked, as JSON for the script of the page. */
export type PasskeyOptions = string;

export interface Passkeys {
  /** Whether browsers take them here: a relying party is a domain (WebAuthn, 5.1.3). */
  readonly possible: boolean;
  /** For a new one, unlike those that the user has. */
  creation(
    user: Pick<UserRecord, 'id' | 'username' | 'name'>,
    existing: readonly PasskeyRecord[],
    challenge: string,
  ): PasskeyOptions;
  /** For one of those that the user has. */
  request(existing: readonly PasskeyRecord[], challenge: string): PasskeyOptions;
  /** For any one that was made here: whose it is, the answer says. */
  requestOfAnybody(challenge: string): PasskeyOptions;
  /** The id of the credential that an answer claims to be of. */
  claimed(answer: string): string | undefined;
  /** What there is to keep of a new one; undefined when the answer is not right. */
  created(
    answer: string,
    challenge: string,
  ): Promise<Pick<PasskeyRecord, 'id' | 'publicKey' | 'counter' | 'transports'> | undefined>;
  /**
   * Which one answered, and its counter; undefined when the answer is not right.
   * @param alone the user whom it says all of: the key must have verified them, and name them
   */
  answered(
    answer: string,
    challenge: string,
    existing: readonly PasskeyRecord[],
    alone?: Pick<UserRecord, 'id'>,
  ): Promise<{ readonly id: string; readonly counter: number } | undefined>;
}

/** Milliseconds that a browser waits for somebody. */
const TIMEOUT = 120_000;
/** COSE: ES256, EdDSA, RS256. */
const ALGORITHMS = [-7, -8, -257];
/** Names of transports that are kept. */
const TRANSPORT = /^[a-z-]{1,20}$/;

/** It takes a quarter of a second and thirty megabytes: loaded when the first passkey is used. */
const library = () => import('@simplewebauthn/server');

/** A user's handle: what a key names its user by (WebAuthn, 5.4.3). */
const handleOf = ({ id }: Pick<UserRecord, 'id'>): string => Buffer.from(id).toString('base64url');

const descriptors = (passkeys: readonly PasskeyRecord[]) =>
  passkeys.map(({ id, transports }) => ({ type: 'public-key', id, transports }));

function parsed<T>(answer: string): T | undefined {
  try {
    const value = JSON.parse(answer) as unknown;
    return typeof value === 'object' && value !== null ? (value as T) : undefined;
  } catch {
    return undefined;
  }
}

/** @param issuer whose origin the pages are on */
export function createPasskeys(issuer: string): Passkeys {
  const { hostname, origin } = new URL(issuer);
  return {
    possible: isIP(hostname.replace(/^\[|\]$/g, '')) === 0,
    creation: (user, existing, challenge) =>
      JSON.stringify({
        challenge,
        rp: { id: hostname, name: hostname },
        user: {
          id: handleOf(user),
          name: user.username,
          displayName: user.name ?? user.username,
        },
        pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
        excludeCredentials: descriptors(existing),
        authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
        attestation: 'none',
        timeout: TIMEOUT,
      }),
    request: (existing, challenge) =>
      JSON.stringify({
        challenge,
        rpId: hostname,
        allowCredentials: descriptors(existing),
        userVerification: 'preferred', // the password is the other factor
        timeout: TIMEOUT,
      }),
    requestOfAnybody: (challenge) =>
      JSON.stringify({
        challenge,
        rpId: hostname,
        allowCredentials: [], // the same for everybody: it tells nothing of who has one
        userVerification: 'required', // the key is one factor, what unlocks it the other
        timeout: TIMEOUT,
      }),
    claimed(answer) {
      const id = parsed<{ id?: unknown }>(answer)?.id;
      return typeof id === 'string' ? id : undefined;
    },
    async created(answer, challenge) {
      const response = parsed<RegistrationResponseJSON>(answer);
      if (!response) return undefined;
      const { verifyRegistrationResponse } = await library();
      const verified = await verifyRegistrationResponse({
        response,
        expectedChallenge: challenge,
        expectedOrigin: origin,
        expectedRPID: hostname,
        requireUserVerification: false,
        supportedAlgorithmIDs: ALGORITHMS,
      }).catch(() => undefined); // it throws for whatever is wrong with an answer
      const credential = verified?.registrationInfo?.credential;
      if (!credential) return undefined;
      const { id, publicKey, counter, transports = [] } = credential;
      return {
        id,
        publicKey,
        counter,
        transports: transports.filter((name) => TRANSPORT.test(name)).slice(0, 8),
      };
    },
    async answered(answer, challenge, existing, alone) {
      const response = parsed<AuthenticationResponseJSON>(answer);
      const passkey = existing.find(({ id }) => id === response?.id);
      if (!response || !passkey) return undefined;
      // WebAuthn, 7.2, step 6: where nobody said who they are, the key must.
      if (alone && response.response?.userHandle !== handleOf(alone)) return undefined;
      const { verifyAuthenticationResponse } = await library();
      const verified = await verifyAuthenticationResponse({
        response,
        expectedChallenge: challenge,
        expectedOrigin: origin,
        expectedRPID: hostname,
        requireUserVerification: alone !== undefined,
        credential: {
          id: passkey.id,
          publicKey: new Uint8Array(passkey.publicKey),
          counter: passkey.counter,
        },
      }).catch(() => undefined);
      if (!verified?.verified) return undefined;
      return { id: passkey.id, counter: verified.authenticationInfo.newCounter };
    },
  };
}
