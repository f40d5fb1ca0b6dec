import { randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { settingsTable } from '../../src/config/definitions.ts';
import { describeSettings } from '../../src/config/describe.ts';
import { type Env, parseSettings } from '../../src/config/schema.ts';
import { StartError } from '../../src/lib/errors.ts';

const KEY = randomBytes(32).toString('base64url');
const OTHER_KEY = randomBytes(32).toString('base64url');
const production = {
  NODE_ENV: 'production',
  PORTCULLIS_ISSUER: 'https://id.example.com',
  PORTCULLIS_SECRET_KEYS: KEY,
  DATABASE_URL: 'postgresql://db.internal/portcullis',
};

const parse = (env: Env, files: Record<string, string> = {}) =>
  parseSettings(env, {
    readFile: (path) => {
      const text = files[path];
      if (text === undefined) throw Object.assign(new Error(`no ${path}`), { code: 'ENOENT' });
      return text;
    },
    cores: () => 6,
  });

/** The lines of the refusal, without its heading. */
const faults = (env: Env, files: Record<string, string> = {}): string[] => {
  try {
    parse(env, files);
  } catch (error) {
    expect(error).toBeInstanceOf(StartError);
    const [heading, ...lines] = (error as StartError).message.split('\n');
    expect(heading).toBe('The settings cannot be used:');
    return lines.map((line) => line.trim());
  }
  throw new Error('was not refused');
};

describe('defaults', () => {
  it('are those of the documentation when nothing is given', () => {
    expect(parse({})).toEqual({
      environment: 'development',
      port: 3000,
      host: '127.0.0.1',
      issuer: 'http://localhost:3000',
      databaseUrl: 'file:./data/portcullis.db',
      dataDir: './data',
      secretKeys: [],
      bootstrapClient: undefined,
      trustProxy: 0,
      fetchAllow: [],
      workers: 1,
      managementPort: 3001,
      managementHost: '127.0.0.1',
      accessTokenTtl: 600,
      refreshIdleTtl: 14 * 86_400,
      refreshMaxTtl: 90 * 86_400,
      sessionIdleTtl: 14 * 86_400,
      sessionMaxTtl: 90 * 86_400,
      rotationGrace: 0,
      maxFamiliesPerUser: 0,
      auditRetentionDays: 0,
      keyRotationDays: 90,
      keyPollSeconds: 30,
      jwksMaxAge: 300,
      defaultApi: 'http://localhost:3000/api',
      dpopNonces: 'off',
      registration: 'closed',
      passwordPolicy: 'length',
      accountDeletion: false,
      brand: { name: 'Portcullis', logo: undefined, accent: undefined },
      smtpUrl: undefined,
      mailFrom: 'no-reply@localhost',
      tracing: undefined,
    });
  });

  it('follow the settings that they hang on', () => {
    const settings = parse({ PORT: '8080', PORTCULLIS_DATA_DIR: '/var/lib/portcullis/' });
    expect(settings).toMatchObject({
      issuer: 'http://localhost:8080',
      managementPort: 8081,
      databaseUrl: 'file:/var/lib/portcullis/portcullis.db',
      defaultApi: 'http://localhost:8080/api',
    });
    expect(parse(production)).toMatchObject({ host: '0.0.0.0', defaultApi: 'https://id.example.com/api' });
  });

  it('apply to a variable that is set but empty', () => {
    expect(parse({ PORT: '', PORTCULLIS_ISSUER: ' ' })).toMatchObject({ port: 3000 });
  });

  it('treat test like development', () => {
    expect(parse({ NODE_ENV: 'test' }).environment).toBe('development');
  });
});

describe('values', () => {
  it('are read from text', () => {
    const settings = parse({
      ...production,
      PORT: '0',
      PORTCULLIS_SECRET_KEYS: `${KEY}, ${OTHER_KEY}`,
      PORTCULLIS_WORKERS: 'auto',
      PORTCULLIS_TRUST_PROXY: '10.0.0.0/8, ::1,loopback',
      PORTCULLIS_FETCH_ALLOW: 'Hooks.internal:8443,[::1]:9000,10.1.2.3',
      PORTCULLIS_REFRESH_MAX_TTL: '1',
      PORTCULLIS_ROTATION_GRACE: '60',
      PORTCULLIS_BOOTSTRAP_CLIENT_ID: 'ops',
      PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: 'x'.repeat(32),
      PORTCULLIS_DEFAULT_API: 'urn:example:orders',
    });
    expect(settings).toMatchObject({
      port: 0,
      managementPort: 0,
      workers: 6,
      trustProxy: ['10.0.0.0/8', '::1', 'loopback'],
      fetchAllow: ['hooks.internal:8443', '[::1]:9000', '10.1.2.3'],
      refreshMaxTtl: 1,
      rotationGrace: 60,
      bootstrapClient: { id: 'ops', secret: 'x'.repeat(32) },
      defaultApi: 'urn:example:orders',
    });
    expect(settings.secretKeys.map((key) => key.toString('base64url'))).toEqual([KEY, OTHER_KEY]);
    expect(parse({ PORTCULLIS_TRUST_PROXY: '2' }).trustProxy).toBe(2);
  });

  it.each([
    ['https://id.example.com/', 'https://id.example.com'],
    ['https://ID.example.com:443/auth/', 'https://id.example.com/auth'],
    ['http://10.0.0.5:3000/a/b', 'http://10.0.0.5:3000/a/b'],
  ])('give the issuer %s its one form', (given, expected) => {
    expect(parse({ PORTCULLIS_ISSUER: given }).issuer).toBe(expected);
  });

  it('cannot be changed afterwards', () => {
    const settings = parse({ PORTCULLIS_FETCH_ALLOW: 'a.internal' });
    expect(() => Object.assign(settings, { port: 1 })).toThrow(TypeError);
    expect(() => (settings.fetchAllow as string[]).push('b')).toThrow(TypeError);
  });
});

describe('secrets', () => {
  it('are also read from the file that NAME_FILE names', () => {
    const settings = parse(
      {
        DATABASE_URL_FILE: '/run/db',
        PORTCULLIS_SECRET_KEYS_FILE: '/run/keys',
        PORTCULLIS_BOOTSTRAP_CLIENT_ID: 'ops',
        PORTCULLIS_BOOTSTRAP_CLIENT_SECRET_FILE: '/run/secret',
      },
      {
        '/run/db': 'postgresql://u:p@h/d\n',
        '/run/keys': `${KEY}\n${OTHER_KEY}\n`,
        '/run/secret': 'a-secret-of-some-length\n',
      },
    );
    expect(settings.databaseUrl).toBe('postgresql://u:p@h/d');
    expect(settings.secretKeys).toHaveLength(2);
    expect(settings.bootstrapClient?.secret).toBe('a-secret-of-some-length');
  });

  it('are refused when given in both ways, when the file cannot be read, or is empty', () => {
    expect(
      faults(
        {
          DATABASE_URL: 'file:x.db',
          DATABASE_URL_FILE: '/run/db',
          PORTCULLIS_SECRET_KEYS_FILE: '/run/none',
          PORTCULLIS_BOOTSTRAP_CLIENT_ID: 'ops',
          PORTCULLIS_BOOTSTRAP_CLIENT_SECRET_FILE: '/run/empty',
        },
        { '/run/db': 'file:y.db', '/run/empty': '\n' },
      ),
    ).toEqual([
      'DATABASE_URL: given twice, as DATABASE_URL and as DATABASE_URL_FILE',
      'PORTCULLIS_SECRET_KEYS_FILE: the file cannot be read (ENOENT)',
      'PORTCULLIS_BOOTSTRAP_CLIENT_SECRET_FILE: the file is empty',
    ]);
  });

  it('are never repeated by a refusal', () => {
    const text = faults({
      DATABASE_URL: 'mysql://root:hunter2hunter2@h/d',
      PORTCULLIS_SMTP_URL: 'https://root:hunter2hunter2@h',
      PORTCULLIS_SECRET_KEYS: `${KEY},hunter2hunter2`,
      PORTCULLIS_BOOTSTRAP_CLIENT_ID: 'ops',
      PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: 'hunter2 hunter2 hunter2',
    }).join('\n');
    expect(text.split('\n')).toHaveLength(4);
    expect(text).not.toContain('hunter2');
    expect(text).not.toContain(KEY);
  });

  it('are not shown by the description of the settings', () => {
    const settings = parse({
      ...production,
      DATABASE_URL: 'postgresql://alice:hunter2@db.internal:5432/p?password=hunter3',
      PORTCULLIS_BOOTSTRAP_CLIENT_ID: 'ops',
      PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: 'hunter4hunter4hunter4',
      PORTCULLIS_SMTP_URL: 'smtps://alice:hunter5@mail.internal',
    });
    const shown = describeSettings(settings);
    expect(shown.DATABASE_URL).toBe('postgresql://(redacted)@db.internal:5432/p?(redacted)');
    expect(JSON.stringify(shown)).not.toMatch(/hunter|alice/);
    expect(JSON.stringify(shown)).not.toContain(KEY);
    expect(Object.keys(shown).sort()).toEqual(settingsTable.map(({ name }) => name).sort());
  });
});

describe('a refusal', () => {
  it('names every fault at once, in one message', () => {
    const lines = faults({
      NODE_ENV: 'production',
      PORT: 'web',
      PORTCULLIS_ISUER: 'https://id.example.com',
      PORTCULLIS_ROTATION_GRACE: '61',
    });
    expect(lines).toEqual([
      'PORTCULLIS_ISUER: unknown setting; did you mean PORTCULLIS_ISSUER?',
      'PORT: must be a whole number from 0 to 65535 (it is "web")',
      'PORTCULLIS_ROTATION_GRACE: must be a whole number from 0 to 60 (it is "61")',
      'PORTCULLIS_ISSUER: must be given in production',
      'PORTCULLIS_SECRET_KEYS: must be given in production',
      'DATABASE_URL: must be given in production',
    ]);
  });

  it.each<[Env, string]>([
    [{ NODE_ENV: 'prod' }, 'NODE_ENV: must be development or production (it is "prod")'],
    [{ PORT: '65536' }, 'PORT: must be'],
    [{ PORT: '-1' }, 'PORT: must be'],
    [{ PORT: '3e3' }, 'PORT: must be'],
    [{ PORT: '65535' }, 'PORTCULLIS_MANAGEMENT_PORT: must be given when PORT is 65535'],
    [{ PORT: '0' }, 'PORTCULLIS_ISSUER: must be given when PORT is 0'],
    [{ HOST: 'http://x' }, 'HOST: must be an IP address'],
    [{ PORTCULLIS_MANAGEMENT_PORT: '3000' }, 'PORTCULLIS_MANAGEMENT_PORT: must differ from PORT'],
    [{ PORTCULLIS_ISSUER: 'id.example.com' }, 'PORTCULLIS_ISSUER: must be an http(s) URL'],
    [{ PORTCULLIS_ISSUER: 'ftp://id.example.com' }, 'PORTCULLIS_ISSUER: must be an http(s) URL'],
    [{ PORTCULLIS_ISSUER: 'https://id.example.com?a=b' }, 'PORTCULLIS_ISSUER: must have no query'],
    [{ PORTCULLIS_ISSUER: 'https://id.example.com#' }, 'PORTCULLIS_ISSUER: must have no query'],
    [{ PORTCULLIS_ISSUER: 'https://u:p@id.example.com' }, 'PORTCULLIS_ISSUER: must carry no user'],
    [{ PORTCULLIS_ISSUER: 'https://id.example.com/a//b' }, 'PORTCULLIS_ISSUER: its path'],
    [{ PORTCULLIS_ISSUER: 'https://id.example.com/a%2Fb' }, 'PORTCULLIS_ISSUER: its path'],
    [{ ...production, PORTCULLIS_ISSUER: 'http://id.example.com' }, 'PORTCULLIS_ISSUER: must be https'],
    [{ DATABASE_URL: 'mysql://h/d' }, 'DATABASE_URL: must be file:PATH'],
    [{ DATABASE_URL: 'file:' }, 'DATABASE_URL: file: must be followed'],
    [{ DATABASE_URL: 'file::memory:' }, 'DATABASE_URL: file: must be followed'],
    [{ DATABASE_URL: 'postgresql://h' }, 'DATABASE_URL: must name a database'],
    [{ PORTCULLIS_SECRET_KEYS: ',' }, 'PORTCULLIS_SECRET_KEYS: must hold at least one key'],
    [{ PORTCULLIS_SECRET_KEYS: 'c2hvcnQ' }, 'PORTCULLIS_SECRET_KEYS: key 1 is not base64url'],
    [{ PORTCULLIS_SECRET_KEYS: `${KEY},${KEY}` }, 'PORTCULLIS_SECRET_KEYS: key 2 is given twice'],
    [{ PORTCULLIS_SECRET_KEYS: 'A'.repeat(43) }, 'PORTCULLIS_SECRET_KEYS: key 1 is one byte repeated'],
    [{ PORTCULLIS_SECRET_KEYS: `${KEY}!` }, 'PORTCULLIS_SECRET_KEYS: key 1 is not base64url'],
    [{ PORTCULLIS_BOOTSTRAP_CLIENT_ID: 'ops' }, 'PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: must be given together'],
    [
      { PORTCULLIS_BOOTSTRAP_CLIENT_SECRET: 'x'.repeat(32) },
      'PORTCULLIS_BOOTSTRAP_CLIENT_ID: must be given together',
    ],
    [{ PORTCULLIS_TRUST_PROXY: 'true' }, 'PORTCULLIS_TRUST_PROXY: must be a number of hops'],
    [{ PORTCULLIS_TRUST_PROXY: '10.0.0.0/33' }, 'PORTCULLIS_TRUST_PROXY: must be a number of hops'],
    [{ PORTCULLIS_TRUST_PROXY: '99' }, 'PORTCULLIS_TRUST_PROXY: trusts at most 32 hops'],
    [{ PORTCULLIS_FETCH_ALLOW: 'https://a' }, 'PORTCULLIS_FETCH_ALLOW: must be a list of host[:port]'],
    [{ PORTCULLIS_FETCH_ALLOW: 'a:99999' }, 'PORTCULLIS_FETCH_ALLOW: must be a list of host[:port]'],
    [{ PORTCULLIS_WORKERS: '0' }, 'PORTCULLIS_WORKERS: must be auto or'],
    [{ PORTCULLIS_ACCESS_TOKEN_TTL: '0' }, 'PORTCULLIS_ACCESS_TOKEN_TTL: must be a whole number from 1'],
    [{ PORTCULLIS_REFRESH_IDLE_TTL: '14d' }, 'PORTCULLIS_REFRESH_IDLE_TTL: must be a whole number'],
    [{ PORTCULLIS_KEY_ROTATION_DAYS: '-1' }, 'PORTCULLIS_KEY_ROTATION_DAYS: must be a whole number'],
    [{ PORTCULLIS_KEY_POLL_SECONDS: '0' }, 'PORTCULLIS_KEY_POLL_SECONDS: must be'],
    [{ PORTCULLIS_DPOP_NONCES: 'on' }, 'PORTCULLIS_DPOP_NONCES: must be off, offered or required'],
    [{ PORTCULLIS_REGISTRATION: 'yes' }, 'PORTCULLIS_REGISTRATION: must be open or closed'],
    [{ ...production, PORTCULLIS_REGISTRATION: 'open' }, 'PORTCULLIS_REGISTRATION: open needs'],
    [{ PORTCULLIS_PASSWORD_POLICY: '16' }, 'PORTCULLIS_PASSWORD_POLICY: must be length or strength'],
    [{ PORTCULLIS_ACCOUNT_DELETION: 'yes' }, 'PORTCULLIS_ACCOUNT_DELETION: must be true or false'],
    [{ PORTCULLIS_BRAND_NAME: 'x'.repeat(41) }, 'PORTCULLIS_BRAND_NAME: must be 1 to 40 characters'],
    [{ PORTCULLIS_BRAND_NAME: 'evil\u202eemca' }, 'PORTCULLIS_BRAND_NAME: must be 1 to 40 characters'],
    [{ PORTCULLIS_BRAND_LOGO: 'https://x/logo.gif' }, 'PORTCULLIS_BRAND_LOGO: must be the path of a file'],
    [{ PORTCULLIS_BRAND_ACCENT: '#7a1f5c' }, 'PORTCULLIS_BRAND_ACCENT: must be two colours'],
    [{ PORTCULLIS_BRAND_ACCENT: '#7a1f5c,red' }, 'PORTCULLIS_BRAND_ACCENT: must be two colours'],
    [{ PORTCULLIS_SMTP_URL: 'mail.example' }, 'PORTCULLIS_SMTP_URL: must be smtp://… or smtps://…'],
    [{ PORTCULLIS_SMTP_URL: 'https://mail.example' }, 'PORTCULLIS_SMTP_URL: must be smtp://'],
    [{ PORTCULLIS_MAIL_FROM: 'postmaster' }, 'PORTCULLIS_MAIL_FROM: must be an e-mail address'],
    [{ PORTCULLIS_DEFAULT_API: 'orders' }, 'PORTCULLIS_DEFAULT_API: must be an absolute URI'],
    [{ PORTCULLIS_DEFAULT_API: 'https://a/#x' }, 'PORTCULLIS_DEFAULT_API: must be an absolute URI'],
    [{ PORTCULLIS_DEFAULT_API: 'urn:portcullis:admin' }, 'PORTCULLIS_DEFAULT_API: must not be the admin API'],
  ])('of %j says why', (env, expected) => {
    const lines = faults(env);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toContain(expected);
  });

  it('does not follow from a fault that is already named', () => {
    expect(faults({ ...production, PORTCULLIS_ISSUER: 'nowhere' })).toHaveLength(1);
    expect(faults({ PORT: 'x', PORTCULLIS_MANAGEMENT_PORT: '3000' })).toHaveLength(1);
  });
});

describe('names', () => {
  it('of the command-line client, and other programs, are left alone', () => {
    expect(() =>
      parse({
        PORTCULLIS_URL: 'x',
        PORTCULLIS_CLIENT_ID: 'x',
        PORTCULLIS_CLIENT_SECRET: 'x',
        PORTCULLIS_GONE: undefined,
        PORTS: 'x',
      }),
    ).not.toThrow();
  });

  it('that are far from every setting get no hint', () => {
    expect(faults({ PORTCULLIS_FROBNICATE: '1' })).toEqual(['PORTCULLIS_FROBNICATE: unknown setting']);
  });

  it.each(['PORTCULLIS_HOST', 'PORTCULLIS_PORT', 'PORTCULLIS_REDIS', 'PORTCULLIS_TTL'])(
    'that are short get no hint for a setting that merely is short too: %s',
    (name) => {
      expect(faults({ [name]: '1' })).toEqual([`${name}: unknown setting`]);
    },
  );

  it('in the wrong case are unknown', () => {
    expect(faults({ portcullis_issuer: 'x' })).toEqual([
      'portcullis_issuer: unknown setting; did you mean PORTCULLIS_ISSUER?',
    ]);
  });

  it('with _FILE exist for secrets only', () => {
    expect(faults({ PORTCULLIS_ISSUER_FILE: '/x' })).toEqual([
      'PORTCULLIS_ISSUER_FILE: unknown setting; did you mean PORTCULLIS_ISSUER?',
    ]);
  });

  it('that Kubernetes sets for a service called portcullis are ignored', () => {
    expect(() =>
      parse({
        PORTCULLIS_PORT: 'tcp://10.0.0.1:80',
        PORTCULLIS_PORT_80_TCP: 'tcp://10.0.0.1:80',
        PORTCULLIS_PORT_80_TCP_ADDR: '10.0.0.1',
        PORTCULLIS_SERVICE_HOST: '10.0.0.1',
        PORTCULLIS_SERVICE_PORT_HTTP: '80',
      }),
    ).not.toThrow();
    expect(faults({ PORTCULLIS_PORT: '80' })[0]).toContain('unknown setting');
    expect(faults({ PORTCULLIS_MANAGEMENT_PORT: 'tcp://10.0.0.1:9000' })[0]).toContain('enableServiceLinks');
  });
});

describe('OpenTelemetry’s variables', () => {
  const on = { OTEL_EXPORTER_OTLP_ENDPOINT: 'http://collector:4318' };
  const tracing = (env: Record<string, string>) => parse(env).tracing;

  it('name the endpoint: a base, or the whole; the default once traces are asked for', () => {
    expect(tracing(on)?.endpoint).toBe('http://collector:4318/v1/traces');
    expect(tracing({ ...on, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'https://a.example/t' })?.endpoint).toBe(
      'https://a.example/t',
    );
    expect(tracing({ OTEL_EXPORTER_OTLP_ENDPOINT: 'https://c.example/o/?tenant=a' })?.endpoint).toBe(
      'https://c.example/o/v1/traces?tenant=a',
    );
    expect(tracing({ OTEL_TRACES_EXPORTER: 'otlp' })?.endpoint).toBe('http://localhost:4318/v1/traces');
    expect(tracing({ OTEL_SERVICE_NAME: 'x', OTEL_TRACES_SAMPLER: 'always_on' })).toBeUndefined();
  });

  it.each([
    ['parentbased_always_on', undefined, { parentBased: true, ratio: 1 }],
    ['parentbased_traceidratio', '0.25', { parentBased: true, ratio: 0.25 }],
    ['traceidratio', '0', { parentBased: false, ratio: 0 }],
    ['always_off', undefined, { parentBased: false, ratio: 0 }],
  ])('sampler %s %s', (name, arg, sampler) => {
    const env = {
      ...on,
      OTEL_TRACES_SAMPLER: name,
      ...(arg === undefined ? {} : { OTEL_TRACES_SAMPLER_ARG: arg }),
    };
    expect(tracing(env)?.sampler).toEqual(sampler);
  });

  it.each([
    ['OTEL_TRACES_EXPORTER', 'zipkin'],
    ['OTEL_TRACES_SAMPLER', 'constructor'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'authorization=Bearer%20s3cret%0Ax'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'bad name=s3cret'],
    ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4317'],
    ['OTEL_EXPORTER_OTLP_ENDPOINT', 'http://ada:s3cret@collector'],
    ['OTEL_EXPORTER_OTLP_HEADERS', 'authorization=s3cret%'],
    ['OTEL_TRACES_SAMPLER', 'sometimes'],
    ['OTEL_TRACES_SAMPLER_ARG', '2'],
  ])('%s=%s is refused, its value not repeated', (name, value) => {
    const refused = (): unknown => tracing({ ...on, [name]: value });
    expect(refused).toThrow(new RegExp(`${name}: must be`));
    expect(refused).not.toThrow(/s3cret/);
  });
});
