import { decodeJwt } from 'jose';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newPkce } from '../../support/browser.ts';
import { databaseKinds } from '../../support/databases.ts';
import { startWorld, type TestClient, type World } from '../../support/fixtures.ts';
import { ask, signedIn } from '../support/authorization.ts';

const ACR = 'urn:portcullis:acr:password';

describe('the claims parameter', () => {
  let world: World;
  let firstParty: TestClient;
  beforeAll(async () => {
    world = await startWorld();
    firstParty = await world.client({
      client_id: 'own',
      first_party: true,
      redirect_uris: ['https://own.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid profile email orders:read phones:read',
    });
  });
  afterAll(() => world.close());

  const claims = (value: object) => ({ claims: JSON.stringify(value), scope: 'openid' });

  it('asks for single claims of /userinfo and of the ID token, after consent, and on refresh too', async () => {
    const params = claims({
      userinfo: { email: { essential: true }, nonsense: null, phone_number: null },
      id_token: { given_name: null, picture: { essential: true } },
    });
    const tokens = await world.tokens(world.web, { params });
    const idToken = decodeJwt(tokens.id_token ?? '');
    expect(idToken['given_name']).toBe('Alice');
    expect(idToken).not.toHaveProperty('email');
    expect(idToken).not.toHaveProperty('picture'); // essential, but the user has none: no error (5.5.1)
    const info = { sub: world.userId, email: 'alice@example.com', phone_number: '+4930123456' };
    expect((await world.userinfo(tokens.access_token)).body).toEqual(info);
    const refreshed = await world.refresh(world.web, tokens.refresh_token ?? '');
    expect(decodeJwt(refreshed.body.id_token ?? '')['given_name']).toBe('Alice');
    expect((await world.userinfo(refreshed.body.access_token)).body).toEqual(info);
  });

  it('is not needed by a client that wants the scopes’ claims in its ID tokens', async () => {
    const app = await world.client({
      client_id: 'wants-claims',
      first_party: true,
      claims_in_id_token: true,
      redirect_uris: ['https://wants.example/cb'],
      grant_types: ['authorization_code', 'refresh_token'],
      scope: 'openid profile email',
    });
    const tokens = await world.tokens(app, { params: { scope: 'openid email' } });
    const refreshed = await world.refresh(app, tokens.refresh_token ?? '');
    for (const { id_token: idToken } of [tokens, refreshed.body]) {
      const claims = decodeJwt(idToken ?? '');
      expect(claims).toMatchObject({ email: 'alice@example.com', email_verified: true });
      expect(claims).not.toHaveProperty('name');
    }
  });

  it('works with opaque access tokens', async () => {
    const { access_token: token } = await world.tokens(firstParty, {
      params: { claims: JSON.stringify({ userinfo: { email: null } }), scope: 'openid phones:read' },
    });
    expect(token).toMatch(/^pca_/);
    expect((await world.userinfo(token)).body).toEqual({ sub: world.userId, email: 'alice@example.com' });
  });

  it('needs consent for each claim once, none for those about the sign-in itself', async () => {
    const browser = await signedIn(world, { scope: 'openid' });
    const asked = { ...claims({ userinfo: { website: null } }), prompt: 'none' };
    expect((await ask(world, world.web, asked, browser)).error).toBe('consent_required');
    await world.authorize(world.web, { browser, params: claims({ userinfo: { website: null } }) });
    expect((await ask(world, world.web, asked, browser)).result.get('code')).toBeTruthy();
    const protocol = claims({ id_token: { acr: null, auth_time: { essential: true }, sub: null } });
    expect((await ask(world, world.web, { ...protocol, prompt: 'none' }, browser)).error).toBeNull();
  });

  it.each([
    ['no JSON', '{'],
    ['no object', '[]'],
    ['a string', '"x"'],
    ['null', 'null'],
    ['neither member', '{"other":{}}'],
    ['a member that is no object', '{"userinfo":[]}'],
    ['an acr list that is none', '{"id_token":{"acr":{"essential":true,"values":"x"}}}'],
  ])('is refused as %s', async (_name, value) => {
    expect((await ask(world, world.web, { claims: value, scope: 'openid' })).error).toBe('invalid_request');
  });

  it('takes names of the language as any other unknown claim', async () => {
    const value =
      '{"userinfo":{"__proto__":null,"constructor":null,"toString":null},"id_token":{"__proto__":{"x":1}}}';
    const tokens = await world.tokens(world.web, { params: { claims: value, scope: 'openid' } });
    expect((await world.userinfo(tokens.access_token)).body).toEqual({ sub: world.userId });
  });

  describe('about how somebody signs in', () => {
    it('is met by acr and acr_values, which the ID token states', async () => {
      const { id_token: first } = await world.tokens(firstParty, {
        params: claims({ id_token: { acr: { essential: true, values: [ACR, 'other'] } } }),
      });
      expect(decodeJwt(first ?? '')).toMatchObject({ acr: ACR, amr: ['pwd'] });
      const { id_token: second } = await world.tokens(firstParty, {
        params: { acr_values: `unknown ${ACR}`, scope: 'openid' },
      });
      expect(decodeJwt(second ?? '')['acr']).toBe(ACR);
    });

    it('fails when an essential acr cannot be had, instead of asking for ever', async () => {
      for (const acr of [
        { essential: true, value: 'urn:example:iris' },
        { essential: true, values: ['urn:example:iris'] },
      ]) {
        const reply = await ask(world, firstParty, claims({ id_token: { acr } }));
        expect(reply.error).toBe('unmet_authentication_requirements');
        expect(reply.target).toBe(firstParty.redirect);
      }
    });

    it('asks for another sign-in when it is not the subject that was asked for', async () => {
      const browser = await signedIn(world);
      const sub = { id_token: { sub: { value: 'somebody-else' } } };
      expect((await ask(world, world.web, claims(sub), browser)).page).toBe('login');
      expect((await ask(world, world.web, { ...claims(sub), prompt: 'none' }, browser)).error).toBe(
        'login_required',
      );
    });
  });
});

describe.each(databaseKinds)(
  'the claims parameter and the scope that a client is registered for, on %s',
  (kind) => {
    let world: World;
    beforeAll(async () => {
      world = await startWorld({ kind });
    });
    afterAll(() => world.close());

    const claims = JSON.stringify({
      userinfo: { email: { essential: true }, phone_number: null, address: null, name: null },
      id_token: { given_name: null, phone_number: null, acr: null },
    });

    it.each([
      ['a first party', true],
      ['anybody else', false],
    ])('%s: gets no claim of another scope', async (name, first_party) => {
      const client = await world.client({
        client_id: first_party ? 'ours' : 'theirs',
        first_party,
        redirect_uris: ['https://app.example/cb'],
        scope: 'openid profile',
      });
      const tokens = await world.tokens(client, { params: { scope: 'openid', claims } });
      const info = { sub: world.userId, name: 'Alice Adams' };
      expect((await world.userinfo(tokens.access_token)).body, name).toEqual(info);
      const idToken = decodeJwt(tokens.id_token ?? '');
      expect(idToken).toMatchObject({ given_name: 'Alice', acr: ACR });
      expect(idToken).not.toHaveProperty('phone_number');
    });

    it('is not asked about on the consent page either, through a pushed request too', async () => {
      const client = await world.client({
        client_id: 'pushing',
        redirect_uris: ['https://pushing.example/cb'],
        scope: 'openid',
      });
      const browser = await signedIn(world, { scope: 'openid' });
      const params = { scope: 'openid', claims };
      const { code } = await world.authorize(client, { browser, params });
      expect(code).not.toBe('');
      const { prisma } = world.app.domain.storage.database;
      const consent = await prisma.consent.findFirst({ where: { clientId: 'pushing' } });
      expect(consent?.scopes).not.toMatch(/email|phone|address|name/);
      const pkce = newPkce();
      const pushed = await world.post<{ request_uri: string }>(
        '/par',
        {
          ...params,
          client_id: client.id,
          redirect_uri: client.redirect,
          response_type: 'code',
          code_challenge: pkce.challenge,
          code_challenge_method: 'S256',
        },
        client,
      );
      const query = new URLSearchParams({ client_id: 'pushing', request_uri: pushed.body.request_uri });
      const last = await browser.go(`${world.url}/authorize?${query.toString()}`);
      expect(new URL(last.url).searchParams.get('code')).not.toBeNull(); // nothing new to consent to
    });
  },
);
