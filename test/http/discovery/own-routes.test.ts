import request from 'supertest';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestServer, type TestServer } from '../../support/server.ts';

describe('what the public port answers by itself', () => {
  let server: TestServer;
  beforeAll(async () => {
    server = await startTestServer();
  });
  afterAll(() => server.close());
  const agent = () => request(server.app.koa.callback());

  it.each(['live', 'ready'])('says that it is %s, under any Host, without detail', async (probe) => {
    await agent()
      .get(`/health/${probe}`)
      .set('host', 'probe.internal')
      .expect(200)
      .expect('cache-control', 'no-store')
      .expect({ status: 'ok' });
  });

  it('answers 405 with Allow for a method that an address does not have', async () => {
    await agent().delete('/health/live').expect(405).expect('allow', 'GET, HEAD');
    await agent().get('/token').expect(405).expect('allow', 'POST, OPTIONS');
    await agent().put('/jwks').expect(405).expect('allow', 'GET, HEAD, OPTIONS');
  });

  it('gives every answer an x-request-id, and 404 to what is not there', async () => {
    const answer = await agent().get('/no-such-thing').expect(404);
    expect(answer.headers['x-request-id']).toMatch(/^[\w-]{16}$/);
  });

  it('leads password managers to the change of password', async () => {
    await agent().get('/.well-known/change-password').expect(302).expect('location', '/account/password');
  });

  it('refuses registration without an initial access token', async () => {
    await agent()
      .post('/register')
      .send({})
      .expect(401)
      .expect('www-authenticate', /^Bearer/);
  });
});
