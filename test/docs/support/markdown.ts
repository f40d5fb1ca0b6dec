/** Reads Markdown as its reader does: blocks of code in order, each with the output that is said to follow it. */

export interface Block {
  /** Of the fence: `sh`, `js`, `text`, … */
  readonly language: string;
  /** Without the indent of a list. */
  readonly text: string;
  /** The heading above it. */
  readonly heading: string;
  /** The block of language `text` right below it. */
  readonly output?: string | undefined;
}

export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let heading = '';
  for (const [, title, indent = '', language = '', code = ''] of markdown.matchAll(
    /^#+ (.+)$|^( *)```(\w*)\n([^]*?)^ *```$/gm,
  )) {
    if (title !== undefined) heading = title;
    else
      blocks.push({ language, heading, text: code.replaceAll(new RegExp(`^${indent}`, 'gm'), '').trimEnd() });
  }
  return blocks.map((block, index) => {
    const next = blocks[index + 1];
    return { ...block, output: next?.language === 'text' ? next.text : undefined };
  });
}

/** The first table below a heading, cell by cell, without its head. */
export function tableBelow(markdown: string, heading: string): string[][] {
  const [, section = ''] = markdown.split(`\n## ${heading}\n`);
  const rows = /(?:^\|.*\n)+/m.exec(section)?.[0].trim().split('\n') ?? [];
  return rows.slice(2).map((row) =>
    row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

const MASKS: readonly [RegExp, string][] = [
  // oxlint-disable-next-line no-control-regex -- colours
  [/\u001B\[[\d;]*m/g, ''],
  [/\beyJ[\w-]+\.[\w-]+\.[\w-]+/g, 'JWT'],
  [/\bpc[a-z]_[\w-]+/g, 'SECRET'],
  [/\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?Z/g, 'INSTANT'],
  [/^\d\d:\d\d:\d\d\b/gm, 'CLOCK'],
  [/\b1\d{9}\b/g, 'SECONDS'],
  // What the server makes up: 16 bytes, 32 bytes, and ids that sort by time.
  [/(?<![\w-])(?:[\w-]{22}|[\w-]{43}|[\dA-Z]{26})(?![\w-])/g, 'ID'],
  [/[ \t]+/g, ' '],
  [/ $/gm, ''],
];

/** Text without what differs from run to run: ids, secrets, times, and the width of columns. */
export const masked = (text: string): string =>
  MASKS.reduce((now, [pattern, name]) => now.replaceAll(pattern, name), text).trim();

const escape = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, String.raw`\$&`);

/** Whether `output` is what is documented; there, a line `…` stands for any lines, and `…` in a line for any text. */
export function isAsDocumented(output: string, documented: string): boolean {
  const pattern = masked(documented)
    .split('\n')
    .map((line) =>
      line === '…'
        ? '(?:.*\n)*?'
        : `${line
            .split('…')
            .map((part) => escape(part))
            .join('.*')}\n`,
    )
    .join('');
  return new RegExp(`^${pattern}$`).test(`${masked(output)}\n`);
}
