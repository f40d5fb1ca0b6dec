/** Mails as they arrive: in development they are files. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, vi } from 'vitest';
import type { World } from '../../support/fixtures.ts';

export interface ReceivedMail {
  readonly to: string;
  readonly subject: string;
  readonly text: string;
  /** The one link that is in it. */
  readonly link: string;
}

function parse(content: string): ReceivedMail {
  const [head = '', ...rest] = content.split('\n\n');
  const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(head)?.[1] ?? '';
  const text = rest.join('\n\n');
  return { to: field('To'), subject: field('Subject'), text, link: /https?:\/\/\S+/.exec(text)?.[0] ?? '' };
}

/** All that were sent to an address so far. */
export function received(world: World, to: string): ReceivedMail[] {
  const folder = `${world.dataDir}/mail`;
  const names = existsSync(folder) ? readdirSync(folder).sort() : [];
  return names
    .map((name) => parse(readFileSync(`${folder}/${name}`, 'utf8')))
    .filter((mail) => mail.to === to);
}

/** Resolves when nothing is left to be sent. */
export async function delivered(world: World): Promise<void> {
  const { prisma } = world.app.domain.storage.database;
  await vi.waitFor(async () => expect(await prisma.mail.count()).toBe(0), { timeout: 20_000, interval: 50 });
}

/** The newest mail to an address, once everything is sent. */
export async function mailTo(world: World, to: string): Promise<ReceivedMail> {
  await delivered(world);
  const mail = received(world, to).at(-1);
  if (!mail) throw new Error(`no mail to ${to}`);
  return mail;
}
