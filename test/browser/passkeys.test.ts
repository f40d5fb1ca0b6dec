import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PASSWORD, startWorld, type World } from '../support/fixtures.ts';
import { findChromium, launchChromium } from './support/chromium.ts';

const chromium = findChromium();
/** A browser that offers no passkeys at a field. */
const ONLY_WHEN_ASKED = 'delete PublicKeyCredential.isConditionalMediationAvailable';

// Needs a Chromium: the suite must run where only Node is; `.ci/run` brings one.
describe.skipIf(!chromium)('passkeys in a browser', () => {
  let world: World;
  let browser: Browser;
  const complaints: string[] = [];
  beforeAll(async () => {
    world = await startWorld({ host: 'localhost' });
    const key = { id: 'AAAA', name: 'Elsewhere', publicKey: Buffer.alloc(77), counter: 0, transports: [] };
    const event = { type: 'user.second_factor_added', detail: { kind: 'passkey' } } as const;
    await world.app.domain.storage.secondFactors.addPasskey(await world.user('bob'), key, [], event);
    browser = await launchChromium(chromium ?? '');
  }, 60_000);
  afterAll(async () => {
    await browser?.close();
    await world?.close();
  });

  /** A browser of its own, with a security key that says yes. */
  const openWith = async () => {
    const page = await (await browser.newContext()).newPage();
    page.on('console', (message) => complaints.push(message.text()));
    const session = await page.context().newCDPSession(page);
    await session.send('WebAuthn.enable');
    const options = {
      protocol: 'ctap2',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
    };
    const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', {
      options: { ...options, isUserVerified: true, automaticPresenceSimulation: true } as never,
    });
    return { page, session, authenticatorId };
  };
  const open = async (): Promise<Page> => (await openWith()).page;
  const signIn = async (page: Page, username: string): Promise<void> => {
    await page.fill('[name=username]', username);
    await page.fill('[name=password]', PASSWORD);
    await page.click('button');
  };
  const shows = (page: Page): Promise<string | null> => page.getAttribute('main', 'data-page');

  it('one is added, and signs in after the password', async () => {
    const page = await open();
    await page.goto(`${world.url}/account/factors`);
    await signIn(page, 'alice');
    await page.waitForSelector('[data-section=factors]');
    await page.fill('[name=name]', 'My laptop');
    await page.click('form[data-passkey] button');
    await page.waitForSelector('[data-step=codes]');
    await page.goto(`${world.url}/account/factors`);
    expect(await page.locator('article h2').allTextContents()).toContain('Passkey: My laptop');

    await page.addInitScript(ONLY_WHEN_ASKED);
    await page.context().clearCookies();
    await page.goto(`${world.url}/account`);
    await signIn(page, 'alice');
    await page.waitForSelector('[data-page=mfa]');
    await page.click('form[data-passkey] button');
    await page.waitForSelector('[data-page=account]');
    expect(await shows(page)).toBe('account');
    expect(complaints).toEqual([]);
  }, 60_000);

  it('one signs in by itself: chosen at the field for the name, or by the button', async () => {
    const { page, session, authenticatorId } = await openWith();
    await world.user('carol');
    await page.goto(`${world.url}/account/factors`);
    await signIn(page, 'carol');
    await page.waitForSelector('[data-section=factors]');
    await page.click('form[data-passkey] button');
    await page.waitForSelector('[data-step=codes]');

    // The key answers as soon as the browser may ask it, which at the field is at once.
    await page.context().clearCookies();
    await page.goto(`${world.url}/account`);
    await page.waitForSelector('[data-page=account]');

    await session.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled: false });
    await page.context().clearCookies();
    await page.goto(`${world.url}/account`);
    await page.waitForSelector('[name=username][autocomplete="username webauthn"]');
    expect(await shows(page)).toBe('login');

    await session.send('WebAuthn.setAutomaticPresenceSimulation', { authenticatorId, enabled: true });
    await page.addInitScript(ONLY_WHEN_ASKED);
    await page.goto(`${world.url}/account`);
    await page.click('form[data-passkey] button');
    await page.waitForSelector('[data-page=account]');
    expect(complaints).toEqual([]);
  }, 60_000);

  it('a browser that has none says so, and the recovery code still works', async () => {
    const page = await open();
    await page.goto(`${world.url}/account`);
    await signIn(page, 'bob');
    await page.waitForSelector('[data-page=mfa]');
    await page.click('form[data-passkey] button');
    await page.waitForSelector('form[data-passkey] [role=alert]:visible');
    expect(await page.isVisible('[name=code]')).toBe(true);
  }, 60_000);

  it('without a script nothing is shown that needs one', async () => {
    const context = await browser.newContext({ javaScriptEnabled: false });
    const page = await context.newPage();
    await page.goto(`${world.url}/account`);
    await signIn(page, 'bob');
    await page.waitForSelector('[data-page=mfa]');
    expect(await page.isVisible('form[data-passkey]')).toBe(false);
    expect(await page.isVisible('[name=code]')).toBe(true);
  }, 60_000);
});
