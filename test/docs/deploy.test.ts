/** The files below `deploy/` that run the server fit it: settings, ports, health checks, and what confines it. */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { parseSettings, type Settings } from '../../src/config/schema.ts';

const DEPLOY = join(import.meta.dirname, '../../deploy');
const read = (name: string): string => readFileSync(join(DEPLOY, name), 'utf8');
type Env = Record<string, string>;

/** What the server makes of an environment in production, with secrets in the files that these folders offer. */
function settings(env: Env, files: Env): Settings {
  return parseSettings(
    { NODE_ENV: 'production', PORTCULLIS_DATA_DIR: '/data', ...env },
    {
      cores: () => 1,
      readFile: (path) => {
        const text = files[path];
        if (text === undefined) throw new Error(`nothing puts a file at ${path}`);
        return text;
      },
    },
  );
}
const DATABASE = 'postgresql://portcullis:x@database:5432/portcullis\n';
const KEYS = `${createHash('sha256').update('deploy').digest('base64url')}\n`;

/** The fields of Kubernetes and Compose that are looked at. */
interface Node {
  readonly [key: string]: Node;
}
const word = (node: unknown): string => (typeof node === 'string' ? node : '');
const text = (node: unknown): unknown => JSON.parse(JSON.stringify(node ?? null));

describe('Compose', () => {
  const file = parse(read('compose/compose.yaml'), { merge: true }) as Node;
  const services = Object.entries(file['services'] ?? {});
  const ours = services.filter(([, { image }]) => word(image).startsWith('portcullis:'));

  it.each(ours)('%s: the server takes its settings, and each secret is mounted', (_, service) => {
    const env = text(service['environment']) as Env;
    env['PORTCULLIS_ISSUER'] = (env['PORTCULLIS_ISSUER'] ?? '').replace(
      /\$\{SITE:.*\}$/,
      'login.example.com',
    );
    const mounted = Object.values(service['secrets'] ?? {}).map((name) => `/run/secrets/${word(name)}`);
    const values: Env = { '/run/secrets/database_url': DATABASE, '/run/secrets/secret_keys': KEYS };
    const seen = settings(env, Object.fromEntries(mounted.map((path) => [path, values[path] ?? ''])));
    expect(seen.issuer).toBe('https://login.example.com');
    expect(seen.port).toBe(3000);
  });

  it('starts the server after the migrations', () => {
    expect(text(file['services']?.['migrate']?.['command'])).toEqual(['migrate']);
    expect(text(file['services']?.['portcullis']?.['depends_on']?.['migrate'])).toEqual({
      condition: 'service_completed_successfully',
    });
  });

  it('pins every image, publishes Caddy alone, and declares each secret, volume and network', () => {
    for (const [name, service] of services) {
      expect(service['image'], name).toMatch(/:(\$\{VERSION:\?.+\}|\d+\.\d+(\.\d+)?)$/);
      if (name !== 'caddy') expect(service['ports'], name).toBeUndefined();
      for (const secret of Object.values(service['secrets'] ?? {}))
        expect(file['secrets']).toHaveProperty(word(secret));
      for (const network of Object.values(service['networks'] ?? {}))
        expect(file['networks']).toHaveProperty(word(network));
      for (const volume of Object.values(service['volumes'] ?? {})) {
        const [source = ''] = word(volume).split(':');
        if (!source.startsWith('.')) expect(file['volumes']).toHaveProperty(source);
      }
    }
    expect(read('compose/Caddyfile')).toMatch(/reverse_proxy portcullis:3000$/m);
  });

  it.each(ours)('%s has no capability and a read-only root', (_, service) => {
    expect(service).toMatchObject({
      read_only: true,
      cap_drop: ['ALL'],
      security_opt: ['no-new-privileges:true'],
    });
  });
});

