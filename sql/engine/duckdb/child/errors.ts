import { type ErrorCode, messageOf, WatershedError } from '#core/errors.ts';
import type { WireError } from '../protocol.ts';

/** Turns a byte offset in the text that ran into a position in the text that was sent, in characters from 1. */
export type Place = (offsetBytes: number) => number | undefined;

interface EngineError {
  readonly exception_type?: string;
  readonly exception_message?: string;
  readonly error_subtype?: string;
  readonly position?: string;
  readonly type?: string;
}

/** An error of DuckDB (with `errors_as_json`) as ours, with the SQLSTATE PostgreSQL gives to the same mistake. */
export function engineError(error: unknown, place: Place): WatershedError {
  if (error instanceof WatershedError) return error;
  const text = messageOf(error);
  const parsed = parseError(text);
  const kind = parsed.exception_type ?? text.split(' Error:')[0] ?? '';
  // Advice about settings that nobody can change here follows an empty line.
  const message = ((parsed.exception_message ?? text).split('\n\nPossible solutions:')[0] ?? '').trim();
  const spilled = /failed to offload data block.*\/([\d.]+ \w+) used\)/.exec(message)?.[1];
  if (spilled !== undefined) return spillError(spilled);
  const [code, sqlstate, hint] = verdictOn(kind, parsed, message);
  const at = parsed.position === undefined ? undefined : place(Number(parsed.position));
  return new WatershedError(code, message, {
    context: { sqlstate, ...(at === undefined ? {} : { position: at }) },
    ...(hint === undefined ? {} : { hint }),
  });
}

/** DuckDB's own message advises to change a setting, which nobody can here. */
function spillError(most: string): WatershedError {
  return new WatershedError('limit_exceeded', `the statement set more than ${most} aside on the disk`, {
    hint: 'Sort, join or group fewer rows or columns: a condition on event_id and created_at leaves out whole files.',
    context: { sqlstate: '53400' },
  });
}

export function wireError(error: WatershedError): WireError {
  return {
    code: error.code,
    message: error.message,
    context: error.context,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  };
}

function parseError(text: string): EngineError {
  const start = text.indexOf('{"exception_type"');
  if (start === -1) return {};
  try {
    const value: unknown = JSON.parse(text.slice(start));
    return typeof value === 'object' && value !== null ? value : {};
  } catch {
    return {}; // then the text itself is the message
  }
}

type Judgement = readonly [code: ErrorCode, sqlstate: string, hint?: string];

const plainKinds: Readonly<Record<string, Judgement>> = {
  Parser: ['statement_failed', '42601'],
  Syntax: ['statement_failed', '42601'],
  Conversion: ['statement_failed', '22P02'],
  'Out of Range': ['statement_failed', '22003'],
  'Invalid Input': ['statement_failed', '22023'],
  'Invalid Type': ['statement_failed', '42804'],
  'Mismatch Type': ['statement_failed', '42804'],
  Decimal: ['statement_failed', '22003'],
  'Divide by Zero': ['statement_failed', '22012'],
  Constraint: ['statement_failed', '23000'],
  'Not implemented': ['statement_failed', '0A000'],
  Expression: ['statement_failed', '42601'],
  'Parameter Not Allowed': ['statement_failed', '42P02'],
  'Parameter Not Resolved': ['statement_failed', '42P18'],
  Permission: ['statement_refused', '42501', 'Only the tables of schemas lake and store can be read.'],
  INTERRUPT: ['cancelled', '57014'],
  Interrupt: ['cancelled', '57014'],
  'Out of Memory': ['limit_exceeded', '53200', 'Ask for fewer rows or groups, or raise WATERSHED_MEMORY_BYTES.'],
  IO: ['unavailable', '58030', 'Run the statement again; if it stays so, `watershed doctor` looks at the files.'],
  INTERNAL: ['internal', 'XX000'],
  FATAL: ['internal', 'XX000'],
};

// DuckDB has one kind for mistakes that PostgreSQL tells apart (its documentation, Appendix A): the first that fits.
const finerStates: readonly (readonly [RegExp, string])[] = [
  [/does not have a column named|^Column ".*" (does not exist on|in EXCLUDE list)|^Could not find key/, '42703'],
  [/^LIMIT\/OFFSET cannot be negative/, '2201W'],
  [/^More than one row returned by a subquery/, '21000'],
  // Text without a digit is no time at all; with them it is one that does not exist.
  [/^time(stamp)? field value out of range: "\D*"|^invalid (date|time|timestamp) field format|' to INTERVAL\b/, '22007'],
  [/^(date|time|timestamp) field value out of range|^Date out of range|not in timestamp range/i, '22008'],
  [/out of range for the destination type|^Could not convert string '\s*[+-]?\d+\s*' to U?INT\d+/, '22003'],
  [/^Could not (cast value|convert string) "?[+-]?\d[\d.]*"? to DECIMAL|is undefined outside/, '22003'],
  [/square root of a negative number/, '2201F'],
  [/^cannot take logarithm of/, '2201E'],
  [/^Could not choose a best candidate function/, '42725'],
  [/^Set operations can only apply|^Subquery returns \d+ columns|^STAR expression is only allowed/, '42601'],
  [/^Cannot (compare values|concatenate types)|^UNNEST\(\) can only be applied|can only operate on/, '42883'],
  [/cannot contain window functions/, '42P20'],
  [/term out of range|\d+ columns available but \d+ columns specified/, '42P10'],
  [/duplicate alias|^Duplicate CTE name/, '42712'],
  [/^Unimplemented type for cast/, '42846'],
  [/^extract specifier .* not recognized|^Unknown TimeZone|^interval cannot be 0/, '22023'],
  [/^window ".*" does not exist/, '42704'],
  // What RE2 says of a pattern that is none.
  [/^(missing|unexpected) [()[\]]|^no argument for repetition|^invalid (escape sequence|character class|perl operator)/, '2201B'],
];

function verdictOn(kind: string, error: EngineError, message: string): Judgement {
  const finer = finerStates.find(([pattern]) => pattern.test(message))?.[1];
  if (finer !== undefined) return ['statement_failed', finer];
  if (kind === 'Binder') return ['statement_failed', binderState(error, message)];
  if (kind === 'Catalog') {
    return ['statement_failed', error.type?.includes('Function') ? '42883' : error.type === 'Type' ? '42704' : '42P01'];
  }
  return plainKinds[kind] ?? ['statement_failed', '42000'];
}

function binderState({ error_subtype: subtype }: EngineError, message: string): string {
  if (subtype === 'COLUMN_NOT_FOUND') return '42703';
  if (subtype === 'NO_MATCHING_FUNCTION') return '42883';
  if (/ambiguous/i.test(message)) return '42702';
  if (/must appear in the GROUP BY|aggregate/i.test(message)) return '42803';
  if (/Referenced (table|column)/.test(message)) return '42P01';
  return '42000';
}
