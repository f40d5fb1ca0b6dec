/** Says once, before the first test, which parts of the suite this machine cannot run. */
import { findChromium } from '../browser/support/chromium.ts';

export function setup(): void {
  if (!process.env['TEST_DATABASE_URL']) {
    console.error('TEST_DATABASE_URL is not set: the PostgreSQL half of the tests is skipped.');
  }
  if (findChromium() === undefined) console.error('No Chromium is found: the browser tests are skipped.');
}
