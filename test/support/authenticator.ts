/** A security key in software: answers what the script of a page would ask a browser (WebAuthn, ES256, attestation "none"). */
import { createHash, generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

const b64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64url');
const sha256 = (data: string | Uint8Array): Buffer => createHash('sha256').update(data).digest();

/** The few shapes of CBOR (RFC 8949) that are needed: a head of a major type and a length below 65536. */
function head(major: number, length: number): Buffer {
  if (length < 24) return Buffer.of((major << 5) | length);
  return length < 256
    ? Buffer.of((major << 5) | 24, length)
    : Buffer.of((major << 5) | 25, length >> 8, length & 0xff);
}
const integer = (value: number): Buffer => (value >= 0 ? head(0, value) : head(1, -1 - value));
const bytes = (value: Uint8Array): Buffer => Buffer.concat([head(2, value.length), value]);
const text = (value: string): Buffer => Buffer.concat([head(3, value.length), Buffer.from(value)]);
const map = (...entries: (readonly [Buffer, Buffer])[]): Buffer =>
  Buffer.concat([head(5, entries.length), ...entries.flat()]);

const USER_PRESENT = 0x01;
const USER_VERIFIED = 0x04;
const ATTESTED = 0x40;

export class Authenticator {
  readonly #origin: string;
  readonly #rpId: string;
  readonly #id = randomBytes(16);
  readonly #key: { publicKey: KeyObject; privateKey: KeyObject } = generateKeyPairSync('ec', {
    namedCurve: 'P-256',
  });
  /** Who it is for, as it was told when it was made. */
  #userHandle: string | undefined;
  /** Signatures so far; undefined: it does not count. */
  counter: number | undefined;

  constructor(origin: string, { counts = true, rpId = new URL(origin).hostname } = {}) {
    this.#origin = origin;
    this.#rpId = rpId;
    this.counter = counts ? 0 : undefined;
  }

  get id(): string {
    return b64(this.#id);
  }

  #data(flags: number, rest: Uint8Array = Buffer.alloc(0)): Buffer {
    if (this.counter !== undefined) this.counter++;
    const counter = Buffer.alloc(4);
    counter.writeUInt32BE(this.counter ?? 0);
    return Buffer.concat([sha256(this.#rpId), Buffer.of(flags), counter, rest]);
  }

  #client(type: string, challenge: string): Buffer {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.#origin, crossOrigin: false }));
  }

  #answer(response: Record<string, unknown>): string {
    const { id } = this;
    return JSON.stringify({ id, rawId: id, type: 'public-key', clientExtensionResults: {}, response });
  }

  /** Answers `navigator.credentials.create`, with the options as the page has them. */
  create(options: string): string {
    const { challenge, user } = JSON.parse(options) as { challenge: string; user: { id: string } };
    this.#userHandle = user.id;
    const { x = '', y = '' } = this.#key.publicKey.export({ format: 'jwk' });
    const coordinate = (value: string): Buffer => bytes(Buffer.from(value, 'base64url'));
    // COSE (RFC 9053): kty EC2, alg ES256, crv P-256, x, y.
    const key = map(
      [integer(1), integer(2)],
      [integer(3), integer(-7)],
      [integer(-1), integer(1)],
      [integer(-2), coordinate(x)],
      [integer(-3), coordinate(y)],
    );
    const length = Buffer.of(0, this.#id.length);
    const authData = this.#data(
      USER_PRESENT | ATTESTED,
      Buffer.concat([Buffer.alloc(16), length, this.#id, key]),
    );
    const attestation = map(
      [text('fmt'), text('none')],
      [text('attStmt'), map()],
      [text('authData'), bytes(authData)],
    );
    return this.#answer({
      clientDataJSON: b64(this.#client('webauthn.create', challenge)),
      attestationObject: b64(attestation),
      transports: ['usb'],
    });
  }

  /**
   * Answers `navigator.credentials.get`.
   * @param verified whether it has asked its user for more than a touch; as it is told by default
   */
  get(
    options: string,
    { verified, userHandle = this.#userHandle }: { verified?: boolean; userHandle?: string } = {},
  ): string {
    const { challenge, userVerification } = JSON.parse(options) as Record<
      'challenge' | 'userVerification',
      string
    >;
    const client = this.#client('webauthn.get', challenge);
    const flags = (verified ?? userVerification === 'required') ? USER_PRESENT | USER_VERIFIED : USER_PRESENT;
    const data = this.#data(flags);
    return this.#answer({
      clientDataJSON: b64(client),
      authenticatorData: b64(data),
      userHandle,
      signature: b64(sign('sha256', Buffer.concat([data, sha256(client)]), this.#key.privateKey)),
    });
  }
}
