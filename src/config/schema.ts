/** Settings: a pure function of an environment record. `load.ts` calls it; everything else takes `Settings`. */
import type { z } from 'zod';
import { StartError } from '../lib/errors.ts';
import { nameFaults } from './names.ts';
import { tracingSettings, type TracingSettings } from './tracing.ts';
import { type Definitions, definitions } from './definitions.ts';

/** Everything that can be set. Lifetimes are seconds; deeply frozen. */
export interface Settings {
  readonly environment: 'development' | 'production';
  readonly port: number;
  readonly host: string;
  /** Without a slash at its end. */
  readonly issuer: string;
  readonly databaseUrl: string;
  readonly dataDir: string;
  /** The first wraps, all unwrap. Empty in development when not given: the app makes one in `dataDir`. */
  readonly secretKeys: readonly Buffer[];
  readonly bootstrapClient: { readonly id: string; readonly secret: string } | undefined;
  /** Hops, or addresses and CIDR blocks. */
  readonly trustProxy: number | readonly string[];
  /** `host[:port]`, lower case. */
  readonly fetchAllow: readonly string[];
  readonly workers: number;
  readonly managementPort: number;
  readonly managementHost: string;
  readonly accessTokenTtl: number;
  /** May be longer than `refreshMaxTtl`; the earlier end counts. */
  readonly refreshIdleTtl: number;
  readonly refreshMaxTtl: number;
  readonly sessionIdleTtl: number;
  readonly sessionMaxTtl: number;
  readonly rotationGrace: number;
  /** 0 = no cap. */
  readonly maxFamiliesPerUser: number;
  /** 0 = for ever. */
  readonly auditRetentionDays: number;
  readonly keyRotationDays: number;
  readonly keyPollSeconds: number;
  readonly jwksMaxAge: number;
  readonly defaultApi: string;
  /** Whether DPoP proofs may, or must, hold a nonce of this server. */
  readonly dpopNonces: 'off' | 'offered' | 'required';
  readonly registration: 'open' | 'closed';
  /** See `users/password-policy.ts`. */
  readonly passwordPolicy: 'length' | 'strength';
  /** Whether people may delete their own accounts. */
  readonly accountDeletion: boolean;
  readonly brand: {
    readonly name: string;
    /** Path of an `.svg` or `.png` file. */
    readonly logo: string | undefined;
    /** `#rrggbb` on light and on dark pages. */
    readonly accent: { readonly light: string; readonly dark: string } | undefined;
  };
  /** Undefined in development: mails are written into `dataDir`; in production: there are none. */
  readonly smtpUrl: string | undefined;
  readonly mailFrom: string;
  /** From OpenTelemetry's variables; undefined: no traces. */
  readonly tracing: TracingSettings | undefined;
}

/** An environment record, such as `process.env`. */
export type Env = Readonly<Record<string, string | undefined>>;

/** What parsing needs from the machine. */
export interface SettingsIo {
  /** The text of a file; throws when it cannot be read. */
  readFile(path: string): string;
  /** Number of cores, for `PORTCULLIS_WORKERS=auto`. */
  cores(): number;
}

type Values = { [K in keyof Definitions]?: z.output<Definitions[K]['schema']> };

/**
 * Reads and checks every setting.
 * @throws StartError whose message names every fault, one on each line; secret values are never repeated
 */
export function parseSettings(env: Env, io: SettingsIo): Settings {
  const faults = nameFaults(env);
  const values: Record<string, unknown> = {};
  const broken = new Set<string>();
  for (const [key, definition] of Object.entries(definitions)) {
    const before = faults.length;
    const text = textOf(env, io, definition, faults);
    const result = text === undefined ? undefined : definition.schema.safeParse(text);
    if (result?.success) values[key] = result.data;
    else if (result) faults.push(`${definition.name}: ${faultText(env, definition, result.error)}`);
    if (faults.length > before) broken.add(definition.name);
  }
  const settings = { ...assemble(values, io, broken, faults), tracing: tracingSettings(env, faults) };
  if (faults.length > 0) {
    throw new StartError(['The settings cannot be used:', ...faults.map((each) => `  ${each}`)].join('\n'));
  }
  return deepFreeze(settings);
}

type Definition = Definitions[keyof Definitions];

/** The text that was given for a setting; an empty variable counts as not given. */
function textOf(
  env: Env,
  io: SettingsIo,
  { name, secret }: Definition,
  faults: string[],
): string | undefined {
  const text = env[name]?.trim() || undefined;
  const file = (secret && env[`${name}_FILE`]) || undefined;
  if (file === undefined) return text;
  if (text !== undefined) {
    faults.push(`${name}: given twice, as ${name} and as ${name}_FILE`);
    return undefined;
  }
  try {
    const content = io.readFile(file).trim();
    if (content) return content;
    faults.push(`${name}_FILE: the file is empty`);
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? ` (${String(error.code)})` : '';
    faults.push(`${name}_FILE: the file cannot be read${code}`);
  }
  return undefined;
}

