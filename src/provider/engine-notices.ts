/**
 * Keeps two notices of the engine off the console, where they would alarm for nothing. To be imported before it.
 * "Unsupported runtime": it takes every Node without an LTS name for unsupported, the newest release included.
 * "already parsed request body": we read bodies first on purpose, strictly and bounded (`http/request-body.ts`).
 */
const EXPECTED = [
  'oidc-provider WARNING: Unsupported runtime.',
  'oidc-provider WARNING: already parsed request body detected',
];

// oxlint-disable no-console -- the engine writes there, and nobody else does
const warn = console.warn.bind(console);

console.warn = (...args: unknown[]): void => {
  const [first] = args;
  const line = typeof first === 'string' ? first : '';
  if (!EXPECTED.some((notice) => line.includes(notice))) warn(...args);
};