describe('Kubernetes', () => {
  const objects = ['portcullis.yaml', 'migrate.yaml'].flatMap((name) =>
    parseAllDocuments(read(`kubernetes/${name}`)).map((document) => document.toJS() as Node),
  );
  const of = (kind: string, name = 'portcullis'): Node => {
    const found = objects.find(
      (each) => word(each['kind']) === kind && word(each['metadata']?.['name']) === name,
    );
    if (!found) throw new Error(`no ${kind} ${name}`);
    return found;
  };
  const pods = [of('Deployment'), of('Job', 'portcullis-migrate')].map(
    (each) => each['spec']?.['template'] as Node,
  );

  it.each(pods)('the server takes the settings of pod %#, and each secret is mounted', (pod) => {
    const [container] = Object.values(pod['spec']?.['containers'] ?? {});
    expect(text(container?.['envFrom'])).toEqual([{ configMapRef: { name: 'portcullis' } }]);
    const mount = Object.values(container?.['volumeMounts'] ?? {}).find(
      ({ name }) => word(name) === 'secrets',
    );
    const folder = word(mount?.['mountPath']);
    const files = { [`${folder}/database_url`]: DATABASE, [`${folder}/secret_keys`]: KEYS };
    const seen = settings(text(of('ConfigMap')['data']) as Env, files);
    expect([seen.port, seen.managementPort]).toEqual([3000, 3001]);
  });

  it.each(pods)('pod %# is not root, cannot write its root, and has no capability', (pod) => {
    expect(pod['spec']).toMatchObject({
      automountServiceAccountToken: false,
      securityContext: { runAsNonRoot: true, runAsUser: 1000, seccompProfile: { type: 'RuntimeDefault' } },
    });
    const [container] = Object.values(pod['spec']?.['containers'] ?? {});
    expect(container).toMatchObject({
      image: expect.stringMatching(/:VERSION$/) as string,
      securityContext: {
        allowPrivilegeEscalation: false,
        readOnlyRootFilesystem: true,
        capabilities: { drop: ['ALL'] },
      },
    });
  });

  it('probes ask what answers, on named ports', () => {
    const [container] = Object.values(pods[0]?.['spec']?.['containers'] ?? {});
    expect(container).toMatchObject({
      ports: [
        { name: 'http', containerPort: 3000 },
        { name: 'management', containerPort: 3001 },
      ],
      startupProbe: { httpGet: { path: '/health/live', port: 'http' } },
      readinessProbe: { httpGet: { path: '/health/ready', port: 'http' } },
      livenessProbe: { httpGet: { path: '/health/live', port: 'http' } },
    });
  });

  it('the job migrates', () => {
    expect(text(Object.values(pods[1]?.['spec']?.['containers'] ?? {})[0]?.['args'])).toEqual(['migrate']);
  });

  it('selectors find the pods that they are meant for', () => {
    const [server, migrate] = pods.map((pod) => text(pod['metadata']?.['labels']));
    expect(text(of('Deployment')['spec']?.['selector']?.['matchLabels'])).toEqual(server);
    expect(text(of('PodDisruptionBudget')['spec']?.['selector']?.['matchLabels'])).toEqual(server);
    expect(text(of('Service')['spec']?.['selector'])).toEqual(server);
    expect(text(of('NetworkPolicy')['spec']?.['podSelector']?.['matchLabels'])).toEqual(server);
    const second = of('NetworkPolicy', 'portcullis-migrate');
    expect(text(second['spec']?.['podSelector']?.['matchLabels'])).toEqual(migrate);
  });

  it('the service does not show the management port', () => {
    expect(text(of('Service')['spec']?.['ports'])).toEqual([{ name: 'http', port: 80, targetPort: 'http' }]);
  });
});

describe('systemd', () => {
  const unit = read('systemd/portcullis.service');
  const lines = (name: string): string[] =>
    [...unit.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value);

  it('the server takes its settings, and each secret is a credential', () => {
    const env = Object.fromEntries(
      lines('Environment').map((line) => line.split('=', 2) as [string, string]),
    );
    const values: Env = { database_url: DATABASE, secret_keys: KEYS, bootstrap_secret: 'ab'.repeat(32) };
    const files = Object.fromEntries(
      lines('LoadCredential').map((line) => [
        `%d/${line.split(':')[0]}`,
        values[line.split(':')[0] ?? ''] ?? '',
      ]),
    );
    const folder = { PORTCULLIS_DATA_DIR: word(env['PORTCULLIS_DATA_DIR']).replace('%S', '/var/lib') };
    expect(settings({ ...env, ...folder }, files).host).toBe('127.0.0.1');
  });

  // Needs systemd's own program, which containers and other systems lack; the structure is checked above.
  it.skipIf(spawnSync('systemd-analyze', ['--version']).error)(
    'systemd understands the unit, and finds little that it could still do',
    () => {
      const folder = mkdtempSync(join(tmpdir(), 'portcullis-unit-'));
      onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
      const path = join(folder, 'portcullis.service');
      writeFileSync(path, unit.replace('=/usr/bin/node', `=${process.execPath}`));
      const verified = spawnSync('systemd-analyze', ['verify', path], { encoding: 'utf8' });
      // It looks at the machine's own units too: only what it says of ours counts.
      expect(verified.stderr.split('\n').filter((line) => line.includes('portcullis'))).toEqual([]);
      const judged = spawnSync(
        'systemd-analyze',
        ['security', '--offline=true', '--no-pager', '--threshold=20', path],
        { encoding: 'utf8' },
      );
      expect(judged.status, judged.stdout + judged.stderr).toBe(0);
    },
  );
});
