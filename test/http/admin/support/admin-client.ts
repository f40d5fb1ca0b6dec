/** Speaks the admin API, and holds every answer against the OpenAPI document that the server itself publishes. */
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

export type Doc = Readonly<Record<string, unknown>>;

export interface Page<T = Doc> {
  readonly data: readonly T[];
  readonly next: string | null;
}

export interface AdminAnswer<T = Doc> {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly body: T;
}

export interface CallOptions {
  readonly body?: unknown;
  readonly form?: Record<string, string>;
  /** Sent as it is, with this content type. */
  readonly raw?: readonly [type: string, body: string];
  readonly query?: Record<string, string>;
  /** null: no Authorization header. */
  readonly token?: string | null;
  readonly headers?: Record<string, string>;
}

interface Media {
  readonly schema: { readonly $ref?: string; readonly type?: string };
}

export interface Operation {
  readonly operationId: string;
  readonly security: readonly { readonly oauth2?: readonly string[] }[];
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly requestBody?: { readonly content: Record<string, Media> };
  readonly responses: Readonly<
    Record<
      string,
      {
        readonly content?: Readonly<Record<string, Media>>;
        readonly headers?: Readonly<Record<string, unknown>>;
      }
    >
  >;
}

export interface OpenApi {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Doc>> };
}

/** Compiles the named schemas of a document. */
export function schemasOf(document: OpenApi): (ref: string) => ValidateFunction {
  const ajv = new Ajv2020({ strict: false, validateFormats: false, allErrors: true });
  ajv.addSchema({ $id: 'openapi', components: document.components });
  return (ref) => ajv.compile({ $ref: `openapi${ref}` });
}

export class AdminClient {
  readonly url: string;
  readonly document: OpenApi;
  /** `GET /clients 200`: what was answered so far. */
  readonly covered = new Set<string>();
  /** Values of secrets that were shown. */
  readonly credentials = new Set<string>();
  readonly #token: string;
  readonly #schema: (ref: string) => ValidateFunction;

  private constructor(url: string, token: string, document: OpenApi) {
    this.url = `${url}/admin/v1`;
    this.document = document;
    this.#token = token;
    this.#schema = schemasOf(document);
  }

  /** @param server its issuer, and tokens for it */
  static async connect(server: {
    readonly url: string;
    adminToken(scope?: string): Promise<string>;
  }): Promise<AdminClient> {
    const response = await fetch(`${server.url}/admin/v1/openapi.json`);
    return new AdminClient(server.url, await server.adminToken(), (await response.json()) as OpenApi);
  }

  async call<T = Doc>(method: string, path: string, options: CallOptions = {}): Promise<AdminAnswer<T>> {
    const { body, form, raw, query, token = this.#token, headers = {} } = options;
    const [type, sent] = raw ?? (body === undefined ? [] : ['application/json', JSON.stringify(body)]);
    const response = await fetch(
      this.url + path + (query ? `?${new URLSearchParams(query).toString()}` : ''),
      {
        method,
        headers: {
          ...(token === null ? {} : { authorization: `Bearer ${token}` }),
          ...(type === undefined ? {} : { 'content-type': type }),
          ...headers,
        },
        ...(form ? { body: new URLSearchParams(form) } : sent === undefined ? {} : { body: sent }),
      },
    );
    const text = await response.text();
    const answer = { status: response.status, headers: response.headers, text };
    this.#check(method, path.split('?')[0] ?? path, answer);
    const isJson = /[/+]json\b/.test(response.headers.get('content-type') ?? '') && text !== '';
    const parsed = (isJson ? JSON.parse(text) : undefined) as T;
    const secret = (parsed as { client_secret?: string } | undefined)?.client_secret;
    if (secret !== undefined) this.credentials.add(secret);
    return { ...answer, body: parsed };
  }

  /** The answer, which must have this status. */
  async ok<T = Doc>(method: string, path: string, options?: CallOptions): Promise<AdminAnswer<T>> {
    const answer = await this.call<T>(method, path, options);
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    return answer;
  }

  /** All pages of a list, `limit` items each. */
  async all<T = Doc>(
    path: string,
    limit: number,
    query: Record<string, string> = {},
    between?: () => Promise<void>,
  ): Promise<T[]> {
    const found: T[] = [];
    let after: string | null = '';
    while (after !== null) {
      const { body }: AdminAnswer<Page<T>> = await this.ok('GET', path, {
        query: { ...query, limit: String(limit), ...(after === '' ? {} : { after }) },
      });
      if (body.data.length > limit) throw new Error('more than asked for');
      found.push(...body.data);
      after = body.next;
      if (after !== null) await between?.();
    }
    return found;
  }

  /** The pattern of a path in the document. */
  patternOf(path: string): string | undefined {
    const parts = path.split('/');
    return Object.keys(this.document.paths).find((pattern) => {
      const segments = pattern.split('/');
      return (
        segments.length === parts.length &&
        segments.every((segment, index) => segment.startsWith('{') || segment === parts[index])
      );
    });
  }

  #check(method: string, path: string, { status, headers, text }: Omit<AdminAnswer, 'body'>): void {
    const fail = (why: string): never => {
      throw new Error(`${method} ${path} ${status} breaks the contract: ${why}\n${text.slice(0, 2000)}`);
    };
    if (headers.get('cache-control') !== 'no-store' && path !== '/openapi.json') fail('it may be stored');
    if (!headers.get('x-request-id')) fail('it has no request id');
    const pattern = this.patternOf(path);
    const operation = pattern ? this.document.paths[pattern]?.[method.toLowerCase()] : undefined;
    if (!operation) {
      if (method === 'HEAD' || method === 'OPTIONS') return;
      if (status !== (pattern ? 405 : 404)) fail('the document knows nothing of it');
      return this.#checkProblem(status, headers, text, fail);
    }
    const response = operation.responses[status] ?? operation.responses[`${String(status)[0]}XX`];
    if (!response) return fail('the status is not described');
    this.covered.add(`${method} ${pattern} ${status}`);
    for (const name of Object.keys(response.headers ?? {})) {
      if (!headers.has(name)) fail(`the header ${name} is missing`);
    }
    if (!response.content) return text === '' ? undefined : fail('a body is not described');
    const type = (headers.get('content-type') ?? '').split(';')[0] ?? '';
    const media = response.content[type] ?? fail(`the type ${type} is not described`);
    if (status >= 400) this.#checkProblem(status, headers, text, fail);
    if (!media.schema.$ref) return;
    const validate = this.#schema(media.schema.$ref);
    const documents = type === 'application/x-ndjson' ? text.split('\n').slice(0, -1) : [text];
    for (const document of documents) {
      if (!validate(JSON.parse(document))) fail(JSON.stringify(validate.errors, undefined, 1));
    }
  }

  #checkProblem(status: number, headers: Headers, text: string, fail: (why: string) => never): void {
    const validate = this.#schema('#/components/schemas/Problem');
    const problem = JSON.parse(text) as Doc;
    if (!validate(problem)) fail(JSON.stringify(validate.errors));
    if (problem['status'] !== status) fail('the status in the body is another');
    if (problem['request_id'] !== headers.get('x-request-id')) fail('the request id in the body is another');
  }
}

/** `GET /clients`: every operation of a document that needs a scope, with the scope. */
export const operationsOf = (document: OpenApi): { name: string; scope: string; operation: Operation }[] =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, operation]) => {
      const scope = operation.security[0]?.oauth2?.[0];
      return scope === undefined ? [] : [{ name: `${method.toUpperCase()} ${path}`, scope, operation }];
    }),
  );
