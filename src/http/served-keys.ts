/** What a rotation of keys changes for those who ask: the engine that signs, and the JWKS. */
import type { CurrentKeys } from '../keys/current.ts';
import type { KeyRing } from '../keys/ring.ts';
import type { EngineProvider } from '../provider/build.ts';
import { createEngine, type Engine } from './engine.ts';
import { publish, type Published } from './published.ts';

/** Both, always with the keys that this node knows. */
export interface ServedKeys {
  readonly engine: Engine;
  readonly jwks: () => Published;
}

/**
 * @param build makes an engine that signs with a ring
 * @param maxAge seconds that discovery may be cached
 */
export function serveKeys(
  keys: CurrentKeys,
  build: (ring: KeyRing) => EngineProvider,
  maxAge: number,
): ServedKeys {
  const engine = createEngine(build(keys.ring()), maxAge);
  let published = publish(keys.publicJwks);
  keys.follow((ring) => {
    engine.swap(build(ring));
    published = publish(ring.publicJwks);
  });
  return { engine, jwks: () => published };
}
