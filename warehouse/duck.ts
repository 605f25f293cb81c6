import { rm, mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { messageOf, WatershedError } from '#core/errors.ts';

/** DuckDB as the encoder of the warehouse: it reads staged records and writes Parquet. It never sees a user's SQL. */
export interface Duck extends AsyncDisposable {
  /** A connection for one statement at a time. The caller closes it. */
  connect(): Promise<DuckDBConnection>;
  /** A folder on the disk of the warehouse for files that are not yet part of a table. Emptied at start. */
  readonly staging: string;
}

export interface DuckOptions {
  /** Made anew: whatever a dead process left there belongs to no table. */
  readonly staging: string;
  readonly memoryBytes: number;
  readonly threads: number;
}

/** Opens an in-memory DuckDB that spills to `staging`. Throws `disk` where the folder cannot be made. */
export async function openDuck(options: DuckOptions): Promise<Duck> {
  const staging = options.staging;
  try {
    await rm(staging, { recursive: true, force: true });
    await mkdir(join(staging, 'spill'), { recursive: true });
  } catch (error) {
    throw new WatershedError('disk', `the staging folder ${staging} cannot be made: ${messageOf(error)}`, {
      cause: error,
      hint: 'make its parent writable for this user, or choose another WATERSHED_DATA_DIR',
    });
  }
  const instance = await DuckDBInstance.create(':memory:', {
    threads: String(options.threads),
    memory_limit: `${Math.floor(options.memoryBytes / 1e6)}MB`,
    temp_directory: join(staging, 'spill'),
    // Files of a table are unordered sets of rows; without this DuckDB holds whole batches back to keep an order nobody
    // asks for.
    preserve_insertion_order: 'false',
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
  });
  return {
    staging,
    async connect() {
      const connection = await instance.connect();
      // Statistics of COPY are printed in the session's zone, and bounds are made from them.
      await connection.run("set timezone = 'UTC'");
      return connection;
    },
    async [Symbol.asyncDispose]() {
      instance.closeSync();
      await rm(staging, { recursive: true, force: true });
    },
  };
}

/** A text as an SQL literal. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

/** A name as a quoted SQL identifier. */
export function identifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** The rows of a statement as objects; 64-bit integers are bigint. */
export async function rowsOf(connection: DuckDBConnection, sql: string): Promise<Readonly<Record<string, unknown>>[]> {
  const reader = await connection.runAndReadAll(sql);
  return reader.getRowObjectsJS();
}
