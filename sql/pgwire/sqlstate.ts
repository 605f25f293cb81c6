import { isWatershedError, messageOf, type ErrorCode } from '#core/errors.ts';
import type { ErrorFields } from './backend.ts';

// The state of each of our codes, where the error does not carry one (PostgreSQL documentation, Appendix A).
const states: Readonly<Record<ErrorCode, string>> = {
  bad_config: 'F0000',
  bad_request: '22023',
  unauthorized: '28P01',
  forbidden: '42501',
  not_found: '42704',
  conflict: '40001',
  already_exists: '42710',
  commit_unknown: '40003',
  fenced: '57P01',
  foreign_lake: '55000',
  offset_out_of_range: '22003',
  corrupt: 'XX001',
  unsupported: '0A000',
  statement_refused: '42501',
  statement_failed: '22000',
  limit_exceeded: '54000',
  cancelled: '57014',
  rate_limited: '53300',
  unavailable: '57P03',
  disk: '53100',
  internal: 'XX000',
};

/**
 * An error as the wire tells it. `statement` and `offset` turn a position in an engine's text into one of the client's.
 */
export function errorFields(error: unknown, severity: 'ERROR' | 'FATAL' = 'ERROR'): ErrorFields {
  if (!isWatershedError(error)) {
    return {
      severity,
      sqlstate: 'XX000',
      message: `internal error: ${messageOf(error)}`,
      hint: 'this is a defect: please report it',
    };
  }
  const { sqlstate, position } = error.context;
  return {
    severity,
    sqlstate: typeof sqlstate === 'string' && /^[0-9A-Z]{5}$/.test(sqlstate) ? sqlstate : states[error.code],
    message: error.message,
    hint: error.hint,
    position: typeof position === 'number' && position > 0 ? position : undefined,
  };
}
