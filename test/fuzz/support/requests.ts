/** Requests for fuzzing: what an endpoint knows, changed here and there, and noise. A seed makes the same ones again. */
import fc from 'fast-check';
import type { Endpoint } from './endpoints.ts';

/** A request as it goes over the wire. */
export interface WireRequest {
  readonly method: string;
  readonly target: string;
  /** Names may come twice. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Buffer;
  /** The bytes are changed on the way: where, and to what. */
  readonly noise: readonly (readonly [where: number, byte: number])[];
}

/** Values that are good, by the name of the parameter. */
export type Known = Readonly<Record<string, readonly string[]>>;

/** Values that parsers, databases and languages trip over. */
const TRICKY = [
  '\u0000',
  'a\u0000b',
  '\u202E',
  '\uFFFF',
  '\uD83D\uDE00',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  'null',
  'undefined',
  '[]',
  '{}',
  '{"id_token":{"sub":{"value":1}}}',
  '['.repeat(500),
  '{"a":'.repeat(500),
  '-1',
  '0',
  '1e999',
  '9007199254740993',
  '99999999999999999999999999',
  '"',
  "' OR 1=1 --",
  '%',
  '%00',
  '\r\nx: y',
  '<script>',
  'urn:ietf:params:oauth:request_uri:',
  'urn:ietf:params:oauth:request_uri:\u0000',
  'https://other.example/api',
  'https://user:pass@orders.example/api#x',
  'http://[::1]:0/',
  'javascript:alert(1)',
  '//',
  '/../..',
  'a.b.c',
  'e30.e30.e30',
  'eyJhbGciOiJub25lIn0.e30.',
  'a.b.c.d.e',
  'pcr_',
  'pcr_\u0000',
  `pcr_${'A'.repeat(107)}`,
  'pca_\u0000',
  'at+jwt:presented',
  '1970-01-01T00:00:00Z',
  '275760-09-13',
  ' ',
  ' '.repeat(100),
  'x'.repeat(3000),
  'é'.repeat(2000),
];
const tricky = fc.constantFrom(...TRICKY);
const noise = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 40 }),
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.json({ maxDepth: 2 }),
);

/** Percent-encodes; lone surrogates, which have no UTF-8, become bytes that are none. */
const encode = (text: string): string => {
  try {
    return encodeURIComponent(text);
  } catch {
    return '%ED%A0%80';
  }
};

type Values = readonly (readonly [string, unknown])[];

const valueOf = (known: Known, name: string): fc.Arbitrary<string> => {
  const good = known[name] ?? [];
  return good.length === 0
    ? fc.oneof(tricky, noise)
    : fc.oneof(
        { weight: 8, arbitrary: fc.constantFrom(...good) },
        { weight: 2, arbitrary: tricky },
        { weight: 1, arbitrary: noise },
      );
};

/** JSON knows more kinds of values. */
const jsonOf = (known: Known, name: string): fc.Arbitrary<unknown> =>
  fc.oneof(
    { weight: 4, arbitrary: valueOf(known, name) },
    { weight: 1, arbitrary: fc.array(valueOf(known, name), { maxLength: 3 }) },
    { weight: 2, arbitrary: fc.constantFrom(true, false, 0, 1, -1, 60, 1e300, null, {}) },
    { weight: 1, arbitrary: fc.jsonValue({ maxDepth: 3 }) },
  );

/** Some of the parameters; rarely one twice. */
function parameters(names: readonly string[], value: (name: string) => fc.Arbitrary<unknown>) {
  const all = names.map((name) =>
    fc.record({
      values: fc.array(value(name), { minLength: 2, maxLength: 2 }),
      times: fc.oneof(
        { weight: 3, arbitrary: fc.constant(0) },
        { weight: 7, arbitrary: fc.constant(1) },
        { weight: 1, arbitrary: fc.integer({ min: 0, max: 2 }) },
      ),
    }),
  );
  return fc
    .tuple(...all)
    .map((drawn): Values =>
      drawn.flatMap(({ values, times }, index) =>
        values.slice(0, times).map((each) => [names[index] ?? '', each] as const),
      ),
    );
}

const form = (values: Values): string =>
  values.map(([name, value]) => `${encode(name)}=${encode(String(value))}`).join('&');

/** A header's value: what HTTP cannot carry is left out. */
const headerSafe = (text: string): string => text.replaceAll(/[^\t\x20-\x7e\x80-\xff]/g, '').trim();

const TYPES = { form: 'application/x-www-form-urlencoded', json: 'application/json', query: '' };
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'PROPFIND'];

