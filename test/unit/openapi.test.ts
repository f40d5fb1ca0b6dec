import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_SCOPES } from '../../src/clients/apis.ts';
import { AdminClient, operationsOf, schemasOf, type OpenApi } from '../http/admin/support/admin-client.ts';
import { startTestServer, type TestServer } from '../support/server.ts';

/** Every object in a document, with where it is. */
function* objectsIn(value: unknown, at = ''): Generator<[at: string, object: Record<string, unknown>]> {
  if (typeof value !== 'object' || value === null) return;
  if (!Array.isArray(value)) yield [at, value as Record<string, unknown>];
  for (const [name, member] of Object.entries(value)) yield* objectsIn(member, `${at}/${name}`);
}

describe('the OpenAPI document', () => {
  let server: TestServer;
  let document: OpenApi;
  beforeAll(async () => {
    server = await startTestServer();
    ({ document } = await AdminClient.connect(server));
  });
  afterAll(() => server.close());

  it('gives each operation its own id and one scope of the admin API', () => {
    const operations = operationsOf(document);
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    const scopes = ADMIN_SCOPES.map(({ name }) => name);
    expect(new Set(operations.map(({ scope }) => scope))).toEqual(new Set(scopes));
  });

  it('declares each parameter of a path, once', () => {
    for (const { name, operation } of operationsOf(document)) {
      const declared = (operation.parameters ?? [])
        .filter((each) => each.in === 'path')
        .map((each) => each.name);
      expect([name, declared]).toEqual([name, [...name.matchAll(/\{(\w+)\}/g)].map((match) => match[1])]);
    }
  });

  it('refers to nothing that it does not hold, and holds nothing that it does not refer to', () => {
    const references = new Set(
      [...objectsIn(document)].flatMap(([, { $ref: ref }]) => (typeof ref === 'string' ? [ref] : [])),
    );
    const held = Object.keys(document.components.schemas).map((name) => `#/components/schemas/${name}`);
    expect([...references].sort()).toEqual(held.sort());
  });

  it('holds schemas that compile', () => {
    const compile = schemasOf(document);
    for (const name of Object.keys(document.components.schemas)) {
      expect(() => compile(`#/components/schemas/${name}`)).not.toThrow();
    }
  });

  it('tells of 401 and 403 everywhere, and of 412 where If-Match is taken', () => {
    for (const { name, operation } of operationsOf(document)) {
      const statuses = Object.keys(operation.responses);
      expect([name, statuses]).toEqual([name, expect.arrayContaining(['401', '403'])]);
      const conditional = operation.parameters?.some((each) => each.name === 'If-Match') === true;
      expect([name, statuses.includes('412')]).toEqual([name, conditional]);
    }
  });

  it('lets no answer carry what is never shown', () => {
    const answers = Object.entries(document.components.schemas).filter(
      ([name]) => !/^New|Patch$|InHand$/.test(name),
    );
    const members = answers.flatMap(([, schema]) =>
      [...objectsIn(schema)]
        .filter(([at]) => at.endsWith('/properties'))
        .flatMap(([, object]) => Object.keys(object)),
    );
    expect(members).toContain('client_id');
    expect(members.filter((name) => /hash|generation|version|password|sealed|private/.test(name))).toEqual(
      [],
    );
    const withSecret = answers.filter(([, schema]) => JSON.stringify(schema).includes('client_secret":'));
    expect(withSecret.map(([name]) => name).sort()).toEqual(['CreatedClient', 'CreatedSecret']);
  });

  it('describes documents as they are taken: what one says is valid, the server accepts', async () => {
    const compile = schemasOf(document);
    const admin = await AdminClient.connect(server);
    const body = { client_id: 'a', redirect_uris: ['https://a.example/cb'], rotation_grace: 10 };
    expect(compile('#/components/schemas/NewClient')(body)).toBe(true);
    expect((await admin.call('POST', '/clients', { body })).status).toBe(201);
    const patch = { rotation_grace: null, client_name: 'A' };
    expect(compile('#/components/schemas/ClientPatch')(patch)).toBe(true);
    expect((await admin.call('PATCH', '/clients/a', { body: patch })).status).toBe(200);
    const unknown = { colour: 'red' };
    expect(compile('#/components/schemas/ClientPatch')(unknown)).toBe(false);
    expect((await admin.call('PATCH', '/clients/a', { body: unknown })).status).toBe(422);
  });
});
