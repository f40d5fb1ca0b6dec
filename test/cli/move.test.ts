import { describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../support/server.ts';
import { AdminClient } from '../http/admin/support/admin-client.ts';
import { portcullis } from './run.ts';

describe('a set-up that is exported and applied to another server', () => {
  it('arrives whole, without the scopes of an API that was deleted', async () => {
    const [from, to] = [await startTestServer(), await startTestServer()];
    try {
      const run = async (server: TestServer, argv: string[], input?: string) =>
        portcullis(argv, {
          env: {
            PORTCULLIS_URL: server.url,
            PORTCULLIS_CLIENT_ID: server.admin.id,
            PORTCULLIS_CLIENT_SECRET: server.admin.secret,
          },
          ...(input !== undefined && { input }),
        });
      const admin = await AdminClient.connect(from);
      for (const name of ['keep', 'lose']) {
        const scopes = [{ name: `${name}:read`, description: name }];
        await admin.ok('POST', '/apis', { body: { identifier: `https://${name}.example`, name, scopes } });
      }
      const client = { client_id: 'web', redirect_uris: ['https://web.example/cb'] };
      await admin.ok('POST', '/clients', { body: { ...client, scope: 'openid keep:read lose:read' } });
      await admin.ok('DELETE', `/apis/${encodeURIComponent('https://lose.example')}`);

      const { stdout } = await run(from, ['export']);
      const applied = await run(to, ['apply', '-'], stdout);
      expect(applied).toMatchObject({ code: 0 });
      const there = await AdminClient.connect(to);
      expect((await there.ok('GET', '/clients/web')).body).toMatchObject({ scope: 'openid keep:read' });
      expect((await run(to, ['apply', '-'], stdout)).stderr).toContain('as the file says');
    } finally {
      await from.close();
      await to.close();
    }
  });
});
