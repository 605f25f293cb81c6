import type { FastifyReply } from 'fastify';
import { type ErrorCode, isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';

/** HTTP status of each of our reasons to fail. */
const statusOf: Readonly<Record<ErrorCode, number>> = {
  bad_config: 500,
  bad_request: 400,
  unauthorized: 401,
  forbidden: 403,
  not_found: 404,
  conflict: 409,
  already_exists: 409,
  commit_unknown: 500,
  fenced: 503,
  foreign_lake: 500,
  offset_out_of_range: 500,
  corrupt: 500,
  unsupported: 400,
  statement_refused: 403,
  statement_failed: 400,
  limit_exceeded: 422,
  cancelled: 499,
  rate_limited: 429,
  unavailable: 503,
  disk: 507,
  internal: 500,
};

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(statusOf, code);
}

/**
 * RFC 9457. `code` is what programs branch on; `hint` says what to do; `position` counts characters of the statement
 * from 1.
 */
export interface Problem {
  readonly type: 'about:blank';
  readonly title: string;
  readonly status: number;
  readonly code: ErrorCode;
  readonly detail: string;
  readonly hint?: string;
  readonly sqlstate?: string;
  readonly position?: number;
}

export const problemType = 'application/problem+json; charset=utf-8';

export function problemOf(error: WatershedError): Problem {
  const { sqlstate, position } = error.context;
  return {
    type: 'about:blank',
    title: titles[error.code] ?? error.code.replaceAll('_', ' '),
    status: statusOf[error.code],
    code: error.code,
    detail: error.message,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
    ...(typeof sqlstate === 'string' ? { sqlstate } : {}),
    ...(typeof position === 'number' ? { position } : {}),
  };
}

const titles: Partial<Record<ErrorCode, string>> = {
  unauthorized: 'Who are you?',
  forbidden: 'Not allowed',
  statement_refused: 'Statement refused',
  statement_failed: 'Statement failed',
  limit_exceeded: 'Limit exceeded',
  internal: 'Our mistake',
};

/**
 * Anything that was thrown as one of our errors; what we did not foresee becomes `internal` and is logged, not shown.
 */
export function knownError(error: unknown, logger: Logger): WatershedError {
  if (isWatershedError(error)) return error;
  const status = typeof error === 'object' && error !== null && 'statusCode' in error ? error.statusCode : undefined;
  // Fastify's own refusals: malformed JSON, a body too large or of the wrong type, a failed validation.
  if (typeof status === 'number' && status >= 400 && status < 500) {
    const code = status === 429 ? 'rate_limited' : status === 404 ? 'not_found' : 'bad_request';
    return new WatershedError(code, messageOf(error), { cause: error });
  }
  logger.error('http_request_failed', { error });
  return new WatershedError('internal', 'something went wrong here; the log of the server says more', { cause: error });
}

export async function sendProblem(reply: FastifyReply, error: WatershedError): Promise<void> {
  const problem = problemOf(error);
  if (problem.status === 401) void reply.header('www-authenticate', 'Bearer realm="watershed"');
  await reply.code(problem.status).type(problemType).send(JSON.stringify(problem));
}
