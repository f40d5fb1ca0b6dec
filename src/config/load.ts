/** The only reader of the process's environment. `main` and the command line call it, once. */
import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { parseSettings, type Env, type Settings } from './schema.ts';

/**
 * The settings of this process.
 * @throws StartError whose message names every fault, one on each line
 */
export const loadSettings = (): Settings =>
  parseSettings(process.env, {
    readFile: (path) => readFileSync(path, 'utf8'),
    cores: availableParallelism,
  });

/** The environment itself, for the command line's own three names, which are no settings of the server. */
export const loadEnvironment = (): Env => process.env;
