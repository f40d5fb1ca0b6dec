/** When the key set of a client, at its `jwks_uri`, is fetched anew. */
import type { Provider } from 'oidc-provider';
import { toSeconds, type Clock } from '../lib/clock.ts';

/** Fetches for keys that are not known which one client may cause at once; each comes back after `REFILL` seconds. */
const BURST = 5;
const REFILL = 5;

/** The engine's key store of a client, which its types do not know. */
interface KeyStore {
  readonly jwksUri?: string;
  /** Epoch seconds. */
  freshUntil?: number;
  /** A fetch that is under way. */
  readonly lock?: Promise<void>;
  selectForVerify(wanted: { readonly alg: string; readonly kid?: string }): unknown[];
}

/**
 * Trap (`models/client.js`): a fetched key set counts as fresh for a minute, or for as long as its answer may be cached,
 * so that a client which signs with a new key is refused until then. A key that is not there is looked for at once
 * (OIDC Core, 10.1.1), yet whoever makes up key ids causes no more than `BURST` fetches, and then one in `REFILL`
 * seconds, whether they succeed or not.
 */
export function lookForUnknownKeys(provider: Provider, clock: Clock): void {
  const seen = new WeakSet<KeyStore>();
  const find = provider.Client.find.bind(provider.Client);
  provider.Client.find = async (id) => {
    const client = await find(id);
    const store = (client as { asymmetricKeyStore?: KeyStore } | undefined)?.asymmetricKeyStore;
    if (store?.jwksUri !== undefined && !seen.has(store)) {
      seen.add(store);
      watch(store, clock);
    }
    return client;
  };
}

function watch(store: KeyStore, clock: Clock): void {
  const select = store.selectForVerify.bind(store);
  let [left, counted] = [BURST, clock.now()];
  /** Whether one more fetch is within bounds. */
  const take = (): boolean => {
    const back = Math.floor((clock.now() - counted) / (REFILL * 1000));
    left = Math.min(BURST, left + back);
    counted = left === BURST ? clock.now() : counted + back * REFILL * 1000;
    if (left === 0) return false;
    left -= 1;
    return true;
  };
  // Where it finds nothing, the engine asks at once whether the store is fresh, and fetches if not.
  store.selectForVerify = (wanted) => {
    const keys = select(wanted);
    if (keys.length === 0 && !store.lock) store.freshUntil = take() ? 0 : toSeconds(clock.now()) + 1;
    return keys;
  };
}
