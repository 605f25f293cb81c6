import { WatershedError } from '#core/errors.ts';
import type { ErrorCode } from '#core/errors.ts';

/** An error in the words of Trino's protocol. */
export interface TrinoError {
  readonly message: string;
  readonly errorName: string;
  readonly errorType: 'USER_ERROR' | 'INTERNAL_ERROR' | 'INSUFFICIENT_RESOURCES' | 'EXTERNAL';
  readonly errorLocation?: { readonly lineNumber: number; readonly columnNumber: number };
}

/** SQLSTATE of PostgreSQL for the same mistake (manual, Appendix A). */
const sqlStates: Readonly<Record<string, string>> = {
  SYNTAX_ERROR: '42601',
  COLUMN_NOT_FOUND: '42703',
  TABLE_NOT_FOUND: '42P01',
  SCHEMA_NOT_FOUND: '3F000',
  CATALOG_NOT_FOUND: '3D000',
  FUNCTION_NOT_FOUND: '42883',
  TYPE_MISMATCH: '42804',
  AMBIGUOUS_NAME: '42702',
  EXPRESSION_NOT_AGGREGATE: '42803',
  MISSING_GROUP_BY: '42803',
  DIVISION_BY_ZERO: '22012',
  INVALID_CAST_ARGUMENT: '22P02',
  NUMERIC_VALUE_OUT_OF_RANGE: '22003',
  INVALID_FUNCTION_ARGUMENT: '22023',
  INVALID_LITERAL: '22P02',
  NOT_SUPPORTED: '0A000',
  SUBQUERY_MULTIPLE_ROWS: '21000',
  INVALID_PARAMETER_USAGE: '42P02',
  PERMISSION_DENIED: '42501',
  MISSING_COLUMN_NAME: '42601',
  TYPE_NOT_FOUND: '42704',
};

const starting = new Set([
  'NO_NODES_AVAILABLE',
  'SERVER_STARTING_UP',
  'SERVER_SHUTTING_DOWN',
  'REMOTE_TASK_ERROR',
  'PAGE_TRANSPORT_ERROR',
  'PAGE_TRANSPORT_TIMEOUT',
  'TOO_MANY_REQUESTS_FAILED',
]);

/** True where Trino says that it is not up yet: its workers join some seconds after it answers. */
export function isStarting(error: TrinoError | undefined): boolean {
  return error?.errorName === 'NO_NODES_AVAILABLE' || error?.errorName === 'SERVER_STARTING_UP';
}

export function explainTrinoError(error: TrinoError): WatershedError {
  const [code, hint] = meaning(error);
  const { lineNumber: line, columnNumber: column } = error.errorLocation ?? {};
  return new WatershedError(code, error.message, {
    ...(hint === undefined ? {} : { hint }),
    context: {
      engineError: error.errorName,
      sqlstate: sqlStates[error.errorName] ?? (error.errorType === 'USER_ERROR' ? '42000' : 'XX000'),
      ...(line === undefined ? {} : { line }),
      ...(column === undefined ? {} : { column }),
    },
  });
}

function meaning({ errorName, errorType }: TrinoError): [ErrorCode, string?] {
  if (errorName === 'USER_CANCELED') return ['cancelled'];
  if (errorName === 'PERMISSION_DENIED')
    return ['statement_refused', "Only the tables that Trino's rules let our user read can be asked."];
  if (starting.has(errorName)) return ['unavailable', 'Trino is starting or short of workers: try again.'];
  if (errorName === 'EXCEEDED_TIME_LIMIT' || errorType === 'INSUFFICIENT_RESOURCES') {
    return ['limit_exceeded', "Ask for fewer rows or groups, or raise Trino's limits (query.max-memory)."];
  }
  if (errorType === 'USER_ERROR') return ['statement_failed'];
  if (errorType === 'EXTERNAL')
    return ['unavailable', "What Trino reads from does not answer: its catalog's database or the object store."];
  return ['internal'];
}
