import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PASSWORD, startWorld, type World } from '../../support/fixtures.ts';
import { withPassword } from '../support/second-factor.ts';

describe('a new password where the operator asks for strength', () => {
  let world: World;
  beforeAll(async () => {
    world = await startWorld({ env: { PORTCULLIS_PASSWORD_POLICY: 'strength' } });
  });
  afterAll(() => world.close());

  it('may be shorter on the account pages, but not easy to guess', async () => {
    const browser = world.browser();
    await withPassword(world, 'alice', browser);
    const form = await browser.go(`${world.url}/account/password`);
    expect(form.text).toContain('At least 8 characters.');
    const change = (next: string) =>
      browser.submit(
        form,
        { current_password: PASSWORD, new_password: next, repeat_password: next },
        '/account/password',
      );
    const weak = await change('katherine88');
    expect([weak.status, weak.text.includes('This password is too easy to guess.')]).toEqual([422, true]);
    const short = await change('k8#Qz!p');
    expect(short.text).toContain('it needs at least 8 characters');
    expect((await change('k8#Qz!pw2L')).status).toBe(200);
  });

  it('is judged likewise when an admin sets it', async () => {
    const { accounts } = world.app.domain;
    const create = (password: string) => accounts.create({ username: 'bob', password }, { actor: 'test' });
    await expect(create('katherine88')).rejects.toMatchObject({
      status: 422,
      details: { errors: [{ pointer: '/password', detail: 'is too easy to guess' }] },
    });
    const { id } = await create('k8#Qz!pw2L');
    const change = accounts.change(id, { password: 'katherine88' }, { actor: 'test' });
    await expect(change).rejects.toMatchObject({ status: 422 });
    const set = accounts.setPassword(id, 'katherine88', { actor: 'test' });
    await expect(set).rejects.toMatchObject({ status: 422 });
  });
});
