import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom, systemClock } from '#core/clock.ts';
import { storeNamespace, tables, type TableName } from '#core/contract/tables.ts';
import { createMetrics, type Metrics } from '#core/metrics.ts';
import { openFileStore } from '#core/store/file.ts';
import type { Catalog } from '#warehouse/catalog/catalog.ts';
import { createMemoryCatalog } from '#warehouse/catalog/memory.ts';
import { literal, openDuck, rowsOf, type Duck } from '#warehouse/duck.ts';
import { duckType, encodeParquet } from '#warehouse/encode.ts';
import { selectRows } from '#warehouse/select.ts';
import { commitAppend } from '#warehouse/table/append.ts';
import { dataFileFromStats } from '#warehouse/table/datafile.ts';
import { createTableCache, loadMetadata } from '#warehouse/table/files.ts';
import type { TableMetadata } from '#warehouse/table/metadata.ts';
import { planScan } from '#warehouse/table/scan.ts';
import { ensureTables } from '#warehouse/tables.ts';
import type { CommitContext } from '#warehouse/table/transaction.ts';
import type { TableCache } from '#warehouse/table/files.ts';

/** A lake of real files in a folder of its own, with a catalog in memory and rows put in by the test. */
export interface JobsLake extends AsyncDisposable {
  /** The store is folder `lake` in it. */
  readonly folder: string;
  /** What a process that just started has: nothing read before. */
  fresh(): CommitContext & { readonly cache: TableCache; readonly duck: Duck; readonly metrics: Metrics };
  /** Lands rows as the writer does: one file, and the offset after them. Columns that are not given are null. */
  land(
    table: TableName,
    partition: number,
    from: number,
    rows: readonly Readonly<Record<string, unknown>>[],
  ): Promise<void>;
  metadata(table: TableName): Promise<TableMetadata>;
  rows(table: TableName, orderBy: string): Promise<Readonly<Record<string, unknown>>[]>;
  properties(table: TableName): Promise<Readonly<Record<string, string>>>;
  sql(statement: string): Promise<Readonly<Record<string, unknown>>[]>;
}

/** With another catalog, another process can work on the same lake. */
export async function openJobsLake(logIdentity: string, catalog: Catalog = createMemoryCatalog()): Promise<JobsLake> {
  const folder = await mkdtemp(join(tmpdir(), 'jobs-lake-'));
  const store = await openFileStore(join(folder, 'lake'));
  const context = { catalog, store, clock: systemClock, random: seededRandom(7) };
  await ensureTables(context);
  const duck = await openDuck({ staging: join(folder, 'staging'), memoryBytes: 512e6, threads: 1 });
  const fresh = () => ({ ...context, cache: createTableCache(), duck, metrics: createMetrics() });
  const metadata = async (name: TableName): Promise<TableMetadata> =>
    loadMetadata(store, createTableCache(), (await context.catalog.load({ namespace: storeNamespace, name })) ?? '');
  const sql = async (statement: string): Promise<Readonly<Record<string, unknown>>[]> => {
    const connection = await duck.connect();
    try {
      return await rowsOf(connection, statement);
    } finally {
      connection.closeSync();
    }
  };
  return {
    folder,
    fresh,
    metadata,
    sql,
    async land(table, partition, from, rows) {
      const spec = tables[table];
      const connection = await duck.connect();
      const path = join(duck.staging, `${randomUUID()}.ndjson`);
      await writeFile(
        path,
        rows
          .map((row, index) => JSON.stringify({ ...row, log_partition: partition, log_offset: from + index }))
          .join('\n'),
      );
      const columns = spec.columns.map(({ name, type }) => `${literal(name)}: ${literal(duckType(type))}`).join(', ');
      const file = await encodeParquet(
        connection,
        `select * from read_json(${literal(path)}, format = 'newline_delimited', columns = {${columns}})`,
        spec,
        duck.staging,
      );
      connection.closeSync();
      if (file === undefined) throw new Error('no rows to land');
      const key = `${storeNamespace}/${table}/data/${randomUUID()}.parquet`;
      await store.putFile(key, file.localPath);
      await commitAppend({
        ...context,
        ledger: [],
        tables: [
          {
            ref: { namespace: storeNamespace, name: table },
            files: [dataFileFromStats(spec, `${store.uri}/${key}`, file.stats)],
            properties: { [`watershed.offset.${logIdentity}.${partition}`]: String(from + rows.length) },
          },
        ],
      });
    },
    async rows(table, orderBy) {
      const plan = await planScan({ store, metadata: await metadata(table) });
      const names = tables[table].columns.map(({ name }) => name);
      return sql(`select * from (${await selectRows(store, tables[table], plan.files, names)}) order by ${orderBy}`);
    },
    properties: async (table) => (await metadata(table)).properties,
    async [Symbol.asyncDispose]() {
      await duck[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
