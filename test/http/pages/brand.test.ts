import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createApp } from '../../../src/app.ts';
import { parseSettings } from '../../../src/config/schema.ts';
import { startTestServer, type TestServer } from '../../support/server.ts';

describe('the brand of the operator', () => {
  const logo = '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>';
  let folder: string;
  let server: TestServer;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'brand-'));
    writeFileSync(join(folder, 'logo.svg'), logo);
    server = await startTestServer({
      env: {
        PORTCULLIS_BRAND_NAME: 'Acme & Söhne',
        PORTCULLIS_BRAND_LOGO: join(folder, 'logo.svg'),
        PORTCULLIS_BRAND_ACCENT: '#7a1f5c, #f2b8dc',
      },
    });
  });
  afterAll(async () => {
    await server.close();
    rmSync(folder, { recursive: true });
  });

  it('is on the pages: name, logo and accent, all from here', async () => {
    const page = await (await fetch(`${server.url}/account`)).text();
    expect(page).toContain('<title>Sign in · Acme &amp; Söhne</title>');
    expect(page).toContain('<span>Acme &amp; Söhne</span>');
    const asset = async (name: RegExp) => fetch(new URL(name.exec(page)?.[1] ?? '', server.url));
    const mark = await asset(/<img src="([^"]*)"/);
    expect([mark.headers.get('content-type'), await mark.text()]).toEqual(['image/svg+xml', logo]);
    // Somebody who opens the file by itself runs nothing that stands in it.
    expect(mark.headers.get('content-security-policy')).toContain("script-src 'none'");
    const sheet = await (await asset(/rel="stylesheet" href="([^"]*)"/)).text();
    expect(sheet).toContain('--accent: #7a1f5c');
    expect(sheet).toContain('--accent: #f2b8dc');
  });

  it('stops the start when it cannot be read', async () => {
    const env = { PORTCULLIS_DATA_DIR: folder, PORTCULLIS_BRAND_ACCENT: '#ffcc00,#ffcc00' };
    const settings = parseSettings(env, { readFile: () => '', cores: () => 1 });
    await expect(createApp(settings)).rejects.toThrow(
      'PORTCULLIS_BRAND_ACCENT: #ffcc00 has a contrast of 1.3 to 1 with light pages',
    );
  });
});
