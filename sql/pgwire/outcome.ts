import { type ErrorFields, noticeResponse } from './backend.ts';
import type { CopyOptions } from './copy-options.ts';
import type { RowReader } from './rows.ts';

/** What a started statement will send. */
export interface Outcome {
  /** Rows to send; absent where there are none by nature. */
  readonly rows?: RowReader;
  /** Rows go out in CopyData messages instead. */
  readonly copy?: CopyOptions;
  /** Messages to send before the tag: warnings, changed settings. */
  readonly messages?: readonly Uint8Array[];
  tag(rowsSent: number): string;
  /** Rows are counted and thrown away: MOVE. */
  readonly discard?: true;
}

/** A statement without rows. */
export function done(tag: string, messages: readonly Uint8Array[] = []): Outcome {
  return { tag: () => tag, messages };
}

export function warningMessage(sqlstate: string, message: string): Uint8Array {
  const fields: ErrorFields = { severity: 'WARNING', sqlstate, message };
  return noticeResponse(fields);
}
