/** What people have that must not be found: second factors, links in mails, fields of forms. */
import { expect } from 'vitest';
import { delivered, mailTo } from '../../http/support/mail.ts';
import { scan, withPassword } from '../../http/support/second-factor.ts';
import { Authenticator } from '../../support/authenticator.ts';
import type { Seen } from '../../support/browser.ts';
import type { World } from '../../support/fixtures.ts';

type Keep = (name: string, value: string | Buffer | null | undefined) => string;

/** What forms carry so that they are ours, and so that nothing is stored on the way. */
export function keepFields({ text }: Seen, of: string, keep: Keep): void {
  for (const [, name = '', value] of text.matchAll(
    /name="(csrf|pending|setup|challenge|device)" value="([^"]+)"/g,
  ))
    keep(`${name} of a form of ${of}`, value);
}

export async function people(world: World, keep: Keep): Promise<void> {
  await world.user('carol', { email: 'carol@mail.example', email_verified: true });
  const browser = world.browser();
  await withPassword(world, 'carol', browser);
  const seen = async (page: Seen | Promise<Seen>): Promise<Seen> => {
    const shown = await page;
    keepFields(shown, 'carol', keep);
    return shown;
  };
  const codesOf = ({ text }: Seen): string[] => {
    const codes = [...text.matchAll(/<li>([0-9A-Z]{5}-[0-9A-Z]{5})<\/li>/g)].map(([, code = '']) => code);
    expect(codes).toHaveLength(10);
    for (const code of codes) {
      keep('recovery code', code);
      keep('recovery code without its dash', code.replace('-', ''));
    }
    return codes;
  };

  // An app, and its recovery codes, of which one is used.
  const page = await seen(browser.go(`${world.url}/account/authenticator`));
  const app = scan(page);
  keep('TOTP secret as typed', app.typed);
  keep('TOTP secret', app.secret);
  const done = await seen(browser.submit(page, { code: app.code() }, '/account/authenticator'));
  const [used = ''] = codesOf(done);
  const second = world.browser();
  const asked = await seen(withPassword(world, 'carol', second));
  expect(asked.page).toBe('mfa');
  expect((await second.submit(asked, { code: used })).page).toBe('account');
  for (const [name, value] of Object.entries(second.cookies)) keep(`cookie ${name} of carol`, value);

  // A passkey: its private half never comes here; the challenge that it signs does.
  await world.user('dora');
  const third = world.browser();
  await withPassword(world, 'dora', third);
  const factors = await seen(third.go(`${world.url}/account/factors`));
  const options = (/data-options="([^"]*)"/.exec(factors.text)?.[1] ?? '').replaceAll('&quot;', '"');
  keep('challenge of a passkey', (JSON.parse(options) as { challenge?: string }).challenge);
  const key = new Authenticator(world.url);
  codesOf(await seen(third.submit(factors, { credential: key.create(options), name: 'My key' })));

  // Links in mails: one that is followed, one that is not, one for an account that is to be.
  const tokenOf = (link: string): string => keep('link of a mail', new URL(link).searchParams.get('token'));
  const recover = async (): Promise<string> => {
    const visitor = world.browser();
    const form = await seen(visitor.go(`${world.url}/account/recover`));
    await visitor.submit(form, { username: 'carol' }, '/account/recover');
    const { link } = await mailTo(world, 'carol@mail.example');
    tokenOf(link);
    return link;
  };
  const link = await recover();
  const visitor = world.browser();
  const chosen = keep('password chosen by mail', 'quiet-meadow-lamp-42');
  const form = await seen(visitor.go(link));
  const set = await visitor.submit(
    form,
    { new_password: chosen, repeat_password: chosen },
    '/account/recover',
  );
  expect(set.page).toBe('message');
  await recover();
  const newcomer = world.browser();
  const join = await seen(newcomer.go(`${world.url}/account/register`));
  await newcomer.submit(join, { email: 'erin@mail.example' }, '/account/register');
  await delivered(world);
  tokenOf((await mailTo(world, 'erin@mail.example')).link);
}
