import { WatershedError } from '#core/errors.ts';
import type { Param } from '../engine.ts';
import { tokens } from './lexer.ts';

/** A statement with question marks for its parameters. */
export interface Marked {
  readonly sql: string;
  /** The number of the parameter behind each question mark, from 1. */
  readonly order: readonly number[];
  /** Where a place in `sql` stands in the statement as it was sent, both in UTF-16 units from 0. */
  readonly original: (at: number) => number;
}

/** `$1`, `$2`, … become question marks, in order of appearance; those that the user wrote are counted too. */
export function questionMarks(sql: string): Marked {
  const order: number[] = [];
  const shifts: { readonly at: number; readonly by: number }[] = [];
  let [text, at, own] = ['', 0, 0];
  for (const token of tokens(sql)) {
    const isMark = token.kind === 'symbol' && token.text === '?';
    if (token.kind !== 'parameter' && !isMark) continue;
    order.push(isMark ? ++own : Number(token.text.slice(1)));
    text += `${sql.slice(at, token.start)}?`;
    at = token.end;
    shifts.push({ at: text.length, by: token.end - text.length });
  }
  return {
    sql: text + sql.slice(at),
    order,
    original: (place) => place + (shifts.findLast((shift) => shift.at <= place)?.by ?? 0),
  };
}

/**
 * The statement with its parameters bound: `EXECUTE IMMEDIATE` takes the text as a string and the values as literals
 * beside it, so that a value is never read as SQL. Without parameters the statement itself.
 */
export function bind(sql: string, params: readonly Param[]): string {
  const { sql: marked, order } = questionMarks(sql);
  if (order.length === 0) return sql;
  const values = order.map((number) => {
    const param = params[number - 1];
    if (param === undefined) {
      throw new WatershedError('statement_failed', `there is no value for parameter $${number}`, {
        context: { sqlstate: '42P02' },
      });
    }
    return literal(param);
  });
  return `EXECUTE IMMEDIATE ${quote(marked)} USING ${values.join(', ')}`;
}

function literal(value: Param): string {
  if (value === null) return 'NULL';
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'boolean') return value ? 'TRUE' : 'FALSE';
  if (typeof value === 'bigint') return integer(value);
  if (Number.isSafeInteger(value)) return integer(BigInt(value));
  if (Number.isNaN(value)) return 'nan()';
  if (!Number.isFinite(value)) return value > 0 ? 'infinity()' : '-infinity()';
  return `DOUBLE '${value}'`;
}

// Trino reads a number as bigint up to 63 bits; beyond that only a decimal takes it.
function integer(value: bigint): string {
  return BigInt.asIntN(64, value) === value ? `BIGINT '${value}'` : `DECIMAL '${value}'`;
}

export function quote(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
