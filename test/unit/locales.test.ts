import { describe, expect, it } from 'vitest';
import { pickLocale } from '../../src/http/locales.ts';

describe('the language of a page', () => {
  it.each([
    [undefined, undefined, 'en'],
    ['', '', 'en'],
    ['de', 'en', 'de'],
    ['fr de en', 'en', 'de'],
    ['fr', 'de-AT, en;q=0.5', 'de'],
    [undefined, 'de-CH-1996', 'de'],
    [undefined, 'DE', 'de'],
    [undefined, 'en;q=0.4, de;q=0.9', 'de'],
    [undefined, 'de;q=0, en', 'en'],
    [undefined, 'de;q=nonsense', 'en'],
    [undefined, 'fr, *;q=0.1', 'en'],
    [undefined, ';;,,q=1,-,--', 'en'],
    ['../../etc/passwd', '__proto__', 'en'],
  ])('ui_locales %j, then Accept-Language %j: %s', (uiLocales, acceptLanguage, expected) => {
    expect(pickLocale(uiLocales, acceptLanguage)).toBe(expected);
  });

  it('a bare language finds its regional form', () => {
    expect(pickLocale('pt', undefined, ['en', 'pt-BR'])).toBe('pt-BR');
    expect(pickLocale('pt-PT', undefined, ['en', 'pt-BR'])).toBe('pt-BR');
  });
});
