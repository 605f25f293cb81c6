import { utimes } from 'node:fs/promises';
import { systemClock } from '#core/clock.ts';
import { catalogName } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { python, runPython } from '#test/services/python.ts';
import { manyPosts, openUpkeepLake, timelessLimits, type UpkeepLake } from '#test/upkeep-lake.ts';
import { openPostgresCatalog } from '../catalog/postgres.ts';
import { deleteOrphans, findOrphans } from './orphans.ts';
import { limitsByHand } from './plan.ts';
import { keepTable } from './upkeep.ts';

/** Count and multiset hash: a sum of the first 56 bits of each row's MD5. */
const digest = (rows: string): string => `select count(*) as n, sum(('0x' || left(md5(concat_ws('|', coalesce(event_id, 'no event'), post_id,
  epoch_us(created_at), text, array_to_string(hashtags, ','), hashtags is null, latitude, author_verified, log_offset)), 14))::bigint)::varchar as hash
  from ${rows}`;

const script = `
import sys, json, glob, os, duckdb, duckdb_extension_avro, duckdb_extension_iceberg
from pyiceberg.catalog.sql import SqlCatalog
table = SqlCatalog('watershed', uri=sys.argv[1].replace('postgres://', 'postgresql+psycopg2://'), init_catalog_tables='false').load_table(('store', 'posts'))
engine = duckdb.connect()
for module, name in ((duckdb_extension_avro, 'avro'), (duckdb_extension_iceberg, 'iceberg')):
    [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', name + '.duckdb_extension'))
    engine.execute(f"LOAD '{path}'")
engine.execute("SET timezone = 'UTC'")
arrow = table.scan().to_arrow()
one = lambda sql: [str(value) for value in engine.execute(sql).fetchone()]
day = table.scan(row_filter="event_id == 'event1' and created_at < '1970-01-01T00:00:00+00:00'")
print(json.dumps({
    'pyiceberg': one(${JSON.stringify(digest('arrow'))}),
    'duckdb': one(${JSON.stringify(digest('ROWS'))}.replace('ROWS', f"iceberg_scan('{table.metadata_location}')")),
    'files': len(table.inspect.files()), 'old': day.to_arrow().num_rows, 'planned': len(list(day.plan_files())),
}))`;

let postgres: TestPostgres;

beforeAll(async () => {
  await python();
  postgres = await startPostgres();
}, 600_000);

afterAll(() => postgres.stop());

type Read = { files: number; old: number; planned: number };

/** A lake in a catalog that PyIceberg reads too, and the comparison of what all see in it with what was appended. */
async function withReaders(work: (lake: UpkeepLake, expectAgreement: () => Promise<Read>) => Promise<void>): Promise<void> {
  const url = await postgres.createDatabase();
  await using database = openDatabase(url, { max: 4, clock: systemClock });
  await migrate(database);
  await using lake = await openUpkeepLake(3, openPostgresCatalog(database, { catalogName }));
  await work(lake, async () => {
    const [wanted] = await lake.ask(digest('expected'));
    const [old] = await lake.ask(`select count(*) as n from expected where event_id = 'event1' and created_at < timestamptz '1970-01-01 00:00:00+00'`);
    const read = await runPython(script, [url]) as Read;
    const both = [String(wanted?.['n']), String(wanted?.['hash'])];
    expect(read).toMatchObject({ pyiceberg: both, duckdb: both, old: Number(old?.['n']) });
    return read;
  });
}

test('PyIceberg and DuckDB see the same rows before and after merging, filing, packing and expiry', () => withReaders(async (lake, expectAgreement) => {
  for (let index = 0; index < 18; index++) await lake.append(manyPosts(400, { from: index * 400, firstDay: -2, days: 4, events: 2 }));
  await lake.append(`select null as event_id, null::timestamptz as created_at, '1' as post_id`);
  expect((await expectAgreement()).files).toBe(19);

  expect(await keepTable(lake.options, 'posts')).toMatchObject({ merged: 19 });
  expect((await expectAgreement()).files).toBe(1);

  const limits = { ...timelessLimits, hotBytesMax: 100_000, partitionBytesMin: 10_000, packFilesMin: 2 };
  await lake.append(manyPosts(9_000, { from: 100_000, firstDay: -2, days: 4, events: 2 }));
  expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ filed: 2 });
  const filed = await expectAgreement();
  // One day of that event lies before 1970; what is left hot is one row without event, by its bounds no candidate.
  expect(filed).toMatchObject({ files: 5, planned: 1 });

  // The second files are twice as large as the first, the third as large as the second: then all three become one.
  for (const [round, packed] of [0, 12].entries()) {
    for (const from of [200_000, 300_000]) await lake.append(manyPosts(9_000, { from: from + round * 10_000, firstDay: -2, days: 4, events: 2 }));
    expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ filed: 3 });
    expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ packed });
  }
  await expectAgreement();

  lake.clock.nowMs += 3_600_000;
  for (let index = 0; index < 12; index++) await lake.append(manyPosts(1, { from: 900_000 + index }));
  lake.clock.nowMs += 3_600_000;
  expect((await keepTable(lake.options, 'posts')).deletedFiles).toBeGreaterThan(20);
  await expectAgreement();
}), 600_000);

test('PyIceberg and DuckDB see the same rows after days that are over were filed and orphans swept', () => withReaders(async (lake, expectAgreement) => {
  for (let index = 0; index < 3; index++) await lake.append(manyPosts(500, { from: index * 500, firstDay: -2, days: 4, events: 2 }));
  await lake.append(`select null as event_id, null::timestamptz as created_at, '1' as post_id`);
  expect((await expectAgreement()).files).toBe(4);

  // Each event and day gets its file, the file of the row without event and instant is left alone.
  expect(await keepTable({ ...lake.options, limits: limitsByHand }, 'posts')).toMatchObject({ filed: 3 });
  expect(await expectAgreement()).toMatchObject({ files: 5, planned: 1 });

  const { store } = lake.context;
  await store.put('store/posts/data/left.parquet', Buffer.from('x'));
  const old = (Date.now() - 100 * 3_600_000) / 1000;
  for await (const { key } of store.list('store/')) await utimes(await store.localPath(key), old, old);
  const sweep = { context: lake.context, minAgeMs: 0, signal: lake.options.signal };
  expect(await deleteOrphans(sweep, await findOrphans(sweep, 'posts'))).toBe(1);
  await expectAgreement();
}), 600_000);
