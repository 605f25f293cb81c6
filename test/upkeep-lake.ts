import { join } from 'node:path';
import { seededRandom, systemClock, type Clock } from '#core/clock.ts';
import { storeNamespace, tables, type TableSpec } from '#core/contract/tables.ts';
import { openFileStore } from '#core/store/file.ts';
import type { Catalog } from '#warehouse/catalog/catalog.ts';
import { createMemoryCatalog } from '#warehouse/catalog/memory.ts';
import { literal, openDuck, rowsOf, type Duck } from '#warehouse/duck.ts';
import { encodeParquet } from '#warehouse/encode.ts';
import { commitAppend } from '#warehouse/table/append.ts';
import { dataFileFromStats } from '#warehouse/table/datafile.ts';
import { ensureTable } from '#warehouse/table/ensure.ts';
import { createTableCache, loadMetadata, storeKey } from '#warehouse/table/files.ts';
import type { TableMetadata } from '#warehouse/table/metadata.ts';
import { planScan, type ScanPlan } from '#warehouse/table/scan.ts';
import type { CommitContext } from '#warehouse/table/transaction.ts';
import { upkeepLimits, type UpkeepLimits } from '#warehouse/upkeep/plan.ts';
import type { UpkeepOptions } from '#warehouse/upkeep/upkeep.ts';
import { removeFolder, temporaryFolder } from './services/process.ts';

const ref = { namespace: storeNamespace, name: 'posts' };
const spec: TableSpec = tables.posts;

/** The limits of a lake in which no day is ever over. */
export const timelessLimits: UpkeepLimits = { ...upkeepLimits, overAfterMs: Infinity };

/** A lake with table `posts` on the disk, and beside it, in a table `expected` of DuckDB, every row that was ever appended. */
export interface UpkeepLake extends AsyncDisposable {
  readonly context: CommitContext;
  readonly duck: Duck;
  /** With `timelessLimits`. */
  readonly options: UpkeepOptions;
  readonly clock: Clock & { nowMs: number };
  /** Appends the rows of a SELECT with some columns of `posts`, as one hot file. Resolves to its path. */
  append(select: string, properties?: Readonly<Record<string, string>>): Promise<string>;
  /** Rows of the current snapshot that are not expected, or expected and not there; each counted as often as it is. */
  differences(): Promise<{ missing: number; extra: number }>;
  current(): Promise<TableMetadata>;
  plan(): Promise<ScanPlan>;
  /** Rows of a statement on the table's rows (`posts`), the rows to be expected (`expected`), or the files themselves. */
  ask(sql: string): Promise<Readonly<Record<string, unknown>>[]>;
}

export async function openUpkeepLake(seed = 1, catalog: Catalog = createMemoryCatalog()): Promise<UpkeepLake> {
  const folder = await temporaryFolder('upkeep');
  const store = await openFileStore(join(folder, 'lake'));
  const clock = { ...systemClock, nowMs: Date.UTC(2026, 0, 1), now: () => clock.nowMs, sleep: () => new Promise<void>((resolve) => setImmediate(resolve)) };
  const context = { catalog, store, clock, random: seededRandom(seed), cache: createTableCache() };
  const duck = await openDuck({ staging: join(folder, 'staging'), memoryBytes: 600e6, threads: 2 });
  const connection = await duck.connect();
  await ensureTable(context, ref, spec);
  const typed = (select: string): string => `select ${spec.columns.map(({ name }) => name).map((name) => `t.${name}`).join(', ')}
    from (select * from no_rows union all by name select * from (${select})) as t`;
  await connection.run(`create table no_rows (${spec.columns.map(({ name, type }) =>
    `${name} ${typeof type === 'string' ? { string: 'varchar', long: 'bigint', int: 'integer', timestamptz: 'timestamptz', boolean: 'boolean', double: 'double', binary: 'blob' }[type] : 'varchar[]'}`).join(', ')})`);
  await connection.run('create table expected as from no_rows');
  const current = async (): Promise<TableMetadata> => loadMetadata(store, createTableCache(), await catalog.load(ref) ?? '');
  const plan = async (): Promise<ScanPlan> => planScan({ store, metadata: await current() });
  const rowsOfFile = async (path: string, deletes: readonly string[]): Promise<string> => {
    const local = await store.localPath(storeKey(store, path));
    const deleted = await Promise.all(deletes.map((each) => store.localPath(storeKey(store, each))));
    return `select ${spec.columns.map(({ name }) => name).join(', ')} from read_parquet(${literal(local)}, file_row_number = true)${deleted.length === 0 ? ''
      : ` where file_row_number not in (select pos from read_parquet([${deleted.map(literal).join(', ')}]) where file_path = ${literal(path)})`}`;
  };
  const view = async (): Promise<void> => {
    const files = await Promise.all((await plan()).files.map(({ path, deletes }) => rowsOfFile(path, deletes)));
    await connection.run(`create or replace temp view posts as ${['from no_rows', ...files].join(' union all ')}`);
  };
  const lake: UpkeepLake = {
    context, duck, clock, current, plan,
    options: { context, duck, retentionMs: 300_000, limits: timelessLimits, signal: new AbortController().signal },
    async append(select, properties = {}) {
      const number = context.random().toString(36).slice(2);
      await connection.run(`insert into expected ${typed(select)}`);
      const file = await encodeParquet(connection, typed(select), spec, duck.staging);
      if (file === undefined) throw new Error('no rows');
      const key = `store/posts/data/${number}.parquet`;
      await store.putFile(key, file.localPath);
      await commitAppend({ ...context, ledger: [], tables: [{ ref, properties, files: [dataFileFromStats(spec, `${store.uri}/${key}`, file.stats)] }] });
      return `${store.uri}/${key}`;
    },
    async differences() {
      await view();
      const [row] = await rowsOf(connection, `select (select count(*) from (from expected except all from posts)) as missing,
        (select count(*) from (from posts except all from expected)) as extra`);
      return { missing: Number(row?.['missing']), extra: Number(row?.['extra']) };
    },
    async ask(sql) {
      await view();
      return rowsOf(connection, sql);
    },
    async [Symbol.asyncDispose]() {
      connection.closeSync();
      await duck[Symbol.asyncDispose]();
      await removeFolder(folder);
    },
  };
  return lake;
}

/** A SELECT of `count` posts of `events` events over `days` days from `firstDay` (since 1970) on; `from` is the first offset. */
export function manyPosts(count: number, of: { from?: number; events?: number; days?: number; firstDay?: number } = {}): string {
  const { from = 0, events = 3, days = 2, firstDay = 20_000 } = of;
  return `select 'event' || (i % ${events}) as event_id, 'x' as source, (1700000000000000000 + i * 7)::varchar as post_id,
    to_timestamp((${firstDay} + i % ${days}) * 86400 + hash(i) % 86400) as created_at, md5(i::varchar) || md5((i + 1)::varchar) as text,
    case when i % 4 > 0 then list_transform(range(i % 4 - 1), x -> 'tag' || x) end as hashtags, i::double / 8 as latitude,
    i % 2 = 0 as author_verified, 0 as log_partition, i as log_offset from range(${from}, ${from + count}) as r(i)`;
}
