import { generateKeyPairSync } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { clientContext } from '../../src/clients/client-context.ts';
import { clientSchema } from '../../src/clients/client-schema.ts';
import { type ClientContext, mergeClient, parseClient } from '../../src/clients/metadata.ts';
import { PortcullisError } from '../../src/lib/errors.ts';

const context = clientContext({
  apis: [
    { identifier: 'https://id.example.com/api', scopes: [] },
    { identifier: 'https://api.example.com', scopes: [{ name: 'orders:read' }, { name: 'orders:write' }] },
    { identifier: 'urn:portcullis:admin', scopes: [{ name: 'clients:read' }] },
  ],
  callerScopes: ['clients:read', 'clients:write'],
  fetchAllow: ['hooks.internal', 'keys.internal:8080'],
});
const selfService: ClientContext = { ...context, mayBeFirstParty: false, mayGrantScope: () => false };

const CB = 'https://app.example.com/cb';
const web = { redirect_uris: [CB] };
const native = { application_type: 'native', redirect_uris: ['com.example.app:/cb'] };
const machine = { grant_types: ['client_credentials'] };
const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

const jwk = (type: 'ec' | 'rsa' | 'ed25519', options: object = {}, extra: object = {}) => {
  const { publicKey } = generateKeyPairSync(type as 'ec', options as { namedCurve: string });
  return { ...publicKey.export({ format: 'jwk' }), ...extra };
};
const p256 = jwk('ec', { namedCurve: 'P-256' }, { kid: 'a' });
const p384 = jwk('ec', { namedCurve: 'P-384' });
const ed25519 = jwk('ed25519');
const rsa = jwk('rsa', { modulusLength: 2048 });
const shortRsa = jwk('rsa', { modulusLength: 1024 });
const signer = { ...machine, token_endpoint_auth_method: 'private_key_jwt' };

const refusal = (work: () => unknown): PortcullisError => {
  try {
    work();
  } catch (error) {
    if (error instanceof PortcullisError) return error;
    throw error;
  }
  throw new Error('was not refused');
};
const pointers = (work: () => unknown): string[] => {
  const error = refusal(work);
  expect(error).toMatchObject({ code: 'invalid_client_metadata', status: 422 });
  return (error.details.errors ?? []).map(({ pointer }) => pointer);
};

