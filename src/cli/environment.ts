/** The environment that the command-line client reads: its own three names and the data folder, no settings. */
import type { Env } from '../config/schema.ts';

/** The environment of this process. */
export const environment: Env = process.env;
