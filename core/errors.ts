/** The closed list of reasons an operation can fail for. Callers branch on the code, never on the message. */
export type ErrorCode =
  | 'bad_config' // a setting is unknown, malformed or contradicts another
  | 'bad_request' // the caller asked for something malformed
  | 'unauthorized' // no token, or a wrong one
  | 'forbidden' // the token does not allow this
  | 'not_found'
  | 'conflict' // somebody else changed it first: read anew and decide again
  | 'already_exists'
  | 'commit_unknown' // the answer to a commit was lost: read back before doing anything else
  | 'fenced' // another process holds the lease: stop
  | 'foreign_lake' // this log, database or warehouse is not the one the lake is made of
  | 'offset_out_of_range' // the log no longer holds what the reader wants
  | 'corrupt' // our own data is not what we wrote: stop loudly
  | 'unsupported' // a feature of the format or dialect that we do not read
  | 'statement_refused' // the guard said no
  | 'statement_failed' // the engine said no: user's SQL
  | 'limit_exceeded' // time, memory, rows or bytes
  | 'cancelled'
  | 'rate_limited'
  | 'unavailable' // a service that should answer does not: try again
  | 'disk' // no space, read-only or no permission
  | 'internal';

const retryableCodes: ReadonlySet<ErrorCode> = new Set(['unavailable', 'rate_limited', 'conflict']);

export interface ErrorContext {
  readonly [key: string]: string | number | boolean | bigint | undefined;
}

/**
 * The one error of this code base. The message says what happened and why; `hint` says what to do next.
 * Neither may hold a secret. `context` is for logs and for problem details.
 */
export class WatershedError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly hint: string | undefined;
  readonly context: ErrorContext;

  constructor(
    code: ErrorCode,
    message: string,
    more: { cause?: unknown; hint?: string; retryable?: boolean; context?: ErrorContext } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause });
    this.name = 'WatershedError';
    this.code = code;
    this.retryable = more.retryable ?? retryableCodes.has(code);
    this.hint = more.hint;
    this.context = more.context ?? {};
  }
}

/** True for our own errors, also across realms (jest's vm contexts have a class of their own). */
export function isWatershedError(value: unknown, code?: ErrorCode): value is WatershedError {
  if (typeof value !== 'object' || value === null || !('name' in value) || value.name !== 'WatershedError') return false;
  return code === undefined || ('code' in value && value.code === code);
}

/** The `code` of a system or driver error (ENOSPC, ECONNREFUSED, 23505), or undefined. */
export function systemCode(value: unknown): string | undefined {
  if (typeof value !== 'object' || value === null || !('code' in value)) return undefined;
  return typeof value.code === 'string' ? value.code : undefined;
}

/** The message of anything that was thrown, for a person. */
export function messageOf(value: unknown): string {
  if (typeof value === 'object' && value !== null && 'message' in value && typeof value.message === 'string') {
    return value.message;
  }
  return String(value);
}
