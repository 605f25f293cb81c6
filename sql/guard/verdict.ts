import { WatershedError } from '#core/errors.ts';
import type { JsonObject } from './tree.ts';

/** What the guard found in a statement it lets pass. */
export interface Verdict {
  readonly tables: readonly TableUse[];
  /** Whether the statement asks which tables and columns there are (SHOW TABLES, information_schema). */
  readonly introspects: boolean;
}

/** A table of the lake where it stands in the statement. */
export interface TableUse {
  readonly schema: string;
  readonly name: string;
  /** The name its columns can be qualified with. */
  readonly alias: string;
  readonly hasAlias: boolean;
  /** The database it was qualified with, as in `lake.lake.posts`. */
  readonly database: string;
  /** Byte offset of the name. */
  readonly location: number | undefined;
  readonly travel?: Travel;
  /** Comparisons of its columns with constants that every row of it must pass to matter. */
  readonly filters: readonly Comparison[];
}

/** `AT (VERSION => …)` or `AT (TIMESTAMP => …)`: the expression is constant. */
export interface Travel {
  readonly unit: 'VERSION' | 'TIMESTAMP';
  readonly expression: JsonObject;
}

export interface Comparison {
  readonly column: string;
  readonly operator: '=' | '<' | '<=' | '>' | '>=' | 'in';
  /** Parse trees of constant expressions; several only for `in`. */
  readonly values: readonly JsonObject[];
}

/** The refusal of a statement; `location` is a byte offset that the caller turns into a position. */
export class Refusal extends Error {
  readonly location: number | undefined;
  readonly hint: string | undefined;
  /** 42P01 and the like where the statement is only mistaken and not forbidden. */
  readonly sqlstate: string | undefined;

  constructor(message: string, more: { location?: number | undefined; hint?: string; sqlstate?: string } = {}) {
    super(message);
    this.name = 'Refusal';
    this.location = more.location;
    this.hint = more.hint;
    this.sqlstate = more.sqlstate;
  }
}

/** Insufficient privilege: what the doors answer a refused statement with. */
export const refusedState = '42501';

/**
 * As the engine's error: `statement_refused`, or `statement_failed` for a mistake; the position counts characters from
 * 1.
 */
export function refusalError(refusal: Refusal, sql: string, offsetBytes = 0): WatershedError {
  const context = {
    sqlstate: refusal.sqlstate ?? refusedState,
    ...(refusal.location === undefined ? {} : { position: characterAt(sql, refusal.location + offsetBytes) }),
  };
  return new WatershedError(
    refusal.sqlstate === undefined ? 'statement_refused' : 'statement_failed',
    refusal.message,
    {
      ...(refusal.hint === undefined ? {} : { hint: refusal.hint }),
      context,
    },
  );
}

/** Position of a byte offset in characters from 1, the way PostgreSQL counts. */
export function characterAt(sql: string, offsetBytes: number): number {
  const before = Buffer.from(sql).subarray(0, offsetBytes).toString();
  return Array.from(before).length + 1;
}
