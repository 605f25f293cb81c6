import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DuckDBInstance, type DuckDBConnection } from '@duckdb/node-api';
import { seededRandom, systemClock } from '#core/clock.ts';
import { type TableName, tables } from '#core/contract/tables.ts';
import { silentLogger } from '#core/logger.ts';
import { openFileStore } from '#core/store/file.ts';
import type { Store } from '#core/store/store.ts';
import { createDuckEngine, type DuckEngineOptions } from '#sql/engine/duckdb/engine.ts';
import type { Engine, Limits, Param, Statement } from '#sql/engine/engine.ts';
import { createMemoryCatalog, type MemoryCatalog } from '#warehouse/catalog/memory.ts';
import { duckType, encodeParquet } from '#warehouse/encode.ts';
import { commitAppend } from '#warehouse/table/append.ts';
import { dataFileFromStats } from '#warehouse/table/datafile.ts';
import { ensureTable } from '#warehouse/table/ensure.ts';
import { createTableCache, type TableCache } from '#warehouse/table/files.ts';

/** A lake in a folder of its own: real files, real metadata, a catalog in memory. */
export interface SqlLake extends AsyncDisposable {
  readonly folder: string;
  readonly store: Store;
  readonly catalog: MemoryCatalog;
  readonly cache: TableCache;
  /** Commits the rows of a SELECT to a table as one file; columns that it does not give are null. */
  append(table: TableName, select: string): Promise<void>;
  /** Names one small file so often, under as many names, in commits of 500: for measuring how files are planned. */
  appendManyFiles(table: TableName, files: number): Promise<void>;
  /** Any SQL on an unguarded DuckDB that is set up like a child, for comparing. */
  readonly duck: DuckDBConnection;
  engine(options?: Partial<DuckEngineOptions>): Engine;
}

export async function sqlLake(): Promise<SqlLake> {
  const folder = await mkdtemp(join(tmpdir(), 'sql-lake-'));
  const store = await openFileStore(join(folder, 'lake'));
  const catalog = createMemoryCatalog();
  const cache = createTableCache();
  const instance = await DuckDBInstance.create(':memory:', { threads: '2' });
  const duck = await instance.connect();
  await duck.run("SET TimeZone = 'UTC'");
  const context = { catalog, store, cache, clock: systemClock, random: seededRandom(7) };
  const engines: Engine[] = [];
  let files = 0;
  return {
    folder,
    store,
    catalog,
    cache,
    duck,
    async append(table, select) {
      const spec = tables[table];
      const ref = { namespace: 'store', name: table };
      await ensureTable(context, ref, spec);
      const names = (await duck.runAndReadAll(`DESCRIBE ${select}`)).getRows().map(([name]) => String(name));
      const given = spec.columns.map(({ name, type }) =>
        names.includes(name) ? `"${name}"` : `NULL::${duckType(type)} AS "${name}"`,
      );
      const file = await encodeParquet(duck, `SELECT ${given.join(', ')} FROM (${select})`, spec, folder);
      if (file === undefined) return;
      const key = `store/${table}/data/${String(++files).padStart(5, '0')}.parquet`;
      await store.putFile(key, file.localPath);
      await commitAppend({
        ...context,
        ledger: [],
        tables: [{ ref, files: [dataFileFromStats(spec, `${store.uri}/${key}`, file.stats)] }],
      });
    },
    async appendManyFiles(table, count) {
      const spec = tables[table];
      const ref = { namespace: 'store', name: table };
      await ensureTable(context, ref, spec);
      for (let from = 0; from < count; from += 500) {
        const added = [];
        for (let index = from; index < Math.min(count, from + 500); index++) {
          const file = await encodeParquet(
            duck,
            `SELECT ${spec.columns.map(({ name, type }) => (name === 'event_id' ? `'event ${index % 100}' AS event_id` : `NULL::${duckType(type)} AS "${name}"`)).join(', ')}`,
            spec,
            folder,
          );
          if (file === undefined) continue;
          added.push(dataFileFromStats(spec, `${store.uri}/store/${table}/data/many-${index}.parquet`, file.stats));
          await rm(file.localPath);
        }
        await commitAppend({ ...context, ledger: [], tables: [{ ref, files: added }] });
      }
    },
    engine(options = {}) {
      const engine = createDuckEngine({
        catalog,
        store,
        cache,
        children: 1,
        memoryBytes: 256 * 2 ** 20,
        threads: 2,
        readable: [join(folder, 'lake')],
        tempDir: join(folder, 'temp'),
        tempBytesMax: 2 ** 30,
        clock: systemClock,
        logger: silentLogger,
        ...options,
      });
      engines.push(engine);
      return engine;
    },
    async [Symbol.asyncDispose]() {
      for (const engine of engines) await engine[Symbol.asyncDispose]();
      duck.closeSync();
      instance.closeSync();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export const roomyLimits: Limits = { timeoutMs: 30_000, rowsMax: 1e9, bytesMax: 1e12 };

export function statement(sql: string, more: Partial<Statement> = {}): Statement {
  return {
    sql,
    params: [],
    user: 'admin',
    mayReadStore: true,
    encoding: 'json',
    limits: roomyLimits,
    signal: new AbortController().signal,
    ...more,
  };
}

/** The rows of a statement as JSON.parse gives them, with the columns. */
export async function ask(
  engine: Engine,
  sql: string,
  params: readonly Param[] = [],
  more: Partial<Statement> = {},
): Promise<{
  columns: string[];
  types: string[];
  rows: unknown[][];
  truncated: boolean;
}> {
  const result = await engine.run(statement(sql, { params, ...more }));
  const pieces: Uint8Array[] = [];
  for await (const piece of result.chunks) pieces.push(piece);
  const rows: unknown = JSON.parse(`[${Buffer.concat(pieces).toString()}]`);
  return {
    columns: result.columns.map(({ name }) => name),
    types: result.columns.map(({ type }) => type),
    rows: rows as unknown[][],
    truncated: (await result.summary).truncated,
  };
}
