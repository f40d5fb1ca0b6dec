/** The dashboard and the alert rules below `deploy/`: they work, and name nothing that a server does not show. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { startWorld } from '../support/fixtures.ts';
import { freePort } from '../support/server.ts';

const DEPLOY = join(import.meta.dirname, '../../deploy');
const read = (name: string): string => readFileSync(join(DEPLOY, name), 'utf8');

interface Dashboard {
  readonly panels: readonly { readonly targets: readonly { readonly expr: string }[] }[];
}
interface Rules {
  readonly groups: readonly {
    readonly rules: readonly { readonly alert: string; readonly expr: string }[];
  }[];
}
const rules = (parse(read('prometheus/alerts.yml')) as Rules).groups.flatMap((group) => group.rules);
const panels = (JSON.parse(read('grafana/portcullis.json')) as Dashboard).panels;
const expressions = [...rules, ...panels.flatMap(({ targets }) => targets)].map(({ expr }) => expr);

/** Counters and gauges by their name, histograms by that of their series too; and the labels of what has samples. */
function shown(exposition: string): { names: Set<string>; labels: Map<string, Set<string>> } {
  const names = new Set<string>();
  for (const [, name = '', type] of exposition.matchAll(/^# TYPE (\S+) (\w+)$/gm)) {
    for (const end of type === 'histogram' ? ['_bucket', '_count', '_sum'] : ['']) names.add(name + end);
  }
  const labels = new Map<string, Set<string>>();
  for (const [, name = '', text = ''] of exposition.matchAll(/^(\w+)\{([^}]*)\}/gm)) {
    labels.set(name, new Set([...text.matchAll(/(\w+)="/g)].map(([, label = '']) => label)));
  }
  return { names, labels };
}

it('client authentication is counted by method, with its outcome', async () => {
  const world = await startWorld();
  onTestFinished(world.close);
  const form = { token: 'unknown' };
  await world.post('/introspect', form, world.gateway);
  await world.post('/revoke', form, world.spa);
  await world.post('/token', { grant_type: 'client_credentials' }, { ...world.machine, secret: 'wrong' });
  await world.post('/token', {
    ...form,
    client_id: 'nobody',
    client_secret: 'x',
    grant_type: 'client_credentials',
  });
  const lines = (await world.app.metrics.render())
    .split('\n')
    .filter((line) => line.startsWith('portcullis_client_auth'));
  expect(lines.sort()).toEqual([
    'portcullis_client_auth_total{method="client_secret_basic",outcome="failed"} 1',
    'portcullis_client_auth_total{method="client_secret_basic",outcome="succeeded"} 1',
    'portcullis_client_auth_total{method="client_secret_post",outcome="failed"} 1',
    'portcullis_client_auth_total{method="none",outcome="succeeded"} 1',
  ]);
});

it('every metric and label that dashboard and alert rules name is in /metrics of a running server', async () => {
  const managementPort = await freePort();
  const world = await startWorld({ env: { PORTCULLIS_MANAGEMENT_PORT: String(managementPort) } });
  onTestFinished(world.close);
  const { access_token: token, refresh_token: refreshToken = '' } = await world.tokens(world.web);
  await world.introspect(token);
  await world.post('/token', { grant_type: 'password' }, world.web);
  await world.post('/revoke', { token: refreshToken }, world.web);
  world.app.metrics.expiringSecrets([{ clientId: 'web', expiresAt: 1_000 }]);
  const exposition = await (await fetch(`http://127.0.0.1:${managementPort}/metrics`)).text();
  const { names, labels } = shown(exposition);
  expect(expressions.length).toBeGreaterThan(15);
  for (const expr of expressions) {
    const named = [...expr.matchAll(/portcullis_\w+/g)].map(([name]) => name);
    expect(named).not.toHaveLength(0);
    const known = new Set(['le', ...named.flatMap((name) => [...(labels.get(name) ?? [])])]);
    for (const name of named) expect(names, expr).toContain(name);
    const used = [
      ...[...expr.matchAll(/by \(([\w, ]+)\)/g)].flatMap(([, list = '']) => list.split(', ')),
      ...[...expr.matchAll(/(\w+)=~?"/g)].map(([, label = '']) => label),
    ];
    for (const label of used) expect([...known], expr).toContain(label);
  }
});

describe('the alert rules', () => {
  const promtool = (...argv: string[]) =>
    spawnSync('promtool', argv, { cwd: join(DEPLOY, 'prometheus'), encoding: 'utf8' });
  const missing = promtool('--version').error !== undefined;

  // Needs Prometheus's own program; the names in the rules are checked against a running server all the same.
  it.skipIf(missing)(
    `are right by their tests${missing ? ' (skipped: no promtool, which Debian’s package prometheus brings)' : ''}`,
    () => {
      for (const argv of [
        ['check', 'rules', 'alerts.yml'],
        ['test', 'rules', 'alerts.test.yml'],
      ]) {
        const { status, stdout, stderr } = promtool(...argv);
        expect(status, stdout + stderr).toBe(0);
      }
    },
  );

  it('each have a test that sees them fire', () => {
    const tests = read('prometheus/alerts.test.yml');
    for (const { alert } of rules)
      expect(tests).toMatch(new RegExp(`alertname: ${alert}\\n\\s+exp_alerts:\\n\\s+- `));
  });
});
