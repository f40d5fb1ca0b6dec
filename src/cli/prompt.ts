/** Questions to the person at the terminal. */
import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';
import { badUsage, Failure } from './failure.ts';
import type { Terminal } from './terminal.ts';

const interactive = (terminal: Terminal): boolean =>
  terminal.stdin.isTTY === true && terminal.stderr.isTTY === true;

/** One line from the terminal; `undefined` at the end of input. */
function ask(terminal: Terminal, question: string, echo: boolean): Promise<string | undefined> {
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({
    input: terminal.stdin,
    output: echo ? terminal.stderr : silent,
    terminal: true,
  });
  terminal.stderr.write(question);
  return new Promise((resolve, reject) => {
    lines.once('line', resolve);
    lines.once('SIGINT', () => reject(new Failure('interrupted; nothing was changed')));
    lines.once('close', () => resolve(undefined));
  }).finally(() => {
    lines.close();
    if (!echo) terminal.stderr.write('\n');
  }) as Promise<string | undefined>;
}

/**
 * Goes on only when the user agrees.
 * @param yes the user agreed beforehand, by `--yes`
 * @throws Failure when the user says no, or cannot be asked
 */
export async function confirm(terminal: Terminal, question: string, yes: boolean): Promise<void> {
  if (yes) return;
  if (!interactive(terminal)) throw badUsage(`${question} Say --yes: there is no terminal to ask on.`);
  const answer = await ask(terminal, `${question} [y/N] `, true);
  if (!/^y(es)?$/i.test(answer?.trim() ?? '')) throw new Failure('nothing was changed');
}

/** All of standard input, without the line end that `echo` leaves. */
export async function readAll(terminal: Terminal): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of terminal.stdin) chunks.push(Buffer.from(chunk as Buffer | string));
  return Buffer.concat(chunks)
    .toString('utf8')
    .replace(/\r?\n$/, '');
}

/**
 * A secret, typed without echo; `undefined` when there is no terminal.
 * @param repeat asks twice and compares
 */
export async function askSecret(
  terminal: Terminal,
  label: string,
  repeat: boolean,
): Promise<string | undefined> {
  if (!interactive(terminal)) return undefined;
  const first = (await ask(terminal, `${label}: `, false)) ?? '';
  if (!repeat || first === '') return first;
  if ((await ask(terminal, `${label}, once more: `, false)) !== first) {
    throw new Failure('the two entries differ; nothing was changed');
  }
  return first;
}
