/**
 * Runs one read-only statement at a time on behalf of a principal.
 *
 * - The statement has passed the guard before anything of it runs; a refusal is `statement_refused` with what is
 * allowed.
 * - It sees one snapshot per table, taken when it starts.
 * - Rows come encoded by the encoder asked for, chunk by chunk; the consumer's pace holds the engine back.
 * - **Errors**: `statement_refused`, `statement_failed` (with SQLSTATE and position where known), `limit_exceeded`,
 *   `cancelled`, `unavailable`.
 */
export interface Engine extends AsyncDisposable {
  readonly kind: 'duckdb' | 'trino';
  run(statement: Statement): Promise<Result>;
  /** Columns and parameter types without running: for the wire's Describe. */
  describe(statement: Statement): Promise<{ columns: readonly ResultColumn[]; parameters: readonly string[] }>;
  /** The tables and views a person may ask, with their columns. */
  tables(): Promise<readonly TableInfo[]>;
}

export interface Statement {
  readonly sql: string;
  /** Bound, never spliced: $1 is the first. */
  readonly params: readonly Param[];
  readonly user: string;
  /**
   * Whether schema store may be read: there also lie posts that must be forgotten. Not said means no, as it must be for
   * whoever has no such right (`read_store`).
   */
  readonly mayReadStore?: boolean;
  readonly encoding: Encoding;
  readonly limits: Limits;
  /** Aborting it cancels the statement. */
  readonly signal: AbortSignal;
  /**
   * Called now and then while it runs, with how much of the work is done (0 to 100); undefined where the engine cannot
   * tell.
   */
  readonly onProgress?: (percent: number | undefined) => void;
}

export type Param = string | number | bigint | boolean | null;

/**
 * How rows leave the engine. `json` is `[…],[…]` without the outer brackets; `pg.*` are DataRow messages, `pg.mixed:`
 * with a digit per column, 0 for text and 1 for binary.
 */
export type Encoding = 'json' | 'ndjson' | 'csv' | 'arrow' | 'parquet' | 'pg.text' | 'pg.binary' | `pg.mixed:${string}`;

export interface Limits {
  readonly timeoutMs: number;
  readonly rowsMax: number;
  readonly bytesMax: number;
}

export interface ResultColumn {
  readonly name: string;
  /** The engine's own name of the type, such as `BIGINT`, `VARCHAR[]`, `TIMESTAMP WITH TIME ZONE`. */
  readonly type: string;
}

export interface Result {
  readonly columns: readonly ResultColumn[];
  /** Encoded rows; a chunk holds whole rows. Ends early with an error thrown from the iteration. */
  readonly chunks: AsyncIterable<Uint8Array>;
  /** Known once `chunks` has ended. */
  readonly summary: Promise<ResultSummary>;
}

export interface ResultSummary {
  readonly rows: number;
  readonly bytes: number;
  readonly elapsedMs: number;
  /** True where `rowsMax` or `bytesMax` cut the result. */
  readonly truncated: boolean;
}

export interface TableInfo {
  readonly schema: string;
  readonly name: string;
  readonly comment: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly comment: string }[];
}
