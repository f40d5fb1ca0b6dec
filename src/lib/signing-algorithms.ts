/** Algorithms that this server signs with; the first two on every server, the others where an API or client asks. */
export const SIGNING_ALGORITHMS = ['ES256', 'RS256', 'PS256', 'EdDSA'] as const;
