import { describe } from 'vitest';
import { databaseKinds } from '../support/databases.ts';
import { killed } from './support/kill-suite.ts';

describe.runIf(databaseKinds.includes('postgresql'))('on a server', () => {
  killed('postgresql');
});
