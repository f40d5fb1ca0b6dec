import { describe } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { killed } from './support/kill-suite.ts';

// Needs PostgreSQL; the same on a file is kill-sqlite.test.ts; `.ci/run` brings a server.
describe.runIf(databaseKinds.includes('postgresql'))('on a server', () => {
  killed('postgresql');
});
