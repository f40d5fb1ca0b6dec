import { killed } from './support/kill-suite.ts';

killed('sqlite');
