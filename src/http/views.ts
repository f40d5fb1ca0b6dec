/** The pages that people see, as a function of data and language. Knows no request and no route: those who do call it. */
import { Eta } from 'eta';
import { DEFAULT_LOCALE, bundledViews } from './locales.ts';
import type { Asset } from './views-assets.ts';
import { loadAssets } from './views-assets.ts';
import type { Brand } from './views-brand.ts';
import type { Page, ViewContext } from './views-pages.ts';
import { escapeHtml, loadTexts, safeHref } from './views-text.ts';

export type { Asset } from './views-assets.ts';
export type { Brand } from './views-brand.ts';
export type * from './views-account.ts';
export type * from './views-pages.ts';

export interface ViewOptions {
  /** A folder like `views/`; the bundled one by default. */
  readonly viewsDir?: string;
  readonly brand?: Partial<Brand>;
}

export interface Views {
  /** The whole HTML document of a page. */
  render(page: Page, context: ViewContext): string;
  /** What `GET {basePath}/assets/{name}` serves, as `public, max-age=31536000, immutable`: its name changes with its content. */
  asset(name: string): Asset | undefined;
  /** A message of the catalogue as plain text; throws when there is none. */
  text(locale: string, key: string, values?: Readonly<Record<string, string | number>>): string;
}

/**
 * Reads templates, catalogues and assets; restart to see a change.
 * @throws StartError when the brand's colours cannot be read against the pages
 */
export function createViews(options: ViewOptions = {}): Views {
  const viewsDir = options.viewsDir ?? bundledViews;
  const brand: Brand = { name: 'Portcullis', ...options.brand };
  const assets = loadAssets(viewsDir, brand);
  const texts = loadTexts(viewsDir);
  const eta = new Eta({
    views: viewsDir,
    cache: true,
    autoEscape: true,
    escapeFunction: escapeHtml,
    functionHeader: 'const { t, rich, href, basePath } = it;',
  });
  const textsOf = (locale: string) => {
    const found = texts.get(locale) ?? texts.get(DEFAULT_LOCALE);
    if (!found) throw new Error(`no messages for ${DEFAULT_LOCALE}`);
    return found;
  };

  return {
    render: (page, { locale, requestId, basePath }) =>
      eta.render(`/${page.page}`, {
        ...page,
        ...textsOf(locale),
        brand: brand.name,
        requestId,
        basePath,
        href: safeHref,
        asset: (name: string) => `${basePath}/assets/${assets.named(name)}`,
      }),
    asset: (name) => assets.get(name),
    text: (locale, key, values) => textsOf(locale).t(key, values),
  };
}
