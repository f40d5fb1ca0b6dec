/** What pages load besides their HTML: named by content, so that browsers may keep it for ever. */
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import type { Brand } from './views-brand.ts';
import { brandedCss } from './views-brand.ts';

export interface Asset {
  readonly body: Buffer;
  readonly type: string;
  /** Quoted, as the header wants it. */
  readonly etag: string;
}

const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.js': 'text/javascript; charset=utf-8',
};

/** The assets of a views folder. */
export interface Assets {
  /** The asset's name with its hash in it: `style.css` → `style.1f3c….css`. */
  named(name: string): string;
  get(hashedName: string): Asset | undefined;
}

/**
 * Reads `assets/` once; the brand's logo stands in for `mark`, its accent is added to the stylesheet.
 * @throws StartError when the brand's colours cannot be read against the pages
 */
export function loadAssets(viewsDir: string, brand: Brand): Assets {
  const names = new Map<string, string>();
  const assets = new Map<string, Asset>();
  for (const file of readdirSync(`${viewsDir}/assets`)) {
    let extension = extname(file);
    let body: Buffer = readFileSync(`${viewsDir}/assets/${file}`);
    if (extension === '.css') body = Buffer.from(brandedCss(body.toString('utf8'), brand));
    if (file === 'mark.svg' && brand.logo) ({ body, extension } = brand.logo);
    const type = TYPES[extension];
    if (!type) continue;
    const hash = createHash('sha256').update(body).digest('base64url').slice(0, 16);
    const hashed = `${file.slice(0, -extname(file).length)}.${hash}${extension}`;
    names.set(file, hashed);
    assets.set(hashed, { body, type, etag: `"${hash}"` });
  }
  return {
    named: (name) => names.get(name) ?? name,
    get: (hashedName) => assets.get(hashedName),
  };
}
