/** Single use, exactly once, over two server processes that share nothing but one PostgreSQL database. */
import { describe } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { openArena, startNodes } from './support/arena.ts';
import { races } from './support/suite.ts';

// Needs PostgreSQL; two processes on one SQLite file race in one-file.test.ts.
describe.skipIf(!databaseKinds.includes('postgresql'))('two nodes', () => {
  races('two processes', () => openArena({ kind: 'postgresql' }, (world) => startNodes(world, 2)));
});
