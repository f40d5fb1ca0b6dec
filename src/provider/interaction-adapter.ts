/** Interactions end once, however many answers arrive at the same time. */
import { errors, type Adapter, type Provider } from 'oidc-provider';
import type { ProviderDependencies } from './dependencies.ts';

const KIND = 'Interaction';

const over = (): Error => new errors.SessionNotFound('the interaction is over');

/**
 * Trap (`actions/authorization/resume.js`): find, then destroy, is not atomic: of several requests that resume one
 * interaction each would get a code.
 */
export function endInteractionsOnce({ Interaction }: Provider, { storage }: ProviderDependencies): void {
  Interaction.prototype.destroy = async function destroy() {
    if (!(await storage.artifacts.destroy(KIND, this.uid))) throw over();
  };
}

/**
 * Trap (`provider.js`, `interactionResult`): an answer that is saved after that brings the interaction back.
 * @param stored what any record of the engine does
 */
export function createInteractionAdapter(
  stored: Adapter,
  { storage: { artifacts }, clock }: ProviderDependencies,
): Adapter {
  return {
    ...stored,
    async upsert(id, payload, expiresIn = 0) {
      if (payload['result'] === undefined) return stored.upsert(id, payload, expiresIn);
      const { jti: _jti, ...kept } = payload;
      if (!(await artifacts.replace(KIND, id, kept, clock.now() + expiresIn * 1000))) throw over();
      return undefined;
    },
  };
}