describe('a client document', () => {
  it('is complete after validation, with the defaults of the documentation', () => {
    expect(parseClient(web, context)).toEqual({
      contacts: [],
      application_type: 'web',
      enabled: true,
      first_party: false,
      redirect_uris: [CB],
      post_logout_redirect_uris: [],
      allowed_origins: [],
      grant_types: ['authorization_code'],
      response_types: ['code'],
      scope: 'openid profile email address phone',
      token_endpoint_auth_method: 'client_secret_basic',
      subject_type: 'public',
      id_token_signed_response_alg: 'RS256',
      claims_in_id_token: false,
      require_auth_time: false,
      require_pkce: true,
      require_state: false,
      require_pushed_authorization_requests: false,
      dpop_bound_access_tokens: false,
      fapi: false,
      backchannel_logout_session_required: false,
      refresh_tokens_end_with_session: false,
      serves: [],
    });
  });

  it('keeps every member that it may hold', () => {
    const whole = {
      client_id: 'shop.web-1',
      client_name: 'Shop 👨‍👩‍👧',
      client_uri: 'https://shop.example.com',
      logo_uri: 'https://shop.example.com/logo.png',
      policy_uri: 'https://shop.example.com/policy',
      tos_uri: 'http://shop.example.com/tos',
      contacts: ['ops@example.com'],
      application_type: 'web',
      enabled: false,
      first_party: true,
      redirect_uris: [CB, 'http://localhost:5173/cb', 'http://[::1]/cb'],
      post_logout_redirect_uris: ['https://app.example.com/'],
      allowed_origins: ['https://app.example.com', 'http://localhost:5173'],
      initiate_login_uri: 'https://app.example.com/login',
      grant_types: ['authorization_code', 'refresh_token', 'client_credentials', DEVICE],
      response_types: ['code'],
      scope: 'openid offline_access orders:read',
      token_endpoint_auth_method: 'private_key_jwt',
      token_endpoint_auth_signing_alg: 'ES256',
      jwks: { keys: [{ ...p256, use: 'sig', alg: 'ES256' }] },
      subject_type: 'public',
      id_token_signed_response_alg: 'ES256',
      introspection_signed_response_alg: 'ES256',
      claims_in_id_token: true,
      default_max_age: 0,
      require_auth_time: true,
      require_pkce: false,
      require_state: true,
      require_pushed_authorization_requests: true,
      dpop_bound_access_tokens: true,
      fapi: false,
      backchannel_logout_uri: 'https://app.example.com/bcl',
      backchannel_logout_session_required: true,
      serves: ['https://api.example.com'],
      access_token_ttl: 1,
      refresh_token_idle_ttl: 60,
      refresh_token_max_ttl: 60,
      refresh_tokens_end_with_session: false,
      rotation_grace: 60,
      max_families_per_user: 3,
    };
    expect(parseClient(whole, context)).toEqual(whole);
    const { jwks: _, ...others } = { ...whole, jwks_uri: 'https://app.example.com/jwks' };
    expect(Object.keys(clientSchema.shape).sort()).toEqual([...Object.keys(others), 'jwks'].sort());
  });

  it.each<[string, object]>([
    ['a public web client', { ...web, token_endpoint_auth_method: 'none' }],
    ['a native client on a private-use scheme', native],
    ['a native client on a loopback port', { ...native, redirect_uris: ['http://127.0.0.1/cb'] }],
    ['a native client on a claimed https URI', { ...native, redirect_uris: [CB] }],
    ['a native client with a key of its own', { ...native, ...signer, jwks: { keys: [p256] } }],
    ['a service', machine],
    ['a gateway that only introspects', { grant_types: [], serves: ['https://api.example.com'] }],
    ['a device', { grant_types: [DEVICE, 'refresh_token'], token_endpoint_auth_method: 'none' }],
    ['an RSA key', { ...signer, jwks: { keys: [rsa] } }],
    ['an Ed25519 key', { ...signer, token_endpoint_auth_signing_alg: 'EdDSA', jwks: { keys: [ed25519] } }],
    ['keys at a URL', { ...signer, jwks_uri: 'https://keys.example.com/jwks' }],
    [
      'keys at a URL that may be fetched over http',
      { ...signer, jwks_uri: 'http://keys.internal:8080/jwks' },
    ],
    ['an admin client', { ...machine, scope: 'clients:read clients:write' }],
    ['an empty scope', { ...web, scope: '' }],
    ['null members', { ...web, client_name: null, require_pkce: null }],
  ])('may be %s', (_, document) => {
    expect(() => parseClient(document, context)).not.toThrow();
  });

  it('asks for nothing by default when no user signs in', () => {
    expect(parseClient(machine, context)).toMatchObject({ scope: '', response_types: [] });
  });

  it('is of a public client by default when it is native', () => {
    expect(parseClient(native, context).token_endpoint_auth_method).toBe('none');
  });

  it('requires state by itself where PKCE is off', () => {
    expect(parseClient({ ...web, require_pkce: false }, context).require_state).toBe(true);
  });
});

const redirects = (...uris: unknown[]) => ({ redirect_uris: uris });

