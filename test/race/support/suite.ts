/** The races, to be run in every arena. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PASSWORD, type TestClient } from '../../support/fixtures.ts';
import { rounds, type Arena, type TokenAnswer } from './arena.ts';
import { newSigner } from './proofs.ts';

const ASSERTION = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const DEVICE = 'urn:ietf:params:oauth:grant-type:device_code';

const web = {
  redirect_uris: ['https://race.example/cb'],
  post_logout_redirect_uris: ['https://race.example/out'],
  grant_types: ['authorization_code', 'refresh_token'],
  scope: 'openid offline_access orders:read phones:read',
};

const winnersOf = <T extends { readonly status: number }>(answers: readonly T[]): T[] =>
  answers.filter(({ status }) => status === 200);

/** What the losers were told; one line when they were all told the same. */
const losersOf = (answers: readonly TokenAnswer[]): string[] => [
  ...new Set(
    answers.filter(({ status }) => status !== 200).map(({ status, body }) => `${status} ${body.error}`),
  ),
];

export function races(name: string, open: () => Promise<Arena>): void {
  describe(`races on ${name}`, { timeout: rounds(120_000) }, () => {
    let arena: Arena;
    let strict: TestClient;
    let graceful: TestClient;
    beforeAll(async () => {
      arena = await open();
      strict = await arena.world.client({ ...web, client_id: 'strict' });
      graceful = await arena.world.client({ ...web, client_id: 'graceful', rotation_grace: 5 });
    });
    afterAll(() => arena.close());
    const tokensOf = (answers: readonly TokenAnswer[]): (string | undefined)[] =>
      answers.flatMap(({ body }) => [body.access_token, body.refresh_token]);

    it('gives one of 10 uses of a code tokens, and then takes them back', async () => {
      for (let round = 0; round < rounds(20); round++) {
        const code = await arena.code(strict);
        const answers = await arena.volley(10, (node) => arena.exchange(node, strict, code));
        const [winner] = winnersOf(answers);
        expect(winnersOf(answers)).toHaveLength(1);
        expect(losersOf(answers)).toEqual(['400 invalid_grant']);
        expect(await arena.anyAlive(strict, tokensOf(answers))).toBe(false);
        const audited = await arena.audited(idOf(winner));
        expect(audited).toMatchObject([
          { type: 'code.reuse_detected', ip: '127.0.0.1', requestId: expect.any(String) },
        ]);
      }
    });

    it('gives one of 50 uses of a refresh token tokens, and then takes them back', async () => {
      for (let round = 0; round < rounds(20); round++) {
        const family = await arena.family(strict);
        const answers = await arena.volley(50, (node) => arena.refresh(node, strict, family.refresh));
        expect(winnersOf(answers)).toHaveLength(1);
        expect(losersOf(answers)).toEqual(['400 invalid_grant']);
        const tokens = [family.access, family.refresh, ...tokensOf(answers)];
        expect(await arena.anyAlive(strict, tokens)).toBe(false);
        expect(await arena.audited(family.id)).toMatchObject([
          {
            type: 'token.reuse_detected',
            ip: '127.0.0.1',
            requestId: expect.any(String),
            detail: { ms_since_rotation: expect.any(Number) },
          },
        ]);
      }
    });

    it('gives all of 50 retries inside the grace window the same successor', async () => {
      for (let round = 0; round < rounds(20); round++) {
        const family = await arena.family(graceful);
        const answers = await arena.volley(50, (node) => arena.refresh(node, graceful, family.refresh));
        expect(losersOf(answers)).toEqual([]);
        const successors = new Set(answers.map(({ body }) => body.refresh_token));
        expect(successors.size).toBe(1);
        const [successor = ''] = successors;
        expect(successor).not.toBe(family.refresh);
        expect(await arena.anyAlive(graceful, [family.access])).toBe(true);
        expect(await arena.audited(family.id)).toEqual([]);
        expect((await arena.refresh(round, graceful, successor)).status).toBe(200);
      }
    });

    it('lets one of 20 uses of a pushed request through', async () => {
      const { browser } = await arena.code(strict);
      for (let round = 0; round < rounds(20); round++) {
        const pushed = await arena.post<{ request_uri: string }>(
          round,
          '/par',
          {
            client_id: strict.id,
            redirect_uri: strict.redirect,
            response_type: 'code',
            scope: 'openid orders:read',
            code_challenge: 'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM',
            code_challenge_method: 'S256',
          },
          strict,
        );
        const query = new URLSearchParams({ client_id: strict.id, request_uri: pushed.body.request_uri });
        const seen = await arena.volley(20, (node) =>
          browser.request(`${arena.nodes[node % arena.nodes.length]}/authorize?${query.toString()}`),
        );
        const results = seen.map(({ headers }) => {
          const to = new URL(headers.get('location') ?? 'none:');
          return to.searchParams.get('error') ?? (to.searchParams.has('code') ? 'code' : 'neither');
        });
        expect(results.filter((result) => result === 'code')).toHaveLength(1);
        expect([...new Set(results)].sort()).toEqual(['code', 'invalid_request_uri']);
      }
    });

    it('accepts one of 20 uses of a client assertion', async () => {
      const signer = await newSigner();
      const client = await arena.world.client({
        client_id: 'asserting',
        redirect_uris: [],
        grant_types: ['client_credentials'],
        token_endpoint_auth_method: 'private_key_jwt',
        jwks: { keys: [signer.jwk] },
        scope: 'orders:read',
      });
      for (let round = 0; round < rounds(20); round++) {
        const assertion = await signer.assertion(client.id, arena.world.url);
        const answers = await arena.volley(20, (node) =>
          arena.post<TokenAnswer['body']>(node, '/token', {
            grant_type: 'client_credentials',
            client_assertion_type: ASSERTION,
            client_assertion: assertion,
          }),
        );
        expect(winnersOf(answers)).toHaveLength(1);
        expect(losersOf(answers)).toEqual(['401 invalid_client']);
      }
    });

    it('accepts one of 20 uses of a DPoP proof, and its replay is no reuse of the refresh token', async () => {
      const signer = await newSigner();
      const url = `${arena.world.url}/token`;
      for (let round = 0; round < rounds(20); round++) {
        const code = await arena.code(strict);
        const first = await arena.exchange(round, strict, code, { dpop: await signer.proof(url) });
        expect(first.body.token_type).toBe('DPoP');
        const dpop = await signer.proof(url);
        const token = first.body.refresh_token ?? '';
        const answers = await arena.volley(20, (node) => arena.refresh(node, strict, token, { dpop }));
        const [winner] = winnersOf(answers);
        expect(winnersOf(answers)).toHaveLength(1);
        expect(losersOf(answers)).toEqual(['400 invalid_dpop_proof']);
        expect(await arena.audited(idOf(winner))).toEqual([]);
        expect(await arena.anyAlive(strict, [winner?.body.access_token])).toBe(true);
      }
    });

    it('gives one of 20 uses of a device code tokens, and then takes them back', async () => {
      const { world } = arena;
      const tv = await world.client({
        client_id: 'tv',
        grant_types: [DEVICE, 'refresh_token'],
        redirect_uris: [],
        scope: 'openid orders:read',
      });
      const { browser } = await arena.code(strict);
      const decide = async (decision: 'allow' | 'deny'): Promise<string> => {
        const form = { scope: 'openid orders:read' };
        const { body } = await arena.post<Record<string, string>>(0, '/device_authorization', form, tv);
        const { device_code: code = '', user_code: typed = '' } = body;
        let page = await browser.go(body['verification_uri_complete'] ?? '');
        if (page.page === 'login') {
          page = await browser.submit(page, { username: 'alice', password: PASSWORD }, '/account/login');
        }
        page = await browser.submit(page, { user_code: typed }, '/device');
        await browser.submit(page, { decision }, '/device');
        return code;
      };
      const use = (node: number, code: string): Promise<TokenAnswer> =>
        arena.post(node, '/token', { grant_type: DEVICE, device_code: code }, tv);
      for (let round = 0; round < rounds(10); round++) {
        const code = await decide('allow');
        const answers = await arena.volley(20, (node) => use(node, code));
        const [winner] = winnersOf(answers);
        expect(winnersOf(answers)).toHaveLength(1);
        expect(losersOf(answers)).toEqual(['400 invalid_grant']);
        expect(await arena.anyAlive(tv, tokensOf(answers))).toBe(false);
        expect(await arena.audited(idOf(winner))).toMatchObject([{ type: 'code.reuse_detected' }]);
      }
      const denied = await decide('deny');
      expect((await use(0, denied)).body.error).toBe('access_denied');
      expect((await use(1, denied)).body.error).toBe('invalid_grant'); // it was told once
    });

    it('leaves no live token when a revocation races a refresh', async () => {
      for (let round = 0; round < rounds(20); round++) {
        const family = await arena.family(strict);
        const [refreshed, revoked] = await Promise.all([
          arena.refresh(round, strict, family.refresh),
          arena.post(round + 1, '/revoke', { token: family.refresh }, strict),
        ]);
        expect(revoked.status).toBe(200);
        expect(await arena.anyAlive(strict, [family.access, family.refresh, ...tokensOf([refreshed])])).toBe(
          false,
        );
        // A refresh that lost against the revocation is no reuse.
        expect(await arena.audited(family.id)).toMatchObject([{ type: 'token.revoked' }]);
      }
    });

    it('leaves no live token when a logout races a code exchange', async () => {
      for (let round = 0; round < rounds(5); round++) {
        const browser = arena.world.browser();
        const code = await arena.code(strict, { browser });
        const page = await browser.go(`${arena.world.url}/logout?client_id=${strict.id}`);
        expect(page.page).toBe('logout');
        const [exchanged] = await Promise.all([
          arena.exchange(round, strict, code),
          browser.submit(page, { decision: 'logout' }),
        ]);
        expect(await arena.anyAlive(strict, tokensOf([exchanged]))).toBe(false);
        if (exchanged.body.refresh_token === undefined) continue;
        const late = await arena.refresh(round, strict, exchanged.body.refresh_token);
        expect([late.status, late.body.error]).toEqual([400, 'invalid_grant']);
      }
    });

    it('leaves no live token when disabling the user races a refresh, nor after enabling', async () => {
      const { accounts } = arena.world.app.domain;
      for (let round = 0; round < rounds(5); round++) {
        const id = await arena.world.user(`raced-${round}`);
        const options = { browser: arena.world.browser(), username: `raced-${round}` };
        const family = await arena.family(strict, options);
        const [refreshed] = await Promise.all([
          arena.refresh(round, strict, family.refresh),
          accounts.setEnabled(id, false, { actor: 'test' }),
        ]);
        const tokens = [family.access, family.refresh, ...tokensOf([refreshed])];
        expect(await arena.anyAlive(strict, tokens)).toBe(false);
        await accounts.setEnabled(id, true, { actor: 'test' });
        expect(await arena.anyAlive(strict, tokens)).toBe(false);
        const late = await arena.refresh(round, strict, refreshed.body.refresh_token ?? family.refresh);
        expect([late.status, late.body.error]).toEqual([400, 'invalid_grant']);
      }
    });

    it('leaves no live token when the user takes the app back while it refreshes', async () => {
      const { consents } = arena.world.app.domain.storage;
      for (let round = 0; round < rounds(10); round++) {
        const family = await arena.family(graceful);
        const [refreshed] = await Promise.all([
          arena.refresh(round, graceful, family.refresh),
          consents.revoke(arena.world.userId, graceful.id, {
            type: 'grant.revoked',
            detail: { reason: 'user' },
          }),
        ]);
        const tokens = [family.access, family.refresh, ...tokensOf([refreshed])];
        expect(await arena.anyAlive(graceful, tokens)).toBe(false);
      }
    });

    it('keeps two sign-ins of one browser apart: reuse in one leaves the other alone', async () => {
      const browser = arena.world.browser();
      const one = await arena.family(strict, { browser });
      const two = await arena.family(strict, { browser });
      expect(one.id).not.toBe(two.id);
      await arena.refresh(0, strict, one.refresh);
      expect((await arena.refresh(1, strict, one.refresh)).status).toBe(400);
      expect(await arena.anyAlive(strict, [one.access])).toBe(false);
      expect(await arena.anyAlive(strict, [two.access])).toBe(true);
      expect((await arena.refresh(1, strict, two.refresh)).status).toBe(200);
    });

    it('never exceeds the cap on the families of a user, however many sign in at once', async () => {
      const capped = await arena.world.client({ ...web, client_id: 'capped', max_families_per_user: 3 });
      for (let round = 0; round < rounds(3); round++) {
        const codes = [];
        for (let i = 0; i < 8; i++) codes.push(await arena.code(capped));
        const answers = await Promise.all(codes.map((code, node) => arena.exchange(node, capped, code)));
        expect(losersOf(answers)).toEqual([]);
        const alive = await Promise.all(
          answers.map(({ body }) => arena.anyAlive(capped, [body.refresh_token])),
        );
        expect(alive.filter(Boolean)).toHaveLength(3);
        const ended = await Promise.all(answers.map((answer) => arena.audited(idOf(answer))));
        const reasons = ended.flat().map(({ type, detail }) => `${type} ${String(detail['reason'])}`);
        expect(reasons).toEqual(Array(5).fill('grant.revoked max_families'));
      }
    });
  });
}

function idOf(answer: TokenAnswer | undefined): string {
  const token = answer?.body.refresh_token ?? '';
  return Buffer.from(token.slice('pcr_'.length), 'base64url').subarray(0, 16).toString('base64url');
}
