/** Which language a page speaks: called by whoever answers a person's request. */
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The language that is complete by definition and that everything falls back to. */
export const DEFAULT_LOCALE = 'en';

/** The folder of templates, assets and message catalogues that comes with the server. */
export const bundledViews: string = fileURLToPath(new URL('../../views', import.meta.url));

/** The languages of a views folder: one file each in `messages/`, named by its BCP 47 tag. */
export const localesIn = (viewsDir: string): string[] =>
  readdirSync(`${viewsDir}/messages`)
    .filter((name) => name.endsWith('.json'))
    .map((name) => name.slice(0, -'.json'.length))
    .sort();

const bundledLocales = localesIn(bundledViews);

/**
 * Chooses a language: `ui_locales` first (OpenID Connect Core 3.1.2.1), then Accept-Language (RFC 9110 12.5.4),
 * each by RFC 4647 lookup; English when neither names one that we have.
 * @param uiLocales space-separated BCP 47 tags, most wanted first
 * @param acceptLanguage the request header as it came
 * @param available the languages to choose from
 */
export function pickLocale(
  uiLocales?: string,
  acceptLanguage?: string,
  available: readonly string[] = bundledLocales,
): string {
  for (const range of [...(uiLocales ?? '').split(/\s+/), ...byQuality(acceptLanguage ?? '')]) {
    const found = lookup(range.toLowerCase(), available);
    if (found) return found;
  }
  return DEFAULT_LOCALE;
}

function byQuality(header: string): string[] {
  return header
    .split(',')
    .map((part) => {
      const [range = '', ...parameters] = part.split(';').map((piece) => piece.trim());
      const weight = parameters.find((parameter) => /^q=/i.test(parameter));
      return { range, quality: weight ? Number(weight.slice(2)) : 1 };
    })
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality)
    .map(({ range }) => range);
}

/** RFC 4647 3.4, and a bare language also finds its only regional form (`pt` finds `pt-BR`). */
function lookup(range: string, available: readonly string[]): string | undefined {
  for (let tag = range; tag; tag = tag.slice(0, Math.max(tag.lastIndexOf('-'), 0))) {
    const found = available.find((locale) => locale.toLowerCase() === tag);
    if (found) return found;
  }
  const language = range.split('-', 1)[0];
  return language ? available.find((locale) => locale.toLowerCase().startsWith(`${language}-`)) : undefined;
}
