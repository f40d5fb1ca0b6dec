/** Single use, exactly once, in one process: what is read before anything is written must not decide. */
import { databaseKinds } from '../support/databases.ts';
import { inProcess } from './support/arena.ts';
import { races } from './support/suite.ts';

for (const kind of databaseKinds) races(kind, () => inProcess(kind));