describe('a redirect URI', () => {
  it.each([
    'http://app.example.com/cb',
    'http://localhost.evil.example/cb',
    'http://localhost@evil.example/cb',
    'http://127.0.0.1.nip.io/cb',
    'http://127.1/cb',
    'http://0.0.0.0/cb',
    'https://app.example.com/cb#',
    'https://app.example.com/cb#fragment',
    'https://*.example.com/cb',
    'https://%2a.example.com/cb',
    'https://app.example.com/*',
    'https://user@app.example.com/cb',
    'https://user:pass@app.example.com/cb',
    'https:app.example.com/cb',
    'https:///cb',
    'https:\\\\app.example.com\\cb',
    'https://app.example.com/c b',
    ' https://app.example.com/cb',
    'https://app.example.com/cb\n',
    'https://app.exämple.com/cb',
    'https://app.example.com:99999/cb',
    '/cb',
    'app.example.com/cb',
    '',
    'javascript:alert(1)',
    'JavaScript:alert(1)',
    'data:text/html,x',
    'vbscript:x',
    'blob:https://app.example.com/x',
    'file:///etc/passwd',
    'about:blank',
    'myapp:/cb',
    'com.example.app:',
    'urn:ietf:wg:oauth:2.0:oob',
    `https://app.example.com/${'x'.repeat(2048)}`,
  ])('is never %j, in no member and for no type of client', (uri) => {
    expect(pointers(() => parseClient(redirects(CB, uri), context))).toEqual(['/redirect_uris/1']);
    expect(pointers(() => parseClient({ ...native, redirect_uris: [uri] }, context))).toEqual([
      '/redirect_uris/0',
    ]);
    expect(pointers(() => parseClient({ ...web, post_logout_redirect_uris: [uri] }, context))).toEqual([
      '/post_logout_redirect_uris/0',
    ]);
  });
});

