/** Where mails go: to an SMTP server, or, in development, into a folder. */
import { mkdir, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Settings } from '../config/schema.ts';
import type { Clock } from '../lib/clock.ts';
import { sortableId } from '../lib/ids.ts';
import type { Logger } from '../telemetry/logger.ts';

/** One mail, plain text. */
export interface Mail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
}

/** @throws Error when it was not taken */
export type MailTransport = (mail: Mail) => Promise<void>;

/** Milliseconds that a server may take for a step. */
const TIMEOUT = 20_000;

export interface MailTransportDependencies {
  readonly settings: Pick<Settings, 'environment' | 'dataDir' | 'smtpUrl' | 'mailFrom'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Undefined where there is no mail: in production without an SMTP server. */
export function createMailTransport(deps: MailTransportDependencies): MailTransport | undefined {
  const { smtpUrl, mailFrom: from, environment } = deps.settings;
  if (smtpUrl !== undefined) return smtp(smtpUrl, from);
  return environment === 'development' ? intoFolder(deps) : undefined;
}

function smtp(url: string, from: string): MailTransport {
  const connected = import('nodemailer').then(({ createTransport }) =>
    createTransport({
      url,
      connectionTimeout: TIMEOUT,
      greetingTimeout: TIMEOUT,
      socketTimeout: TIMEOUT,
      // Nothing that a mail says makes it read a file or a URL.
      disableFileAccess: true,
      disableUrlAccess: true,
    }),
  );
  connected.catch(() => {}); // told by each mail
  return async ({ to, subject, text }) => {
    await (await connected).sendMail({ from, to: { name: '', address: to }, subject, text });
  };
}

function intoFolder({ settings, clock, logger }: MailTransportDependencies): MailTransport {
  const folder = resolve(settings.dataDir, 'mail');
  return async ({ to, subject, text }) => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    const path = `${folder}/${sortableId(clock.now())}.txt`;
    const lines = [`From: ${settings.mailFrom}`, `To: ${to}`, `Subject: ${subject}`, '', text, ''];
    await writeFile(path, lines.join('\n'), { mode: 0o600 });
    logger.info({ event: 'mail.written', path }, 'a mail was written to a file');
  };
}
