/** Every path of the public port below the issuer's path, with its methods: what 405 and its `Allow` go by. */

interface Route {
  /** For metrics and logs: never the path itself, which may hold ids. */
  readonly pattern: string;
  readonly methods: readonly string[];
  /** `form`: the body is read before the engine sees it. */
  readonly body?: 'form';
  /** Name of the parameter whose value may be rubbish; see `readForm`. */
  readonly lenient?: string;
  /** Served by the engine. */
  readonly engine?: true;
  /** For programs: errors are OAuth's JSON; with OPTIONS among its methods, CORS for registered origins. */
  readonly api?: true;
  /** Answered by a node that cannot see what others change, too. */
  readonly always?: true;
}

const GET = ['GET', 'HEAD'] as const;
/** What clients post forms to. */
const ENDPOINT = { methods: ['POST', 'OPTIONS'], body: 'form', engine: true, api: true } as const;
const OPEN = ['GET', 'HEAD', 'OPTIONS'] as const;

const exact: Readonly<Record<string, Omit<Route, 'pattern'>>> = {
  '/authorize': { methods: ['GET', 'POST'], body: 'form', engine: true },
  '/token': ENDPOINT,
  '/revoke': { ...ENDPOINT, lenient: 'token' },
  '/introspect': { ...ENDPOINT, methods: ['POST'], lenient: 'token' },
  '/par': ENDPOINT,
  '/userinfo': { ...ENDPOINT, methods: ['GET', 'POST', 'OPTIONS'] },
  '/logout': { methods: ['GET', 'POST'], body: 'form', engine: true },
  '/logout/confirm': { methods: ['POST'], body: 'form', engine: true },
  '/logout/success': { methods: ['GET'], engine: true },
  '/jwks': { methods: OPEN, always: true },
  '/.well-known/openid-configuration': { methods: OPEN, engine: true, always: true },
  '/.well-known/oauth-authorization-server': { methods: OPEN, engine: true, always: true },
  '/register': { methods: ['POST'] },
  '/': { methods: GET },
  '/account': { methods: GET },
  '/.well-known/change-password': { methods: GET },
  '/device_authorization': ENDPOINT,
  '/device': { methods: ['GET', 'HEAD', 'POST'], body: 'form' },
  '/device/switch': { methods: ['POST'], body: 'form' },
  '/health/live': { methods: GET, always: true },
  '/health/ready': { methods: GET, always: true },
};

const patterns: readonly (Route & { readonly match: RegExp })[] = [
  { match: /^\/authorize\/[\w-]+$/, pattern: '/authorize/:uid', methods: ['GET'], engine: true },
  { match: /^\/interaction\/[\w-]+$/, pattern: '/interaction/:uid', methods: ['GET'] },
  {
    match: /^\/interaction\/[\w-]+\/(?:login|select|consent|switch)$/,
    pattern: '/interaction/:uid/:step',
    methods: ['POST'],
    body: 'form',
  },
  {
    match:
      /^\/account\/(?:profile|email|apps|sessions|activity|factors|authenticator|password|delete|confirm|login|recover|register|verify)$/,
    pattern: '/account/:section',
    methods: ['GET', 'HEAD', 'POST'],
    body: 'form',
  },
  { match: /^\/assets\/[\w.-]+$/, pattern: '/assets/:name', methods: GET, always: true },
];

/** Of all routes. */
export const routePatterns: readonly string[] = [
  ...Object.keys(exact),
  ...patterns.map(({ pattern }) => pattern),
];

/** The route of a path below the issuer's path. */
export function routeOf(path: string): Route | undefined {
  const known = Object.hasOwn(exact, path) ? exact[path] : undefined;
  if (known) return { ...known, pattern: path };
  return patterns.find(({ match }) => match.test(path));
}
