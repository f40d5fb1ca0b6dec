/** Browsers at addresses of their own: what strangers may ask for is throttled by address. */
import type { Browser } from '../../support/browser.ts';
import type { World } from '../../support/fixtures.ts';

/** The world's server must trust one proxy. */
export function strangersOf(world: () => World): () => Browser {
  let addresses = 0;
  return () => {
    const browser = world().browser();
    browser.headers['x-forwarded-for'] = `192.0.2.${++addresses}`;
    return browser;
  };
}
