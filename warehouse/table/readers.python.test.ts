import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { seededRandom, systemClock } from '#core/clock.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import type { Database } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { openFileStore } from '#core/store/file.ts';
import type { Store } from '#core/store/store.ts';
import { digestInPython, digestOf, encodePosts, postRows } from '#test/posts.ts';
import type { PostRow } from '#test/posts.ts';
import { startPostgres } from '#test/services/postgres.ts';
import type { TestPostgres } from '#test/services/postgres.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { python, runPython } from '#test/services/python.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { openPostgresCatalog } from '../catalog/postgres.ts';
import { openDuck, rowsOf } from '../duck.ts';
import type { Duck } from '../duck.ts';
import { commitAppend } from './append.ts';
import { dataFileFromStats } from './datafile.ts';
import type { PartitionValues } from './datafile.ts';
import { ensureTable } from './ensure.ts';
import { commitExpire } from './expire.ts';
import { createTableCache, loadManifestList, loadMetadata, storeKey } from './files.ts';
import { currentSnapshot } from './metadata.ts';
import { commitReplace } from './replace.ts';
import { planScan } from './scan.ts';
import type { CommitContext } from './transaction.ts';

const ref = { namespace: storeNamespace, name: 'posts' };
const refused = expect.objectContaining({ code: 'conflict', retryable: false });

let server: TestPostgres;
let url: string;
let database: Database;
let folder: string;
let store: Store;
let catalog: Catalog;
let duck: Duck;
let connection: DuckDBConnection;
let context: CommitContext;
let files = 0;

beforeAll(async () => {
  await python();
  server = await startPostgres();
  url = await server.createDatabase();
  database = openDatabase(url, { max: 4 });
  await migrate(database);
  folder = await temporaryFolder('readers');
  store = await openFileStore(join(folder, 'lake'));
  duck = await openDuck({ staging: join(folder, 'staging'), memoryBytes: 500e6, threads: 2 });
  connection = await duck.connect();
  catalog = openPostgresCatalog(database, { catalogName: 'watershed' });
  context = { catalog, store, clock: systemClock, random: seededRandom(9) };
  await ensureTable(context, ref, tables.posts);
}, 600_000);

