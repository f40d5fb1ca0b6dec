/** A device in words, from its User-Agent header: enough for its owner to know it again. */

/** Product names; whatever is not known is left out. */
export interface DeviceName {
  readonly browser?: string | undefined;
  readonly system?: string | undefined;
}

/** In this order: a browser names those that it wants to be taken for as well. */
const BROWSERS: readonly (readonly [RegExp, string])[] = [
  [/\bEdg(?:e|A|iOS)?\//, 'Edge'],
  [/\b(?:OPR|OPX|Opera)\//, 'Opera'],
  [/\bSamsungBrowser\//, 'Samsung Internet'],
  [/\b(?:Firefox|FxiOS)\//, 'Firefox'],
  [/\b(?:Chrome|Chromium|CriOS)\//, 'Chrome'],
  [/\bVersion\/.*\bSafari\//, 'Safari'],
];

const SYSTEMS: readonly (readonly [RegExp, string])[] = [
  [/\biPhone\b/, 'iPhone'],
  [/\biPad\b/, 'iPad'],
  [/\bAndroid\b/, 'Android'],
  [/\bWindows\b/, 'Windows'],
  [/\bCrOS\b/, 'ChromeOS'],
  [/\bMac(?:intosh| OS X)\b/, 'macOS'],
  [/\bLinux\b/, 'Linux'],
];

const known = (names: typeof BROWSERS, userAgent: string): string | undefined =>
  names.find(([pattern]) => pattern.test(userAgent))?.[1];

/** @param userAgent the header as it was kept; anybody may send anything in it, so only names of ours come out */
export function deviceName(userAgent: string | undefined = ''): DeviceName {
  return { browser: known(BROWSERS, userAgent), system: known(SYSTEMS, userAgent) };
}
