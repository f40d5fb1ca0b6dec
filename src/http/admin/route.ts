/** A route of the admin API as data: the dispatcher checks by it, and the OpenAPI document is made of it. */
import type { z } from 'zod';
import type { Caller } from './caller.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

type NamesIn<P extends string> = P extends `${string}{${infer Name}}${infer Rest}`
  ? Name | NamesIn<Rest>
  : never;

/** A request whose caller and query are checked. `N`: the names in the path; `Q`: what the query became. */
export interface AdminRequest<N extends string, Q> {
  readonly params: Readonly<Record<N, string>>;
  readonly query: Q;
  /** Parsed, and not yet validated: who owns the document does that, with all its rules. */
  readonly body: unknown;
  /** The If-Match header. */
  readonly ifMatch: string | undefined;
  readonly by: Caller;
}

/** What a body must be. */
export interface BodySpec {
  readonly schema: z.ZodType;
  /** It may be left out. */
  readonly optional?: true;
  /** It may be `application/x-www-form-urlencoded` too. */
  readonly form?: true;
}

/** A list that may be asked for as one JSON document a line. */
interface LinesSpec<Q> {
  readonly schema: z.ZodType;
  of(query: Q): AsyncIterable<unknown>;
}

interface Spec<P extends string, Q extends z.ZodObject, A extends z.ZodType> {
  readonly method: Method;
  /** Below `/admin/v1`; `{name}` stands for one percent-encoded segment. */
  readonly path: P;
  /** The scope that the caller's token must have. */
  readonly scope: string;
  readonly summary: string;
  readonly query?: Q;
  readonly body?: BodySpec;
  readonly status: 200 | 201 | 204;
  readonly answer?: A;
  /** Statuses of problems that do not follow from all this. */
  readonly problems?: readonly number[];
  /** The part of the answer that the resource's GET answers: its ETag. */
  readonly tagged?: (answer: z.input<A>) => unknown;
  /** It heeds If-Match: it is about one resource whose GET answers an ETag. */
  readonly conditional?: true;
  /** The path of what was made, below `/admin/v1`. */
  readonly location?: (answer: z.input<A>) => string;
  readonly lines?: LinesSpec<z.output<Q>>;
  handle(request: AdminRequest<NamesIn<P>, z.output<Q>>): Promise<z.input<A>>;
}

/** A route whose own types are forgotten. */
export type Route = Omit<Spec<string, z.ZodObject, z.ZodType>, 'handle' | 'lines'> & {
  readonly lines?: LinesSpec<unknown>;
  handle(request: AdminRequest<string, unknown>): Promise<unknown>;
};

/** Checks that the parts of a route fit each other. */
export const route = <
  const P extends string,
  Q extends z.ZodObject = z.ZodObject,
  A extends z.ZodType = z.ZodVoid,
>(
  spec: Spec<P, Q, A>,
): Route => spec as unknown as Route; // the dispatcher gives `handle` what the schemas made