afterAll(async () => {
  connection.closeSync();
  await duck[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await server.stop();
  await removeFolder(folder);
});

async function place(rows: readonly PostRow[], partition?: PartitionValues) {
  const file = await encodePosts(connection, rows, duck.staging);
  const key = `store/posts/data/f${files++}.parquet`;
  await store.putFile(key, file.localPath);
  return dataFileFromStats(tables.posts, `${store.uri}/${key}`, file.stats, partition);
}

async function append(rows: readonly PostRow[]): Promise<void> {
  await commitAppend({ ...context, tables: [{ ref, files: [await place(rows)] }], ledger: [], mergeAt: 4 });
}

const current = async () => loadMetadata(store, createTableCache(), await catalog.load(ref) ?? '');

/** Files rows away into spec 1, as upkeep does: one file per event and day. */
async function file(rows: readonly PostRow[]) {
  const groups = Map.groupBy(rows, (row) => `${row.event_id}/${Math.floor(row.created_at_us / 86_400_000_000)}`);
  return Promise.all([...groups].map(([key, some]) => {
    const [event = '', day = ''] = key.split('/');
    return place(some, { specId: 1, values: { '1000': event, '1001': Number(day) } });
  }));
}

const openCatalog = `
import sys
from datetime import datetime, timedelta, timezone
from pyiceberg.catalog.sql import SqlCatalog
catalog = SqlCatalog('watershed', uri=sys.argv[1].replace('postgres://', 'postgresql+psycopg2://'), init_catalog_tables='false')
table = catalog.load_table(('store', 'posts'))
${digestInPython}
`;

interface Read {
  readonly pyiceberg: unknown;
  readonly duckdb: unknown;
  readonly snapshots: number;
  readonly files: { readonly spec: number; readonly event: string | null; readonly records: number }[];
  readonly planned: number;
}

/** What both readers see, and what PyIceberg plans for one event. */
async function readElsewhere(): Promise<Read> {
  const script = `${openCatalog}
import duckdb, glob, os
import duckdb_extension_avro, duckdb_extension_iceberg
engine = duckdb.connect()
for module, name in ((duckdb_extension_avro, 'avro'), (duckdb_extension_iceberg, 'iceberg')):
    [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', name + '.duckdb_extension'))
    engine.execute(f"LOAD '{path}'")
engine.execute("SET timezone = 'UTC'")
rows = table.scan().to_arrow()
scanned = engine.execute(f"select * from iceberg_scan('{table.metadata_location}')").to_arrow_table()
event = table.scan(row_filter="event_id == 'colorado'")
assert event.to_arrow().num_rows == len([x for x in rows.column('event_id').to_pylist() if x == 'colorado'])
inspected = table.inspect.files().to_pylist()
print(json.dumps({
    'pyiceberg': digest(rows), 'duckdb': digest(scanned), 'snapshots': len(table.metadata.snapshots),
    'files': [{'spec': f['spec_id'], 'event': f['partition'].get('event_id'), 'records': f['record_count']} for f in inspected],
    'planned': len(list(event.plan_files())),
}))`;
  return await runPython(script, [url]) as Read;
}

/** What we ourselves read by our own plan, deletes applied as the engine does. */
async function readHere() {
  const plan = await planScan({ store, metadata: await current() });
  const rows: PostRow[] = [];
  for (const { path, deletes } of plan.files) {
    const paths = await Promise.all(deletes.map((each) => store.localPath(storeKey(store, each))));
    const without = paths.length === 0 ? '' : `where file_row_number not in (select pos from read_parquet(${JSON.stringify(paths).replaceAll('"', "'")}) where file_path = '${path}')`;
    const found = await rowsOf(connection, `select event_id, post_id, epoch_us(created_at) as us, text, hashtags, likes, latitude,
      author_verified, log_offset from read_parquet('${await store.localPath(storeKey(store, path))}', file_row_number = true) ${without}`);
    for (const row of found) {
      rows.push({ ...row, created_at_us: Number(row['us']), log_offset: Number(row['log_offset']),
        likes: row['likes'] === null ? null : Number(row['likes']) } as PostRow);
    }
  }
  return digestOf(rows);
}

test('PyIceberg and DuckDB read every row of hot and filed files, and PyIceberg prunes', async () => {
  for (let from = 0; from < 900; from += 100) await append(postRows(from, 100));
  const plan = await planScan({ store, metadata: await current() });
  const inputs = plan.files.filter(({ path }) => /f[0-4]\.parquet$/.test(path));
  expect(inputs).toHaveLength(5);
  const filed = await file(postRows(0, 500));
  await commitReplace({
    ...context, ref, remove: inputs.map(({ path }) => path), add: filed, readAtSequenceNumber: plan.sequenceNumber,
  });
  await append(postRows(900, 100));
  const read = await readElsewhere();
  const wanted = digestOf(postRows(0, 1000));
  expect(read).toMatchObject({ pyiceberg: wanted, duckdb: wanted, snapshots: 11 });
  expect(await readHere()).toEqual(wanted);
  const hot = read.files.filter(({ spec }) => spec === 0);
  expect(hot.map(({ event, records }) => [event, records])).toEqual(Array.from({ length: 5 }, () => [null, 100]));
  const ofEvent = read.files.filter(({ spec, event }) => spec === 1 && event === 'colorado').length;
  expect(ofEvent).toBeGreaterThan(0);
  expect(read.planned).toBe(ofEvent + hot.length);
}, 120_000);

test('what PyIceberg appends and deletes is read here, carried by our commits and not lost by a replacement', async () => {
  const before = await planScan({ store, metadata: await current() });
  // A copy-on-write delete of one event, and an append of rows beyond ours.
  await runPython(`${openCatalog}
import pyarrow as pa
schema = table.schema().as_arrow()
table.delete("event_id == 'alberta'")
row = {name: None for name in schema.names}
row.update(event_id='theirs', post_id='1', created_at=datetime(2013, 6, 21, tzinfo=timezone.utc), text='from elsewhere',
           hashtags=['a'], likes=2**60 + 1, latitude=1.5, author_verified=True, log_offset=5000)
table.append(pa.Table.from_pylist([row], schema=schema))
print('{}')`, [url]);
  const theirs: PostRow = {
    event_id: 'theirs', post_id: '1', created_at_us: Date.UTC(2013, 5, 21) * 1000, text: 'from elsewhere', hashtags: ['a'],
    likes: 2 ** 60 + 1, latitude: 1.5, author_verified: true, log_offset: 5000,
  };
  const kept = [...postRows(0, 1000).filter(({ event_id }) => event_id !== 'alberta'), theirs];
  const count = kept.length;
  expect((await readHere()).count).toBe(count);
  const byEvent = await planScan({
    store, metadata: await current(), filter: { kind: 'compare', column: 'event_id', op: '=', value: 'theirs' },
  });
  expect(byEvent.files.filter(({ specId }) => specId === 1).map(({ partition, recordCount }) => [partition, recordCount]))
    .toEqual([[{ '1000': 'theirs', '1001': 15_877 }, 1]]);
  // Files that PyIceberg rewrote are no longer there to be replaced.
  const [input] = before.files;
  await expect(commitReplace({
    ...context, ref, remove: [input?.path ?? ''], add: [], operation: 'delete', readAtSequenceNumber: before.sequenceNumber,
  })).rejects.toEqual(refused);
  await append(postRows(1000, 100));
  const read = await readElsewhere();
  expect(read.pyiceberg).toEqual(read.duckdb);
  expect(read.pyiceberg).toMatchObject({ count: count + 100 });
  const { summary } = currentSnapshot(await current()) ?? { summary: {} };
  expect(summary).toMatchObject({ 'total-records': String(count + 100), 'total-data-files': String(read.files.length) });
}, 120_000);

test('after snapshots expired and their files were deleted, both still read all of it', async () => {
  const before = await readElsewhere();
  const { files: gone, snapshots } = await commitExpire(context, ref, { olderThanMs: Infinity, keep: 2 });
  expect(snapshots).toBe(before.snapshots - 2);
  for (const path of gone) await store.delete(storeKey(store, path));
  expect(gone.filter((path) => path.endsWith('.parquet')).length).toBeGreaterThan(4);
  const after = await readElsewhere();
  expect(after).toEqual({ ...before, snapshots: 2 });
  expect(after.pyiceberg).toEqual(after.duckdb);
  const manifests = await loadManifestList(store, createTableCache(), currentSnapshot(await current()));
  for (const { path } of manifests) await readFile(path.replace('file://', ''));
}, 120_000);
