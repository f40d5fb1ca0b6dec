/** `portcullis doctor`: a check-up of this host. It changes nothing. */
import type { Settings } from '../../config/schema.ts';
import { StartError } from '../../lib/errors.ts';
import { Failure } from '../failure.ts';
import { print, printJson, type Terminal } from '../terminal.ts';
import { checkDatabase } from './database.ts';
import { checkFiles } from './files.ts';
import { fail, ok, warn, type Finding } from './finding.ts';
import { checkIssuer, checkProxy } from './network.ts';

const MARKS = { ok: 'ok  ', warn: 'WARN', fail: 'FAIL' } as const;

/**
 * Prints every finding.
 * @param load reads the settings
 * @throws Failure when one of them is `fail`
 */
export async function runDoctor(
  terminal: Terminal,
  load: () => Promise<Settings>,
  { json }: { readonly json?: true },
): Promise<void> {
  const findings = await examine(terminal, load);
  if (json) printJson(terminal, { findings });
  else {
    for (const { status, check, message, advice } of findings) {
      print(terminal, `${MARKS[status]}  ${check}: ${message}`);
      if (advice !== undefined) print(terminal, `      → ${advice}`);
    }
  }
  const failed = findings.filter(({ status }) => status === 'fail').length;
  if (failed > 0) throw new Failure(`${failed} of ${findings.length} checks failed`);
}

async function examine(terminal: Terminal, load: () => Promise<Settings>): Promise<Finding[]> {
  let settings: Settings;
  try {
    settings = await load();
  } catch (error) {
    if (!(error instanceof StartError)) throw error;
    return [fail('settings', error.message, 'Nothing else can be looked at until they are in order.')];
  }
  const { clock, env } = terminal;
  const issuer = await checkIssuer(settings); // a request that the proxy check then sees
  return [
    checkSettings(settings),
    ...(await checkDatabase(settings, () => clock.now())),
    issuer,
    await checkProxy(settings),
    ...checkFiles(settings, env),
  ];
}

function checkSettings({ environment, issuer, managementHost }: Settings): Finding {
  if (environment === 'development' && issuer.startsWith('https:')) {
    return warn(
      'settings',
      'a server with an https issuer runs as a development server',
      'Set NODE_ENV=production: else the admin credential lies in the data folder, and logs are not JSON.',
    );
  }
  if (environment === 'production' && !['127.0.0.1', '::1', 'localhost'].includes(managementHost)) {
    return warn(
      'settings',
      `the management port binds to ${managementHost}`,
      'Let nobody but the monitoring reach it: it has no authentication.',
    );
  }
  return ok('settings', `in order, for ${environment}`);
}