describe('a client document is refused', () => {
  it.each<[string, unknown]>([
    ['', 'text'],
    ['', [web]],
    ['/redirect_uris', {}],
    ['/redirect_uris', redirects()],
    ['/redirect_uris', { redirect_uris: CB }],
    ['/redirect_uris/0', redirects(7)],
    ['/redirect_uris/1', redirects(CB, CB)],
    ['/redirect_uris/0', redirects('com.example.app:/cb')],
    ['/redirect_uris/0', { ...native, redirect_uris: ['https://localhost/cb'] }],
    ['/redirect_uris/0', { ...native, redirect_uris: ['https://127.0.0.1:8443/cb'] }],
    ['/redirect_uris', redirects(...Array.from({ length: 101 }, (_, i) => `${CB}/${i}`))],
    ['/post_logout_redirect_uris/0', { ...web, post_logout_redirect_uris: ['com.example.app:/out'] }],
    ['/client_id', { ...web, client_id: '' }],
    ['/client_id', { ...web, client_id: '../x' }],
    ['/client_id', { ...web, client_id: '..' }],
    ['/client_id', { ...web, client_id: 'a/b' }],
    ['/client_id', { ...web, client_id: 'x'.repeat(129) }],
    ['/client_name', { ...web, client_name: '' }],
    ['/client_name', { ...web, client_name: 'a\r\nb' }],
    ['/client_name', { ...web, client_name: 'bank\u202eelpmaxe' }],
    ['/client_name', { ...web, client_name: 'x'.repeat(201) }],
    ['/client_uri', { ...web, client_uri: 'javascript:alert(1)' }],
    ['/logo_uri', { ...web, logo_uri: 'data:image/png;base64,x' }],
    ['/policy_uri', { ...web, policy_uri: 'policy.html' }],
    ['/tos_uri', { ...web, tos_uri: 'https://u:p@example.com' }],
    ['/contacts/0', { ...web, contacts: ['nobody'] }],
    ['/application_type', { ...web, application_type: 'browser' }],
    ['/enabled', { ...web, enabled: 'yes' }],
    ['/grant_types/0', { ...web, grant_types: ['password'] }],
    ['/grant_types/0', { ...web, grant_types: ['implicit'] }],
    ['/grant_types/1', { ...web, grant_types: ['authorization_code', 'authorization_code'] }],
    ['/grant_types', { grant_types: ['refresh_token'] }],
    ['/grant_types', { grant_types: ['client_credentials', 'refresh_token'] }],
    ['/grant_types', { ...machine, token_endpoint_auth_method: 'none' }],
    ['/grant_types', { ...native, grant_types: ['authorization_code', 'client_credentials'] }],
    ['/response_types', { ...web, response_types: ['token'] }],
    ['/response_types', { ...web, response_types: ['code', 'id_token'] }],
    ['/response_types', { ...machine, response_types: ['code'] }],
    ['/response_types', { ...web, response_types: [] }],
    ['/token_endpoint_auth_method', { ...web, token_endpoint_auth_method: 'client_secret_jwt' }],
    ['/token_endpoint_auth_method', { ...native, token_endpoint_auth_method: 'client_secret_basic' }],
    ['/token_endpoint_auth_method', { ...native, token_endpoint_auth_method: 'client_secret_post' }],
    [
      '/token_endpoint_auth_signing_alg',
      { ...signer, jwks: { keys: [p256] }, token_endpoint_auth_signing_alg: 'HS256' },
    ],
    ['/token_endpoint_auth_signing_alg', { ...web, token_endpoint_auth_signing_alg: 'ES256' }],
    ['/jwks', signer],
    ['/jwks_uri', { ...signer, jwks: { keys: [p256] }, jwks_uri: 'https://k.example.com' }],
    ['/jwks/keys', { ...signer, jwks: { keys: [] } }],
    ['/jwks/keys', { ...signer, jwks: {} }],
    ['/jwks/keys', { ...signer, jwks: { keys: [p384] } }],
    ['/jwks/keys', { ...signer, jwks: { keys: [{ ...p256, use: 'enc' }] } }],
    ['/jwks/keys', { ...signer, jwks: { keys: [p256] }, token_endpoint_auth_signing_alg: 'RS256' }],
    [
      '/jwks/keys',
      { ...signer, jwks: { keys: [{ ...rsa, alg: 'RS256' }] }, token_endpoint_auth_signing_alg: 'PS256' },
    ],
    ['/jwks/keys/0/d', { ...signer, jwks: { keys: [{ ...p256, d: 'x' }] } }],
    ['/jwks/keys/0/p', { ...signer, jwks: { keys: [{ ...rsa, p: 'x' }] } }],
    ['/jwks/keys/0/kty', { ...signer, jwks: { keys: [{ kty: 'oct', k: 'c2VjcmV0' }] } }],
    ['/jwks/keys/0', { ...signer, jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'AA', y: 'AA' }] } }],
    ['/jwks/keys/0', { ...signer, jwks: { keys: [shortRsa] } }],
    ['/jwks/keys/0/crv', { ...signer, jwks: { keys: [{ kty: 'EC', crv: 'secp256k1', x: 'AA', y: 'AA' }] } }],
    ['/jwks/keys/1/kid', { ...signer, jwks: { keys: [p256, p256] } }],
    ['/jwks/kid', { ...signer, jwks: { keys: [p256], kid: 'x' } }],
    ['/jwks_uri', { ...signer, jwks_uri: 'http://keys.example.com/jwks' }],
    ['/jwks_uri', { ...signer, jwks_uri: 'http://keys.internal:8081/jwks' }],
    ['/jwks_uri', { ...signer, jwks_uri: 'file:///etc/passwd' }],
    ['/jwks_uri', { ...signer, jwks_uri: 'https://k.example.com/#x' }],
    ['/subject_type', { ...web, subject_type: 'pairwise' }],
    ['/id_token_signed_response_alg', { ...web, id_token_signed_response_alg: 'none' }],
    ['/id_token_signed_response_alg', { ...web, id_token_signed_response_alg: 'HS256' }],
    ['/scope', { ...web, scope: 'openid unheard-of' }],
    ['/scope', { ...web, scope: 'openid  profile' }],
    ['/scope', { ...web, scope: 'a"b' }],
    ['/scope', { ...web, scope: ['openid'] }],
    ['/scope', { ...web, scope: 'openid clients:read' }],
    ['/serves/0', { ...web, serves: ['https://nowhere.example.com'] }],
    ['/serves/0', { ...machine, serves: ['urn:portcullis:admin'] }],
    ['/serves', { ...web, token_endpoint_auth_method: 'none', serves: ['https://api.example.com'] }],
    ['/allowed_origins/0', { ...web, allowed_origins: ['*'] }],
    ['/allowed_origins/0', { ...web, allowed_origins: ['null'] }],
    ['/allowed_origins/0', { ...web, allowed_origins: ['https://app.example.com/'] }],
    ['/allowed_origins/0', { ...web, allowed_origins: ['https://app.example.com:443'] }],
    ['/allowed_origins/0', { ...web, allowed_origins: ['https://*.example.com'] }],
    ['/allowed_origins/0', { ...web, allowed_origins: ['http://app.example.com'] }],
    ['/allowed_origins/0', { ...web, allowed_origins: ['https://APP.example.com'] }],
    ['/require_pkce', { ...web, token_endpoint_auth_method: 'none', require_pkce: false }],
    ['/require_pkce', { ...native, require_pkce: false }],
    ['/require_state', { ...web, require_pkce: false, require_state: false }],
    [
      '/refresh_tokens_end_with_session',
      {
        ...web,
        grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'authorization_code'],
        refresh_tokens_end_with_session: true,
      },
    ],
    ['/rotation_grace', { ...web, rotation_grace: 61 }],
    ['/rotation_grace', { ...web, rotation_grace: -1 }],
    ['/access_token_ttl', { ...web, access_token_ttl: 0 }],
    ['/access_token_ttl', { ...web, access_token_ttl: '600' }],
    ['/access_token_ttl', { ...web, access_token_ttl: 1.5 }],
    ['/refresh_token_max_ttl', { ...web, refresh_token_max_ttl: 1e12 }],
    ['/default_max_age', { ...web, default_max_age: -1 }],
    ['/max_families_per_user', { ...web, max_families_per_user: -1 }],
    ['/backchannel_logout_uri', { ...web, backchannel_logout_uri: 'http://app.example.com/bcl' }],
    ['/backchannel_logout_uri', { ...web, backchannel_logout_uri: 'https://app.example.com/bcl#x' }],
    ['/initiate_login_uri', { ...web, initiate_login_uri: 'http://hooks.internal/login' }],
    ['/initiate_login_uri', { ...web, initiate_login_uri: 'javascript:alert(1)' }],
    ['/client_secret', { ...web, client_secret: 'chosen' }],
    ['/created_at', { ...web, created_at: 0 }],
    ['/sector_identifier_uri', { ...web, sector_identifier_uri: 'https://x.example.com' }],
    ['/__proto__', JSON.parse(`{"redirect_uris":["${CB}"],"__proto__":{"first_party":true}}`)],
    ['/a~1b', { ...web, 'a/b': 1 }],
  ])('at %s: %j', (pointer, document) => {
    expect(pointers(() => parseClient(document, context))).toEqual([pointer]);
  });

  it('with every fault at once, those between members too', () => {
    const document = {
      client_name: '',
      application_type: 'native',
      redirect_uris: ['javascript:alert(1)', 'https://ok.example.com'],
      grant_types: ['authorization_code', 'client_credentials'],
      require_pkce: false,
      scope: 'openid unheard-of',
      serves: ['https://nowhere.example.com'],
      rotation_grace: 99,
      colour: 'red',
    };
    expect(pointers(() => parseClient(document, context)).sort()).toEqual([
      '/client_name',
      '/colour',
      '/grant_types',
      '/redirect_uris/0',
      '/require_pkce',
      '/rotation_grace',
      '/scope',
      '/serves',
      '/serves/0',
    ]);
  });

  it('without a fault that only follows from another', () => {
    expect(pointers(() => parseClient({ grant_types: ['password'] }, context))).toEqual(['/grant_types/0']);
  });

  it('and repeats no value that the caller sent', () => {
    const { details } = refusal(() => parseClient({ ...web, client_secret: 'hunter2', hunter3: 1 }, context));
    expect(JSON.stringify(details.errors?.map(({ detail }) => detail))).not.toMatch(/hunter/);
  });
});