/** Headers that endpoints read, beside those that let in. */
const extraHeaders = (known: Known): fc.Arbitrary<WireRequest['headers']> => {
  const header = (name: string, ...good: string[]) =>
    fc
      .oneof(fc.constantFrom(...good, ...(known[name] ?? [])), tricky, noise)
      .map((value) => [name, headerSafe(value)] as const);
  return fc.array(
    fc.oneof(
      header('dpop', 'a.b.c', ''),
      header('origin', 'https://spa.example', 'null', 'https://evil.example'),
      header(
        'accept',
        'text/html',
        'application/json',
        'application/token-introspection+jwt',
        'application/x-ndjson',
      ),
      header('accept-language', 'de', 'en;q=0.5,*;q=0', 'xx-'),
      header('if-match', '*', '"x"', 'W/"x"'),
      header('if-none-match', '*', '"x"'),
      header('cookie', 'portcullis_session=x', 'portcullis_session=; a=b'),
      header('authorization', 'Bearer', 'Basic', 'Basic Og==', 'Basic %%%', 'DPoP x'),
      header(
        'content-type',
        'text/plain',
        'multipart/form-data; boundary=x',
        'application/json; charset=utf-16',
      ),
      header('content-encoding', 'gzip', 'identity'),
      header('host', 'evil.example'),
      header('x-forwarded-host', 'evil.example'),
      header('x-forwarded-proto', 'https', 'x'),
      header('x-request-id', 'x'),
      header('user-agent', 'x'),
    ),
    { maxLength: 2 },
  );
};

/** The headers that a caller of this sort is let in by, mostly. */
const letIn = (known: Known, as: Endpoint['as']): fc.Arbitrary<WireRequest['headers']> => {
  const good = known[as === 'browser' ? 'cookie' : `as ${as}`] ?? [];
  const name = as === 'browser' ? 'cookie' : 'authorization';
  return fc.oneof(
    { weight: 5, arbitrary: fc.constantFrom(...good).map((value) => [[name, value] as const]) },
    { weight: 1, arbitrary: fc.constant([]) },
  );
};

const PLACE = /\{([a-z_]+)\}/g;

function requestTo(endpoint: Endpoint, known: Known): fc.Arbitrary<WireRequest> {
  const places = [...endpoint.path.matchAll(PLACE)].map(([, name = '']) => name);
  const json = endpoint.body === 'json';
  return fc
    .record({
      method: fc.oneof(
        { weight: 30, arbitrary: fc.constant(endpoint.method) },
        { weight: 1, arbitrary: fc.constantFrom(...METHODS) },
      ),
      inPath: fc.tuple(...places.map((name) => valueOf(known, name))),
      values: parameters(endpoint.names, (name) => (json ? jsonOf : valueOf)(known, name)),
      wholly: json
        ? fc.oneof({ weight: 12, arbitrary: fc.constant(undefined) }, noise)
        : fc.constant(undefined),
      address: fc.nat(65_535),
      headers: letIn(known, endpoint.as),
      extra: fc.oneof({ weight: 2, arbitrary: fc.constant([]) }, extraHeaders(known)),
      noise: fc.oneof(
        { weight: 12, arbitrary: fc.constant([]) },
        { weight: 1, arbitrary: fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }) },
      ),
    })
    .map(({ method, inPath, values, wholly, address, headers, extra, noise: changes }) => {
      let at = 0;
      const path = endpoint.path.replaceAll(PLACE, () => encode(inPath[at++] ?? ''));
      const query = endpoint.body === 'query' ? form(values) : '';
      const text = json ? (wholly ?? JSON.stringify(Object.fromEntries(values))) : form(values);
      const type = TYPES[endpoint.body];
      return {
        method,
        target: query === '' ? path : `${path}?${query}`,
        headers: [
          ['x-forwarded-for', `10.1.${address >> 8}.${address & 255}`],
          ...(type === '' ? [] : [['content-type', type] as const]),
          ...headers,
          ...extra,
        ],
        body: Buffer.from(endpoint.body === 'query' ? '' : text),
        noise: changes,
      };
    });
}

/** `count` requests over the endpoints, by their weights; the same seed draws the same. */
export function draw(
  endpoints: readonly Endpoint[],
  known: Known,
  seed: number,
  count: number,
): WireRequest[] {
  const arbitrary = fc.oneof(
    ...endpoints.map((each) => ({ weight: each.weight, arbitrary: requestTo(each, known) })),
  );
  return fc.sample(arbitrary, { seed, numRuns: count });
}
