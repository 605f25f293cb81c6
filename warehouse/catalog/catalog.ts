/**
 * Where the current metadata of each table is, and the ledger of what was landed. The Postgres adapter keeps the layout
 * of Iceberg's JDBC catalog, schema version V1, so that other engines read the same tables.
 *
 * - `commit` is one transaction: all swaps, the ledger rows and the lease's epoch are checked and written, or nothing
 *   is.
 * - **Errors**: `conflict` (a pointer is not what was expected: read anew), `fenced` (the lease is not ours),
 *   `corrupt` (the ledger would get a gap or an overlap), `commit_unknown` (the connection broke before the answer
 *   came).
 */
export interface Catalog {
  /** The metadata location of a table, exactly as stored; undefined where there is no such table. */
  load(table: TableRef): Promise<string | undefined>;
  /** Of several tables at one instant, in their order. */
  loadAll(tables: readonly TableRef[]): Promise<(string | undefined)[]>;
  list(namespace: string): Promise<{ name: string; kind: 'table' | 'view' }[]>;
  /** Registers a new table or view; `already_exists` where there is one. Makes the namespace too. */
  create(table: TableRef, metadataLocation: string, kind: 'table' | 'view'): Promise<void>;
  commit(request: CommitRequest): Promise<void>;
  /** Where each partition of a log goes on for a landing: the end of its chain in the ledger. */
  landed(landing: string, logIdentity: string): Promise<Map<number, bigint>>;
}

export interface TableRef {
  readonly namespace: string;
  readonly name: string;
}

export interface CommitRequest {
  readonly swaps: readonly { readonly table: TableRef; readonly expected: string; readonly next: string }[];
  readonly ledger: readonly LedgerRow[];
  /** An append carries the epoch of the lease under which it was prepared; upkeep and jobs carry none. */
  readonly epoch?: { readonly lease: string; readonly epoch: bigint };
}

/** What became of the records [from, to) of one partition. Rows of a partition form a chain without gap or overlap. */
export interface LedgerRow {
  readonly landing: string;
  readonly logIdentity: string;
  readonly topic: string;
  readonly partition: number;
  readonly from: bigint;
  readonly to: bigint;
  readonly kept: number;
  readonly duplicate: number;
  readonly dead: number;
}
