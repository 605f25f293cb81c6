import { type ErrorContext, messageOf, WatershedError } from '#core/errors.ts';
import type { FailureKind } from './backoff.ts';

/** Why a request or a connection ended, without anything secret in it. */
export interface Failure {
  readonly kind: FailureKind;
  /** For the journal, a short name: TooManyConnections, http 503, silent, ECONNRESET. */
  readonly cause: string;
  readonly detail: string;
  /** How long until x-rate-limit-reset, by the clock of the server. */
  readonly resetInMs?: number;
  readonly status?: number;
}

/** An answer of X that is no success, whoever received it. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | readonly string[] | undefined>>;
  readonly body: string;
}

/**
 * What an unsuccessful answer means. 401 and 403 to the stream or its rules are thrown as `unauthorized`: going on
 * needs a person. A redirect is not followed: it would carry the token elsewhere.
 */
export function failureOf(answer: Answer, nowMs: number): Failure {
  const { status } = answer;
  const problem = problemOf(answer.body);
  const title = problem.connectionIssue ?? problem.title;
  const cause = title === undefined ? `http ${status}` : title;
  const detail = problem.detail ?? '';
  if (status === 429 || status === 420) {
    // Too many connections is no matter of the window: its headers tell of something else.
    const reset = problem.connectionIssue === undefined ? resetInMs(answer, nowMs) : undefined;
    return { kind: 'rate_limited', cause, detail, status, ...(reset === undefined ? {} : { resetInMs: reset }) };
  }
  return { kind: 'http', cause: status >= 300 && status < 400 ? `http ${status}, a redirect` : cause, detail, status };
}

/** Throws `unauthorized` for 401 and 403, with what X says of it and without the token. */
export function requireAllowed(answer: Answer, what: string): void {
  if (answer.status !== 401 && answer.status !== 403) return;
  const { title, detail } = problemOf(answer.body);
  const said = [title, detail].filter((part) => part !== undefined).join(': ');
  throw new WatershedError('unauthorized', `X refuses ${what} with ${answer.status}${said === '' ? '' : ` (${said})`}`, {
    hint: answer.status === 401 ? 'give a valid app-only bearer token in WATERSHED_X_BEARER_TOKEN'
      : 'the app behind WATERSHED_X_BEARER_TOKEN needs access to the filtered stream of API v2',
    context: { status: answer.status },
  });
}

/** A failure below HTTP. Only message and code of the error are taken: it may carry the request with its headers. */
export function networkFailure(error: unknown): Failure {
  const causes: string[] = [];
  for (let at: unknown = error; at !== undefined && causes.length < 4; at = causeOf(at)) {
    causes.push(codeOf(at) ?? messageOf(at));
  }
  return { kind: 'network', cause: causes.at(-1) ?? 'unknown', detail: messageOf(error) };
}

/** An error for a request that others wait for. */
export function asError(failure: Failure, what: string): WatershedError {
  const context: ErrorContext = { cause: failure.cause, status: failure.status, resetInMs: failure.resetInMs };
  const code = failure.kind === 'rate_limited' ? 'rate_limited' : 'unavailable';
  return new WatershedError(code, `${what} failed: ${failure.cause}${failure.detail === '' ? '' : `: ${failure.detail}`}`, { context });
}

/**
 * Milliseconds until the window ends. The server's own Date header is the clock, so that a wrong clock here does no
 * harm.
 */
function resetInMs({ headers }: Answer, nowMs: number): number | undefined {
  const reset = Number(headers['x-rate-limit-reset']);
  if (!Number.isFinite(reset) || reset <= 0) return undefined;
  return reset * 1000 - (serverTimeMs(headers) ?? nowMs);
}

export function serverTimeMs(headers: Answer['headers']): number | undefined {
  const date = typeof headers['date'] === 'string' ? Date.parse(headers['date']) : Number.NaN;
  return Number.isNaN(date) ? undefined : date;
}

function problemOf(body: string): { title?: string; detail?: string; connectionIssue?: string } {
  try {
    const parsed: unknown = JSON.parse(body);
    const errors = member(parsed, 'errors');
    const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
    const found = (name: string): string | undefined => {
      const value = member(parsed, name) ?? member(first, name);
      return typeof value === 'string' ? value.slice(0, 500) : undefined;
    };
    const [title, detail, connectionIssue] = [found('title'), found('detail') ?? found('message'), found('connection_issue')];
    return { ...(title === undefined ? {} : { title }), ...(detail === undefined ? {} : { detail }),
      ...(connectionIssue === undefined ? {} : { connectionIssue }) };
  } catch {
    return {};
  }
}

function member(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
}

function causeOf(error: unknown): unknown {
  return member(error, 'cause') ?? member(error, 'requestError');
}

function codeOf(error: unknown): string | undefined {
  const code = member(error, 'code');
  return typeof code === 'string' ? code : undefined;
}
