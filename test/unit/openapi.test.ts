import { beforeAll, describe, expect, it } from 'vitest';
import { ADMIN_SCOPES } from '../../src/clients/apis.ts';
import { startTestServer, type TestServer } from '../support/server.ts';
