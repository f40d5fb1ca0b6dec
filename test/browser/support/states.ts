/** Every page in every state: what the tests render, photograph and examine. */
import { SCOPE_CLAIMS } from '../../../src/users/claims.ts';
import { qrPath } from '../../../src/http/qr-path.ts';
import type { Page } from '../../../src/http/views.ts';

const form = { action: '/interaction/4Tq', csrf: 'c5rf-t0ken' };
const notes = {
  name: 'Acme Notes',
  uri: 'https://notes.example/',
  logoUri: 'https://notes.example/logo.png',
};
const television = { name: 'Living Room TV' };
const account = { username: 'ada', name: 'Ada Lovelace' };
const switchAction = '/interaction/4Tq/switch';
const identity = ['openid', 'profile', 'email', 'address', 'phone'].map((name) => ({
  name,
  description: '',
}));
const orders = [
  { api: 'Acme Orders', name: 'orders:read', description: 'Read your orders' },
  { api: 'Acme Orders', name: 'orders:write', description: 'Place and cancel orders for you' },
  { api: 'Acme Calendar', name: 'calendar:read', description: '' },
];
const since = Date.UTC(2026, 1, 3);
const app = {
  client: notes,
  clientId: 'notes',
  scopes: [...identity.slice(0, 3), ...orders],
  offline: true,
  since,
};
const activities = [
  'signed-in',
  'signed-in-to',
  'signed-out',
  'session-ended',
  'session-ended-by-admin',
  'allowed',
  'refused',
  'connected',
  'removed',
  'disconnected',
  'gave-back',
  'replayed',
  'password-changed',
  'password-changed-by-admin',
  'created',
  'updated',
  'email-asked',
  'email-changed',
  'enabled',
  'disabled',
  'revoked',
  'wrong-password',
  'wrong-second-factor',
  'wrong-passkey',
  'factor-added',
  'factor-removed',
  'factors-reset',
  'recovery-codes',
  'recovery-code-used',
] as const;
const confirm = { page: 'login', ...form, client: undefined, username: 'ada', confirm: true } as const;
const mfa = {
  page: 'mfa',
  app: true,
  ...form,
  fields: { pending: 'sealed' },
  client: undefined,
  back: '/account',
} as const;
const setUp = {
  page: 'account',
  section: 'factors',
  step: 'set-up',
  ...form,
  fields: { setup: 'sealed' },
  qr: qrPath('otpauth://totp/id.example:ada?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=id.example'),
  typed: 'GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ',
} as const;
const recoverSet = {
  page: 'recover',
  step: 'set',
  ...form,
  fields: { token: 't' },
  account: { username: 'ada' },
  minLength: 12,
} as const;
const registerCreate = {
  page: 'register',
  step: 'create',
  ...form,
  fields: { token: 't' },
  email: 'ada@example.com',
  username: 'ada@example.com',
  minLength: 12,
} as const;
const factors = {
  page: 'account',
  section: 'factors',
  step: 'list',
  ...form,
  passkeys: [],
  recoveryCodes: 0,
  passkey: { creation: '{}', challenge: 'sealed', device: { browser: 'Firefox', system: 'Linux' } },
} as const;
const consent = { page: 'consent', ...form, account, switchAction, offline: false } as const;
const client = {
  ...notes,
  policyUri: 'https://notes.example/privacy',
  tosUri: 'https://notes.example/terms',
};
const consentClient = { ...client, host: 'notes.example' };
const longName = 'Donaudampfschifffahrtsgesellschaftskapitänsmützenverwaltung';
const password = { page: 'account', section: 'password', ...form, account, minLength: 12 } as const;
const email = {
  page: 'account',
  section: 'email',
  ...form,
  account: { username: 'ada', email: 'ada@example.com' },
} as const;
const error = {
  page: 'error',
  message: 'redirect_uri is not registered for this client',
  status: 400,
} as const;

const passkey = { options: '{}', asked: 'sealed' };