describe('what only some callers may give', () => {
  const forbidden = (work: () => unknown) => {
    const error = refusal(work);
    expect(error).toMatchObject({ code: 'insufficient_scope', status: 403 });
    return error.details.errors?.map(({ pointer }) => pointer);
  };

  it('are admin scopes: to be held by the caller', () => {
    const document = { ...machine, scope: 'clients:read keys:write' };
    expect(forbidden(() => parseClient(document, context))).toEqual(['/scope']);
  });

  it('is being first-party: by admins', () => {
    expect(forbidden(() => parseClient({ ...web, first_party: true }, selfService))).toEqual([
      '/first_party',
    ]);
  });

  it('is refused as a fault among others when the document is not valid anyway', () => {
    expect(pointers(() => parseClient({ first_party: true }, selfService))).toEqual([
      '/redirect_uris',
      '/first_party',
    ]);
  });

  it('needs no permission again when a patch leaves it as it was', () => {
    const admin = parseClient({ ...machine, scope: 'clients:read', first_party: true }, context);
    expect(mergeClient(admin, { client_name: 'x' }, selfService)).toMatchObject({ scope: 'clients:read' });
    expect(forbidden(() => mergeClient(admin, { scope: 'clients:read clients:write' }, selfService))).toEqual(
      ['/scope'],
    );
  });
});

