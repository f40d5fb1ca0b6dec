/** Single use, exactly once, over two server processes that share nothing but one PostgreSQL database. */
import { describe } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { openArena, startNodes } from './support/arena.ts';
import { races } from './support/suite.ts';

if (databaseKinds.includes('postgresql')) {
  races('two processes', () => openArena({ kind: 'postgresql' }, (world) => startNodes(world, 2)));
} else {
  describe.skip('races on two processes: TEST_DATABASE_URL is not set');
}
