import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startWorld, type World } from '../../support/fixtures.ts';
import { ask, signedIn } from '../support/authorization.ts';

describe('response modes', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld();
  });
  afterAll(() => world.close());

  it('query is the default, and may be named', async () => {
    const browser = await signedIn(world);
    const reply = await ask(world, world.web, { response_mode: 'query' }, browser);
    expect(reply.status).toBe(303);
    expect(reply.result.get('code')).toBeTruthy();
  });

  it('form_post answers with a form to the redirect URI that works without JavaScript', async () => {
    const browser = await signedIn(world);
    const { seen } = await ask(world, world.web, { response_mode: 'form_post', state: '"><b>' }, browser);
    expect(seen.status).toBe(200);
    expect(seen.headers.get('cache-control')).toBe('no-store');
    expect(seen.text).toContain(`action="${world.web.redirect}"`);
    expect(seen.text).toMatch(/name="code" value="[\w-]+"/);
    expect(seen.text).toContain(`name="iss" value="${world.url}"`);
    expect(seen.text).toContain('name="state" value="&quot;&gt;&lt;b&gt;"');
    expect(seen.text).toMatch(/<form method="post"[\s\S]*<button>Continue<\/button>/);
    expect(seen.text).not.toContain('name="csrf"');
  });

  it('form_post is a page like the others: in the language of whoever sees it, with its title', async () => {
    const browser = await signedIn(world);
    const params = { response_mode: 'form_post', ui_locales: 'de', state: '$&\u202e$1' };
    const { seen } = await ask(world, world.web, params, browser);
    expect(seen.text).toContain('<html lang="de" dir="ltr">');
    expect(seen.text).toContain('<title>Zurück zu Web shop');
    expect(seen.text).toContain('<button>Weiter</button>');
    expect(seen.text).toContain('value="$&amp;\u202e$1"'); // what the client sent, and nothing else
    expect(seen.text).toMatch(/<link rel="stylesheet"/);
    expect(seen.text).not.toMatch(/Submitting|noscript/);
  });

  it('form_post runs its one inline script by its hash, and nothing else', async () => {
    const browser = await signedIn(world);
    const { seen } = await ask(world, world.web, { response_mode: 'form_post' }, browser);
    const script = /<script>([\s\S]*?)<\/script>/.exec(seen.text)?.[1] ?? '';
    const hash = createHash('sha256').update(script).digest('base64');
    const policy = new Map(
      (seen.headers.get('content-security-policy') ?? '')
        .split(';')
        .map((directive) => directive.trim().split(/\s+/))
        .map(([name = '', ...values]) => [name, values.join(' ')]),
    );
    expect(policy.get('script-src')).toBe(`'sha256-${hash}'`);
    expect(policy.get('default-src')).toBe("'none'");
    expect(policy.get('frame-ancestors')).toBe("'none'");
  });

  it('form_post carries errors too', async () => {
    const { seen } = await ask(world, world.web, { response_mode: 'form_post', scope: 'no:such' });
    expect(seen.status).toBe(400);
    expect(seen.text).toContain('name="error" value="invalid_scope"');
    expect(seen.text).toContain('name="state" value="st ate"');
    expect(seen.text).toContain(`name="iss" value="${world.url}"`);
  });
});