describe('a patch', () => {
  const existing = parseClient(
    { ...web, client_id: 'shop', client_name: 'Shop', scope: 'openid orders:read', access_token_ttl: 60 },
    context,
  );

  it('changes what it names and leaves the rest', () => {
    expect(mergeClient(existing, { client_name: 'Shop 2' }, context)).toEqual({
      ...existing,
      client_name: 'Shop 2',
    });
  });

  it('puts a member back to its default with null', () => {
    const merged = mergeClient(existing, { client_name: null, access_token_ttl: null, scope: null }, context);
    expect(merged.client_name).toBeUndefined();
    expect(merged.access_token_ttl).toBeUndefined();
    expect(merged.scope).toBe('openid profile email address phone');
  });

  it('derives anew what follows from other members', () => {
    expect(mergeClient(existing, { grant_types: ['client_credentials'] }, context).response_types).toEqual(
      [],
    );
    const withoutPkce = mergeClient(existing, { require_pkce: false }, context);
    expect(withoutPkce.require_state).toBe(true);
    expect(mergeClient(withoutPkce, { require_pkce: true }, context).require_state).toBe(false);
  });

  it('keeps state required where that was chosen', () => {
    const chosen = mergeClient(existing, { require_state: true }, context);
    expect(mergeClient(chosen, { client_name: 'x' }, context).require_state).toBe(true);
  });

  it('is judged like a new document', () => {
    expect(pointers(() => mergeClient(existing, { redirect_uris: [] }, context))).toEqual(['/redirect_uris']);
    expect(pointers(() => mergeClient(existing, { colour: 'red' }, context))).toEqual(['/colour']);
    expect(
      pointers(() => mergeClient(existing, { token_endpoint_auth_method: 'private_key_jwt' }, context)),
    ).toEqual(['/jwks']);
    expect(pointers(() => mergeClient(existing, [], context))).toEqual(['']);
    expect(pointers(() => mergeClient(existing, null, context))).toEqual(['']);
  });

  it('cannot change the id, and may repeat it', () => {
    expect(mergeClient(existing, { client_id: 'shop' }, context).client_id).toBe('shop');
    expect(pointers(() => mergeClient(existing, { client_id: 'other' }, context))).toEqual(['/client_id']);
    expect(pointers(() => mergeClient(existing, { client_id: null }, context))).toEqual(['/client_id']);
  });

  it('may keep a scope and an API that have gone since, and may not add them', () => {
    const gone = clientContext({ apis: [], callerScopes: [], fetchAllow: [] });
    const gateway = parseClient(
      { ...web, scope: 'orders:read', serves: ['https://api.example.com'] },
      context,
    );
    expect(() => mergeClient(gateway, { client_name: 'x' }, gone)).not.toThrow();
    expect(pointers(() => mergeClient(gateway, { scope: 'orders:read orders:write' }, gone))).toEqual([
      '/scope',
    ]);
  });
});

describe('the schema', () => {
  it('can be described as JSON Schema', () => {
    const schema = z.toJSONSchema(clientSchema, { io: 'input' });
    expect(schema).toMatchObject({ type: 'object', additionalProperties: false });
    expect(Object.keys(schema.properties ?? {})).toContain('redirect_uris');
  });
});
