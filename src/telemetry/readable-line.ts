/** Log lines for people. Used by `logger.ts` only. */

/** Control characters, among them the C1 ones that some terminals obey and JSON leaves alone. */
// oxlint-disable-next-line no-control-regex -- they are what must not reach the terminal
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

const visible = (text: string): string =>
  text.replace(CONTROL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

const show = (value: unknown): string =>
  visible(typeof value === 'string' && /^[^\s"=]+$/.test(value) ? value : JSON.stringify(value));

/** `08:15:02 INFO  message key=value …` from one JSON line; an error's stack follows on lines of its own. */
export function readableLine(json: string): string {
  const { time, level, msg, err, ...fields } = JSON.parse(json) as Record<string, unknown>;
  const head = `${String(time).slice(11, 19)} ${String(level).toUpperCase().padEnd(5)} ${typeof msg === 'string' ? visible(msg) : ''}`;
  const pairs = Object.entries(fields).map(([key, value]) => ` ${visible(key)}=${show(value)}`);
  return `${head}${pairs.join('')}${err === undefined ? '' : `\n${stackOf(err)}`}\n`;
}

function stackOf(err: unknown): string {
  if (typeof err !== 'object' || err === null) return `  ${show(err)}`;
  const { stack, message, reason, cause } = err as Record<string, unknown>;
  const lines = String(stack ?? message)
    .split('\n')
    .map((line) => `  ${visible(line)}`);
  if (reason !== undefined) lines.push(`  reason: ${show(reason)}`);
  return lines.join('\n') + (cause === undefined ? '' : `\n  caused by\n${stackOf(cause)}`);
}