/** By name; a name starting with `problem-` has a form with errors in it. */
export const states: Readonly<Record<string, Page>> = {
  login: { page: 'login', ...form, client: notes },
  'login-plain': { page: 'login', ...form, client: undefined },
  'login-hint': { page: 'login', ...form, client: notes, username: 'ada' },
  'login-passkey': { page: 'login', ...form, client: notes, passkey, recover: true },
  'login-choose': {
    page: 'login',
    step: 'choose',
    ...form,
    client: notes,
    accounts: [
      { id: 'u1', ...account, signedIn: true },
      { id: 'u2', username: 'bob', signedIn: false },
      { id: 'u3', username: `${longName}@example.com`, name: longName, signedIn: false },
    ],
  },
  'login-choose-one': {
    page: 'login',
    step: 'choose',
    ...form,
    client: notes,
    accounts: [{ id: 'u2', username: 'bob', signedIn: false }],
  },
  'login-offers': { page: 'login', ...form, client: undefined, recover: true, register: true },
  'problem-login-invalid': { page: 'login', ...form, client: notes, username: 'ada', error: 'invalid' },
  'problem-login-passkey': { page: 'login', ...form, client: notes, passkey, error: 'passkey' },
  'problem-login-missing': { page: 'login', ...form, client: notes, error: 'missing' },
  'problem-login-missing-password': {
    page: 'login',
    ...form,
    client: notes,
    username: 'ada',
    error: 'missing',
  },
  'problem-login-throttled': {
    page: 'login',
    ...form,
    client: notes,
    username: 'ada',
    error: 'throttled',
    retryAfterSeconds: 290,
  },
  'problem-login-throttled-some': { page: 'login', ...form, client: undefined, error: 'throttled' },

  'problem-login-expired': { page: 'login', ...form, client: notes, error: 'expired' },
  'login-confirm': confirm,
  'problem-login-confirm': { ...confirm, error: 'invalid' },

  'problem-login-confirm-missing': { ...confirm, error: 'missing' },
  'problem-login-confirm-throttled': { ...confirm, error: 'throttled', retryAfterSeconds: 30 },

  mfa,
  'mfa-client': { ...mfa, client: notes, back: undefined },
  'mfa-passkey': { ...mfa, passkey: '{}' },
  'mfa-passkey-only': { ...mfa, app: false, passkey: '{}' },
  'problem-mfa-passkey': { ...mfa, passkey: '{}', error: 'passkey' },
  'problem-mfa-missing': { ...mfa, error: 'missing' },
  'problem-mfa-invalid': { ...mfa, error: 'invalid' },
  'problem-mfa-throttled': { ...mfa, error: 'throttled', retryAfterSeconds: 30 },

  consent: { ...consent, client: consentClient, scopes: [...identity.slice(0, 3), ...orders], offline: true },
  'consent-more': { ...consent, client: consentClient, scopes: orders.slice(1, 2), already: identity },
  'consent-offline-only': {
    ...consent,
    client: { name: 'Acme Notes', host: 'com.example.notes' },
    account: { username: 'ada' },
    scopes: [{ name: 'offline_access', description: '' }],
    already: [...identity, ...orders],
    offline: true,
  },
  'consent-nothing-new': {
    ...consent,
    client: consentClient,
    scopes: [],
    already: [...identity, { name: 'offline_access', description: '' }],
  },
  'consent-claims': {
    ...consent,
    client: consentClient,
    scopes: Object.values(SCOPE_CLAIMS)
      .flat()
      .map((name) => ({ name, claim: true, description: '' })),
  },
  'consent-long': {
    ...consent,
    client: { ...consentClient, name: longName, host: `${longName}.example` },
    account: { username: `${longName}@${longName}.example`, name: longName },
    scopes: orders.map((scope) => ({ ...scope, api: longName, description: `${longName} ${longName}` })),
    offline: true,
  },

  'error-redirect': { ...error, code: 'invalid_redirect_uri' },
  'error-client': { ...error, code: 'invalid_client', client: notes, back: 'https://notes.example/' },
  'error-expired': { ...error, code: 'expired', back: '/account' },
  'error-csrf': { ...error, code: 'invalid_csrf', status: 403 },
  'error-denied': { ...error, code: 'access_denied', status: 403 },
  'error-unavailable': { ...error, code: 'temporarily_unavailable', status: 503 },
  'error-other': { ...error, code: 'invalid_request' },
  'error-not-found': { ...error, code: 'not_found', status: 404 },
  'error-throttled': { ...error, code: 'too_many_requests', status: 429 },
  'error-server': { ...error, code: 'internal', status: 500 },

  logout: { page: 'logout', ...form, client: notes, account },
  'logout-plain': { page: 'logout', ...form, fields: { xsrf: 'engine' } },
  'signed-out': { page: 'signed-out', client: notes, apps: ['Acme Notes', 'Acme Orders'] },
  'signed-out-plain': { page: 'signed-out' },
  message: {
    page: 'message',
    title: 'Check your mail',
    text: 'If the address is known here, a message is on its way.',
    link: { href: '/account', label: 'Your account' },
  },

  'message-form': {
    page: 'message',
    title: 'Confirm your address',
    text: 'Is ada@example.com your address?',
    form: { ...form, fields: { token: 't' }, label: 'Yes, it is mine' },
  },
  recover: { page: 'recover', step: 'ask', ...form },
  'problem-recover-missing': { page: 'recover', step: 'ask', ...form, error: 'missing' },
  'problem-recover-throttled': {
    page: 'recover',
    step: 'ask',
    ...form,
    username: 'ada',
    error: 'throttled',
    retryAfterSeconds: 30,
  },
  'recover-set': recoverSet,
  'problem-recover-set': { ...recoverSet, errors: { next: 'short', repeat: 'different' } },
  register: { page: 'register', step: 'ask', ...form },
  'problem-register-missing': { page: 'register', step: 'ask', ...form, error: 'missing' },
  'problem-register-invalid': { page: 'register', step: 'ask', ...form, email: 'ada@', error: 'invalid' },
  'problem-register-throttled': {
    page: 'register',
    step: 'ask',
    ...form,
    email: 'ada@example.com',
    error: 'throttled',
    retryAfterSeconds: 30,
  },
  'register-create': registerCreate,
  'problem-register-empty': {
    ...registerCreate,
    username: '',
    errors: { username: 'missing', next: 'missing', repeat: 'missing' },
  },
  'problem-register-taken': { ...registerCreate, name: 'Ada', errors: { username: 'taken' } },
  'problem-register-name': {
    ...registerCreate,
    errors: { username: 'invalid', name: 'invalid', next: 'common' },
  },

  'problem-register-busy': {
    ...registerCreate,
    username: 'ada',
    errors: { username: 'throttled' },
    retryAfterSeconds: 30,
  },

  'device-enter': { page: 'device', step: 'enter', ...form },
  'problem-device-missing': { page: 'device', step: 'enter', ...form, error: 'missing' },
  'problem-device-unknown': {
    page: 'device',
    step: 'enter',
    ...form,
    userCode: 'WDJB-MJHT',
    error: 'unknown',
  },
  'problem-device-expired': {
    page: 'device',
    step: 'enter',
    ...form,
    userCode: 'WDJB-MJHT',
    error: 'expired',
  },
  'problem-device-unmet': {
    page: 'device',
    step: 'enter',
    ...form,
    userCode: 'WDJB-MJHT',
    error: 'unmet',
  },
  'problem-device-throttled': {
    page: 'device',
    step: 'enter',
    ...form,
    userCode: 'WDJB-MJHT',
    error: 'throttled',
    retryAfterSeconds: 30,
  },
  'device-confirm': {
    page: 'device',
    step: 'confirm',
    ...form,
    client: television,
    account,
    scopes: [...identity.slice(0, 2), ...orders.slice(0, 1)],
    offline: true,
    userCode: 'WDJB-MJHT',
    switchAction,
  },
  'device-done': { page: 'device', step: 'done', allowed: true, client: television },
  'device-done-plain': { page: 'device', step: 'done', allowed: true },
  'device-denied': { page: 'device', step: 'done', allowed: false, client: television },

  'account-profile': {
    page: 'account',
    section: 'profile',
    ...form,
    account: { ...account, email: 'ada@example.com', emailVerified: true },
    replays: [
      { client: 'Acme Notes', time: since },
      { client: longName, time: since },
    ],
  },
  'account-profile-bare': {
    page: 'account',
    section: 'profile',
    ...form,
    account: { username: 'ada', email: 'ada@example.com' },
    confirmable: true,
    deletable: true,
    notices: [{ kind: 'password-changed' }],
  },
  'account-profile-mail-sent': {
    page: 'account',
    section: 'profile',
    ...form,
    account: { username: 'ada', email: 'ada@example.com' },
    confirmable: true,
    notices: [{ kind: 'mail-sent' }],
  },
  'account-profile-mail-later': {
    page: 'account',
    section: 'profile',
    ...form,
    account: { username: 'ada', name: longName, email: `${longName}@example.com` },
    confirmable: true,
    notices: [{ kind: 'mail-later' }],
  },
  'account-apps': {
    page: 'account',
    section: 'apps',
    ...form,
    apps: [
      { ...app, lastUsed: since + 1e9 },
      { client: television, clientId: 'tv', scopes: orders.slice(0, 1), offline: false, since },
    ],
    notices: [{ kind: 'access-removed', client: 'Acme Shop' }],
  },
  'account-apps-none': { page: 'account', section: 'apps', ...form, apps: [] },
  'account-sessions': {
    page: 'account',
    section: 'sessions',
    ...form,
    sessions: [
      {
        id: 's1',
        device: { browser: 'Firefox', system: 'Linux' },
        ip: '203.0.113.7',
        since,
        seen: since,
        current: true,
      },
      { id: 's2', device: { system: 'Android' }, since, seen: since + 1e9, current: false },
      {
        id: 's3',
        device: {},
        ip: '2001:db8:1234:5678:9abc:def0:1234:5678',
        since,
        seen: since,
        current: false,
      },
    ],
    notices: [{ kind: 'session-ended' }],
  },
  'account-sessions-one': {
    page: 'account',
    section: 'sessions',
    ...form,
    sessions: [{ id: 's1', device: { browser: 'Safari' }, since, seen: since, current: true }],
    notices: [{ kind: 'sessions-ended' }],
  },
  'account-activity': {
    page: 'account',
    section: 'activity',
    ...form,
    events: activities.map((kind) => ({
      kind,
      time: since,
      client: kind === 'allowed' ? longName : 'Acme Notes',
      ip: kind === 'replayed' ? undefined : '203.0.113.7',
    })),
  },
  'account-activity-none': { page: 'account', section: 'activity', ...form, events: [] },
  'account-set-up': setUp,
  'account-set-up-again': { ...setUp, notices: [{ kind: 'factor-removed' }] },
  'problem-set-up-missing': { ...setUp, error: 'missing' },
  'problem-set-up-wrong': { ...setUp, error: 'wrong' },
  'problem-set-up-expired': { ...setUp, error: 'expired' },
  'account-factors': {
    ...factors,
    app: { since, lastUsed: since + 1e9 },
    passkeys: [
      { id: 'k1', name: 'Firefox on Linux', since },
      { id: 'k2', name: longName, since, lastUsed: since + 1e9 },
    ],
    recoveryCodes: 9,
    notices: [{ kind: 'factor-removed' }],
  },
  'account-factors-none': factors,
  'account-factors-address': { ...factors, passkey: undefined },
  'problem-factors-passkey': { ...factors, error: 'passkey' },
  'problem-factors-expired': { ...factors, error: 'expired' },
  'account-recovery-codes': {
    page: 'account',
    section: 'factors',
    step: 'codes',
    ...form,
    codes: Array.from({ length: 10 }, (_, index) => `ABCD${index}-FGH8K`),
    notices: [{ kind: 'factor-added' }],
  },
  'account-password': password,
  'account-email': email,
  'account-email-none': { ...email, account: { username: longName } },
  'account-email-asked': {
    page: 'account',
    section: 'profile',
    ...form,
    account: { ...account, email: 'ada@example.com', emailVerified: true },
    changeable: true,
    deletable: true,
    notices: [{ kind: 'email-asked' }],
  },
  'problem-email-missing': { ...email, error: 'missing' },
  'problem-email-invalid': { ...email, email: `${longName}@`, error: 'invalid' },
  'problem-email-same': { ...email, email: 'ada@example.com', error: 'same' },
  'problem-email-throttled': {
    ...email,
    email: 'ada@example.org',
    error: 'throttled',
    retryAfterSeconds: 60,
  },
  'account-delete': { page: 'account', section: 'delete', ...form, account },
  'problem-delete-different': { page: 'account', section: 'delete', ...form, account, error: 'different' },
  'problem-delete-missing': { page: 'account', section: 'delete', ...form, account, error: 'missing' },
  'account-deleted': { page: 'signed-out', deleted: true, apps: ['Acme Notes'] },
  'problem-password-missing': {
    ...password,
    errors: { current: 'missing', next: 'missing', repeat: 'missing' },
  },
  'problem-password-wrong': { ...password, errors: { current: 'wrong' } },
  'problem-password-short': { ...password, errors: { next: 'short', repeat: 'different' } },
  'problem-password-long': { ...password, errors: { next: 'long' } },
  'problem-password-common': { ...password, errors: { next: 'common' } },
  'problem-password-same': { ...password, errors: { next: 'same' } },
  'problem-password-throttled': { ...password, errors: { current: 'throttled' }, retryAfterSeconds: 60 },
};
