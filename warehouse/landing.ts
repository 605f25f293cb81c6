import type { DuckDBConnection } from '@duckdb/node-api';
import type { TableName } from '#core/contract/tables.ts';
import type { Topic } from '#core/log/log.ts';
import type { EncodedFile } from './encode.ts';
import type { Batch } from './gather.ts';
import type { DuplicateIndex } from './duplicates.ts';

/**
 * A way from a topic into tables. Each landing has offsets of its own, kept in the properties of its `table`.
 * `posts` and `raw` are two landings of one topic.
 */
export interface Landing {
  readonly name: string;
  readonly topic: Topic;
  /** The table that carries the offsets of this landing. */
  readonly table: TableName;
  /**
   * Turns a batch into files. Must not depend on anything but the batch and the tables: it may be run again after a
   * crash.
   */
  encode(batch: Batch, context: EncodeContext): Promise<EncodedBatch>;
}

export interface EncodeContext {
  readonly connection: DuckDBConnection;
  readonly staging: string;
  /** Tells which rows the landing's table has already. */
  readonly duplicates: DuplicateIndex;
  readonly nowMs: number;
}

export interface EncodedBatch {
  readonly files: readonly { readonly table: TableName; readonly file: EncodedFile }[];
  readonly fates: ReadonlyMap<number, Fates>;
  /**
   * To be called with the path that each file (by its local path) got in the store, before anybody else reads staged
   * files.
   */
  readonly onPlaced?: (paths: ReadonlyMap<string, string>) => void;
  /** To be called once the files are part of the table. */
  readonly onCommitted?: () => Promise<void>;
}

/** Counts of records of one partition. A record that matched several events is kept when one of its rows is. */
export interface Fates {
  kept: number;
  duplicate: number;
  dead: number;
}