function faultText(env: Env, { name, secret }: Definition, error: z.ZodError): string {
  const given = env[name] ?? '';
  const message = error.issues.map((issue) => issue.message).join('; ');
  if (secret) return message;
  const hint = /^(?:tcp|udp|sctp):\/\//.test(given)
    ? ', which a Kubernetes service link set: use enableServiceLinks: false'
    : '';
  return `${message} (it is ${JSON.stringify(given)}${hint})`;
}

/** Defaults that hang on other settings, and the rules that span settings. */
function assemble(
  values: Values,
  io: SettingsIo,
  broken: Set<string>,
  faults: string[],
): Omit<Settings, 'tracing'> {
  const environment = values.environment ?? 'development';
  const production = environment === 'production';
  /** Adds a fault unless one of the settings that it speaks of is already faulty. */
  const refuse = (name: string, reason: string, ...others: string[]): void => {
    if (![name, ...others].some((each) => broken.has(each))) faults.push(`${name}: ${reason}`);
  };
  const port = values.port ?? 3000;
  const managementPort = values.managementPort ?? (port === 0 ? 0 : port + 1);
  const dataDir = values.dataDir ?? './data';
  const issuer = values.issuer ?? `http://localhost:${port}`;
  const { bootstrapId: id, bootstrapSecret: secret, workers = 1 } = values;

  if (production && !values.issuer) refuse('PORTCULLIS_ISSUER', 'must be given in production');
  else if (production && !issuer.startsWith('https:')) {
    refuse('PORTCULLIS_ISSUER', `must be https in production (it is "${issuer}")`);
  } else if (port === 0 && !values.issuer) refuse('PORTCULLIS_ISSUER', 'must be given when PORT is 0');
  if (production && !values.secretKeys) refuse('PORTCULLIS_SECRET_KEYS', 'must be given in production');
  if (production && !values.databaseUrl) refuse('DATABASE_URL', 'must be given in production');
  if (managementPort > 65_535) refuse('PORTCULLIS_MANAGEMENT_PORT', 'must be given when PORT is 65535');
  if (port !== 0 && managementPort === port) {
    refuse('PORTCULLIS_MANAGEMENT_PORT', 'must differ from PORT', 'PORT');
  }
  if ((id === undefined) !== (secret === undefined)) {
    const [missing, given] = [
      'PORTCULLIS_BOOTSTRAP_CLIENT_ID',
      'PORTCULLIS_BOOTSTRAP_CLIENT_SECRET',
    ] as const;
    if (id === undefined) refuse(missing, `must be given together with ${given}`, given);
    else refuse(given, `must be given together with ${missing}`, missing);
  }
  const defaultApi = values.defaultApi ?? `${issuer}/api`;
  if (defaultApi === 'urn:portcullis:admin') {
    refuse('PORTCULLIS_DEFAULT_API', 'must not be the admin API: every token would then be made for it');
  }
  const { registration = 'closed' } = values;
  if (production && registration === 'open' && !values.smtpUrl) {
    const [name, needed] = ['PORTCULLIS_REGISTRATION', 'PORTCULLIS_SMTP_URL'] as const;
    refuse(name, `open needs ${needed}: addresses are confirmed by e-mail`, needed);
  }
  return {
    environment,
    port,
    host: values.host ?? (production ? '0.0.0.0' : '127.0.0.1'),
    issuer,
    databaseUrl: values.databaseUrl ?? `file:${dataDir}/portcullis.db`,
    dataDir,
    secretKeys: values.secretKeys ?? [],
    bootstrapClient: id !== undefined && secret !== undefined ? { id, secret } : undefined,
    trustProxy: values.trustProxy ?? 0,
    fetchAllow: values.fetchAllow ?? [],
    workers: workers === 0 ? Math.max(1, io.cores()) : workers,
    managementPort,
    managementHost: values.managementHost ?? '127.0.0.1',
    accessTokenTtl: values.accessTokenTtl ?? 600,
    refreshIdleTtl: values.refreshIdleTtl ?? 1_209_600,
    refreshMaxTtl: values.refreshMaxTtl ?? 7_776_000,
    sessionIdleTtl: values.sessionIdleTtl ?? 1_209_600,
    sessionMaxTtl: values.sessionMaxTtl ?? 7_776_000,
    rotationGrace: values.rotationGrace ?? 0,
    maxFamiliesPerUser: values.maxFamiliesPerUser ?? 0,
    auditRetentionDays: values.auditRetentionDays ?? 0,
    keyRotationDays: values.keyRotationDays ?? 90,
    keyPollSeconds: values.keyPollSeconds ?? 30,
    jwksMaxAge: values.jwksMaxAge ?? 300,
    defaultApi,
    dpopNonces: values.dpopNonces ?? 'off',
    registration,
    passwordPolicy: values.passwordPolicy ?? 'length',
    accountDeletion: values.accountDeletion ?? false,
    brand: { name: values.brandName ?? 'Portcullis', logo: values.brandLogo, accent: values.brandAccent },
    smtpUrl: values.smtpUrl,
    mailFrom: values.mailFrom ?? `no-reply@${new URL(issuer).hostname}`,
  };
}

/** Freezes plain objects and arrays; bytes cannot be frozen. */
function deepFreeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return value;
  for (const each of Object.values(value)) deepFreeze(each);
  return Object.freeze(value);
}
