/** The operator's name, logo and accent on our pages, and the check that people can still read them. */
import { readFileSync } from 'node:fs';
import type { Settings } from '../config/schema.ts';
import { StartError } from '../lib/errors.ts';

export interface Brand {
  readonly name: string;
  readonly logo?: { readonly body: Buffer; readonly extension: '.svg' | '.png' } | undefined;
  /** `#rrggbb` for buttons and links, in each theme. */
  readonly accent?: { readonly light: string; readonly dark: string } | undefined;
}

/** Bytes of a logo: it comes with every first page. */
const LOGO_MAX = 256 * 1024;
const PNG = Buffer.from('89504e470d0a1a0a', 'hex');

/**
 * The brand that the settings ask for.
 * @throws StartError when the logo cannot be read, or is no SVG or PNG
 */
export function readBrand({ name, logo: path, accent }: Settings['brand']): Brand {
  if (path === undefined) return { name, accent };
  const refuse = (reason: string): never => {
    throw new StartError(`PORTCULLIS_BRAND_LOGO: ${path} ${reason}`);
  };
  let body: Buffer;
  try {
    body = readFileSync(path);
  } catch (error) {
    return refuse(`cannot be read (${String((error as NodeJS.ErrnoException).code)})`);
  }
  const extension = path.endsWith('.svg') ? '.svg' : '.png';
  if (body.length > LOGO_MAX) return refuse('is larger than 256 KiB');
  const fits =
    extension === '.png' ? body.subarray(0, 8).equals(PNG) : /<svg[\s>]/.test(body.toString('utf8'));
  return fits
    ? { name, accent, logo: { body, extension } }
    : refuse(`is no ${extension.slice(1).toUpperCase()}`);
}

/** WCAG 2.2, success criterion 1.4.3. */
const TEXT_CONTRAST = 4.5;

/** The custom properties of the stylesheet by theme, without their leading dashes; the dark ones follow `prefers-color-scheme: dark`. */
export function themes(css: string): Record<'light' | 'dark', Record<string, string>> {
  const [light = '', dark = ''] = css.split('prefers-color-scheme: dark', 2);
  const colours = (part: string) =>
    Object.fromEntries(
      [...part.matchAll(/--([\w-]+):\s*(#[0-9a-f]{6})\b/gi)].map(([, name, value]) => [name, value]),
    ) as Record<string, string>;
  return { light: colours(light), dark: colours(dark) };
}

/** The contrast ratio of two `#rrggbb` colours, 1 to 21 (WCAG 2.2, "contrast ratio"). */
export function contrast(a: string, b: string): number {
  const [high = 0, low = 0] = [luminance(a), luminance(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

function luminance(colour: string): number {
  const [red = 0, green = 0, blue = 0] = [1, 3, 5].map((at) => {
    const channel = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return channel <= 0.04045 ? channel / 12.92 : ((channel + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Rounded down: what is too little never looks like enough. */
const floored = (ratio: number): string => (Math.floor(ratio * 10) / 10).toFixed(1);

/**
 * The stylesheet with the brand's accent in it.
 * @throws StartError when an accent is no `#rrggbb` colour, or too close to what it stands on
 */
export function brandedCss(css: string, { accent }: Brand): string {
  if (!accent) return css;
  const theme = themes(css);
  const rule = (name: 'light' | 'dark'): string => {
    const colour = accent[name];
    if (!/^#[0-9a-f]{6}$/i.test(colour))
      throw new StartError(`PORTCULLIS_BRAND_ACCENT: ${colour} is no #rrggbb colour`);
    const worst = Math.min(
      ...['page', 'card'].map((ground) => contrast(colour, theme[name][ground] ?? '#000000')),
    );
    if (worst < TEXT_CONTRAST) {
      throw new StartError(
        `PORTCULLIS_BRAND_ACCENT: ${colour} has a contrast of ${floored(worst)} to 1 with ${name} pages; text needs ${TEXT_CONTRAST} to 1`,
      );
    }
    const on = contrast(colour, '#ffffff') >= contrast(colour, '#000000') ? '#ffffff' : '#000000';
    return `:root { --accent: ${colour}; --on-accent: ${on}; }`;
  };
  return `${css}\n${rule('light')}\n@media (prefers-color-scheme: dark) { ${rule('dark')} }\n`;
}
