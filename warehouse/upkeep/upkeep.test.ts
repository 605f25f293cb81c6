import { join } from 'node:path';
import { manyPosts, openUpkeepLake, timelessLimits, type UpkeepLake } from '#test/upkeep-lake.ts';
import { addDeletes } from '#test/lake.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { changeMetadata } from '../table/ensure.ts';
import { createTableCache, loadManifest, loadManifestList, storeKey } from '../table/files.ts';
import { isLive } from '../table/manifest.ts';
import { commitReplace } from '../table/replace.ts';
import { limitsByHand, upkeepLimits } from './plan.ts';
import { keepTable, tableHealth, type UpkeepOptions } from './upkeep.ts';

const ref = { namespace: storeNamespace, name: 'posts' };
const whole = { missing: 0, extra: 0 };
const none = { table: 'posts', merged: 0, filed: 0, packed: 0, expiredSnapshots: 0, deletedFiles: 0 };
/** As the real ones, for a few kilobytes. */
const limits = { ...timelessLimits, hotBytesMax: 100_000, partitionBytesMin: 20_000 };

let lake: UpkeepLake;

beforeEach(async () => {
  lake = await openUpkeepLake();
});

afterEach(() => lake[Symbol.asyncDispose]());

async function appendMany(files: number, rows: number, of: Parameters<typeof manyPosts>[1] = {}): Promise<void> {
  for (let index = 0; index < files; index++) {
    await lake.append(manyPosts(rows, { ...of, from: index * rows }), { mark: String(index) });
    lake.clock.nowMs += 1_000;
  }
}

/** Keys of data files in the store. */
async function stored(): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of lake.context.store.list('store/posts/data/')) keys.push(key);
  return keys.sort();
}

/** Every data file that a snapshot names. */
async function reached(): Promise<Set<string>> {
  const { store } = lake.context;
  const keys = new Set<string>();
  for (const snapshot of (await lake.current()).snapshots) {
    for (const manifest of await loadManifestList(store, createTableCache(), snapshot)) {
      for (const entry of await loadManifest(store, manifest)) if (isLive(entry)) keys.add(storeKey(store, entry.file.path));
    }
  }
  return keys;
}

test('merging keeps every row and the properties, and the file is sorted as it says', async () => {
  await appendMany(20, 300);
  await lake.append(`select null as event_id, null::timestamptz as created_at, '1' as post_id, 'no event' as text`);
  expect(await keepTable(lake.options, 'posts')).toEqual({ ...none, merged: 21 });
  expect(await lake.differences()).toEqual(whole);
  const [file, ...more] = (await lake.plan()).files;
  expect([more.length, file?.sortOrderId, file?.specId, file?.recordCount]).toEqual([0, 1, 0, 6001]);
  expect((await lake.current()).properties).toMatchObject({ mark: '19' });
  const local = await lake.context.store.localPath(storeKey(lake.context.store, file?.path ?? ''));
  const [unsorted] = await lake.ask(`select count(*) as n from (select (event_id, created_at) as this,
    lag((event_id, created_at)) over (order by file_row_number) as before, lag(event_id) over (order by file_row_number) as first
    from read_parquet('${local}', file_row_number = true)) where first is not null and this < before`);
  expect(unsorted).toEqual({ n: 0n });
  expect(await keepTable(lake.options, 'posts')).toEqual(none);
});

test('filing puts each event and day where it belongs, also before 1970 and without event, and leaves what is too little hot', async () => {
  await appendMany(4, 2_000, { firstDay: -2, days: 3, events: 2 });
  const loner = `select null as event_id, to_timestamp(-3600) as created_at`;
  await lake.append(`${loner}, 'many' || i as post_id, md5(i::varchar) || md5((-i)::varchar) as text from range(2000) as r(i)`);
  await lake.append(`select 'small' as event_id, to_timestamp(5) as created_at, '1' as post_id union all
    select null as event_id, null as created_at, '2' as post_id`);
  expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ merged: 0, filed: 6 });
  expect(await lake.differences()).toEqual(whole);
  const files = (await lake.plan()).files;
  // `//` and a cast would both put the last hour of 1969 into 1970.
  const wanted = await lake.ask(`select event_id, date_diff('day', timestamp '1970-01-01', date_trunc('day', created_at at time zone 'UTC')) as day, count(*) as n
    from expected group by all having n > 1 order by all`);
  expect(wanted).toHaveLength(7);
  expect(wanted).toContainEqual({ event_id: null, day: -1n, n: 2000n });
  const filed = files.filter(({ specId }) => specId === 1).map(({ partition, recordCount }) => (
    { event_id: partition['1000'], day: BigInt(Number(partition['1001'])), n: BigInt(recordCount) }));
  expect(filed).toHaveLength(7);
  expect(filed).toEqual(expect.arrayContaining(wanted));
  expect(files.filter(({ specId }) => specId === 0).map(({ recordCount }) => recordCount)).toEqual([2]);
});

test('small files of a partition are packed', async () => {
  for (let round = 0; round < 5; round++) {
    await appendMany(1, 2_000, { events: 1, days: 1 });
    expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ packed: 0 });
    // A single file is "the largest", so filing waits for a second.
    await appendMany(1, 2_000, { events: 1, days: 1 });
    expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ filed: 2 });
  }
  expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ packed: 5 });
  expect((await lake.plan()).files.map(({ recordCount, partition }) => [recordCount, partition])).toEqual([[20_000, { '1000': 'event0', '1001': 20_000 }]]);
  expect(await lake.differences()).toEqual(whole);
}, 60_000);

test('rows that another engine deleted stay deleted, and the served delete file goes', async () => {
  const first = await lake.append(manyPosts(100));
  await appendMany(15, 10);
  const local = join(lake.duck.staging, 'deletes.parquet');
  await lake.ask(`copy (select '${first}' as file_path, unnest([3, 50, 99])::bigint as pos) to '${local}'
    (format parquet, field_ids {file_path: 2147483546, pos: 2147483545})`);
  const key = 'store/posts/data/deletes.parquet';
  await lake.context.store.putFile(key, local);
  await addDeletes(lake.context, 0, [{ path: `${lake.context.store.uri}/${key}`, referencedDataFile: first, recordCount: 3, bytes: 500 }], ref);
  expect(await lake.differences()).toEqual({ missing: 3, extra: 0 });
  expect(await keepTable(lake.options, 'posts')).toMatchObject({ merged: 16 });
  expect(await lake.differences()).toEqual({ missing: 3, extra: 0 });
  const { files } = await lake.plan();
  expect(files.map(({ recordCount, deletes }) => [recordCount, deletes])).toEqual([[247, []]]);
  expect((await lake.current()).snapshots.at(-1)?.summary).toMatchObject({ 'total-delete-files': '0', 'total-records': '247' });
});

/** The options with something done just before the first commit. */
function racing(before: () => Promise<unknown>): UpkeepOptions {
  let raced = false;
  const catalog: Catalog = { ...lake.context.catalog, commit: async (request) => {
    if (!raced) {
      raced = true;
      await before();
    }
    await lake.context.catalog.commit(request);
  } };
  return { ...lake.options, context: { ...lake.context, catalog } };
}

test('an append that comes between is kept', async () => {
  await appendMany(16, 50);
  const done = await keepTable(racing(() => lake.append(manyPosts(7, { from: 5_000 }), { mark: 'between' })), 'posts');
  expect(done).toMatchObject({ merged: 16 });
  expect(await lake.differences()).toEqual(whole);
  expect((await lake.plan()).files).toHaveLength(2);
  expect((await lake.current()).properties).toMatchObject({ mark: 'between' });
});

test('files that another engine replaced meanwhile are left for the next run, and what was written in vain is deleted', async () => {
  await appendMany(16, 50);
  const [theirs] = (await lake.plan()).files;
  const options = racing(async () => commitReplace({
    ...lake.context, ref, operation: 'overwrite', remove: [theirs?.path ?? ''], add: [], readAtSequenceNumber: 16,
  }));
  const before = await stored();
  expect(await keepTable(options, 'posts')).toMatchObject({ merged: 0 });
  expect(await stored()).toEqual(before);
  expect(await lake.differences()).toEqual({ missing: 50, extra: 0 });
  await appendMany(1, 50);
  expect(await keepTable(lake.options, 'posts')).toMatchObject({ merged: 16 });
  expect(await lake.differences()).toEqual({ missing: 50, extra: 0 });
});

test('a table with a column that somebody else added is not rewritten', async () => {
  await appendMany(16, 50);
  await changeMetadata(lake.context, ref, (base) => ({
    ...base, schemas: base.schemas.map((schema) => ({ ...schema, fields: [...schema.fields, { id: 900, name: 'theirs', required: false, type: 'string' }] })),
  }));
  expect(await keepTable(lake.options, 'posts')).toEqual(none);
  expect(await tableHealth(lake.options, 'posts')).toMatchObject({ hotFiles: 16, wouldMerge: 0 });
});

test('another engine\'s default partitioning is left alone, and hot files are merged all the same', async () => {
  await appendMany(16, 1_000);
  const author = tables.posts.columns.find(({ name }) => name === 'author_id')?.id ?? 0;
  await changeMetadata(lake.context, ref, (base) => ({
    ...base, 'default-spec-id': 7,
    'partition-specs': [...base['partition-specs'], { 'spec-id': 7, fields: [
      { 'source-id': author, 'field-id': 1007, name: 'a', transform: 'identity' }, { 'source-id': 4, 'field-id': 1001, name: 'created_at_day', transform: 'day' },
    ] }],
  }));
  expect(await keepTable({ ...lake.options, limits }, 'posts')).toMatchObject({ filed: 0, merged: 16 });
  expect(await lake.differences()).toEqual(whole);
});

test('a snapshot outlives its replacement by the retention, and only files that no kept snapshot names are deleted', async () => {
  await appendMany(30, 20);
  lake.clock.nowMs += 3_600_000;
  expect(await keepTable(lake.options, 'posts')).toMatchObject({ merged: 30, expiredSnapshots: 21 });
  const { snapshots } = await lake.current();
  expect(snapshots).toHaveLength(10);
  expect(await stored()).toEqual([...await reached()].sort());
  expect(await stored()).toHaveLength(31);
  for (let index = 0; index < 12; index++) await lake.append(manyPosts(1, { from: 10_000 + index }));
  lake.clock.nowMs += 200_000;
  // The last of the appended ones is an hour old and was current until the merge: who began with it then may still read its files.
  expect(await keepTable(lake.options, 'posts')).toMatchObject({ expiredSnapshots: 8 });
  expect((await reached()).size).toBe(31 + 12);
  lake.clock.nowMs += 200_000;
  expect(await keepTable(lake.options, 'posts')).toMatchObject({ expiredSnapshots: 1 });
  expect(await stored()).toEqual([...await reached()].sort());
  expect((await reached()).size).toBe(13);
  expect(await lake.differences()).toEqual(whole);
});

const dayMs = 86_400_000;

test('a day that is over is filed however small it is, an hour after its end, and what comes later six hours on', async () => {
  // Two events; days 20454 and 20455, which is 2026-01-01, the lake's today.
  const dated = { ...lake.options, limits: upkeepLimits };
  const placed = async (): Promise<string[]> => (await lake.plan()).files.map(({ specId, partition, recordCount }) =>
    `${specId === 1 ? `${String(partition['1000'])} ${String(partition['1001'])}` : 'hot'}: ${recordCount}`).sort();
  await appendMany(2, 600, { firstDay: 20_453, days: 2, events: 1 });
  lake.clock.nowMs = 20_454 * dayMs + 3_599_000;
  expect(await keepTable(dated, 'posts')).toMatchObject({ filed: 0 });
  lake.clock.nowMs += 1_000;
  expect(await tableHealth(dated, 'posts')).toMatchObject({ hotFiles: 2, wouldFile: 2 });
  expect(await keepTable(dated, 'posts')).toMatchObject({ filed: 2 });
  expect(await placed()).toEqual(['event0 20453: 600', 'hot: 600']);
  expect(await lake.differences()).toEqual(whole);

  // Late posts of the day before wait with the others.
  await lake.append(manyPosts(400, { from: 50_000, firstDay: 20_453, days: 1, events: 1 }));
  lake.clock.nowMs += 6 * 3_600_000 - 1;
  expect(await keepTable(dated, 'posts')).toMatchObject({ filed: 0 });
  lake.clock.nowMs += 1;
  expect(await keepTable(dated, 'posts')).toMatchObject({ filed: 1 });
  expect(await placed()).toEqual(['event0 20453: 400', 'event0 20453: 600', 'hot: 600']);

  // A handful of them stays hot, but for who asks by hand.
  await lake.append(manyPosts(5, { from: 60_000, firstDay: 20_453, days: 1, events: 1 }));
  lake.clock.nowMs += 7 * 3_600_000;
  expect(await keepTable(dated, 'posts')).toMatchObject({ filed: 0 });
  expect(await keepTable({ ...dated, limits: limitsByHand }, 'posts')).toMatchObject({ filed: 1 });
  expect(await placed()).toEqual(['event0 20453: 400', 'event0 20453: 5', 'event0 20453: 600', 'hot: 600']);
  expect(await lake.differences()).toEqual(whole);
});

test('an archive of scattered days becomes no more files at once than a filing may make', async () => {
  const limited = { ...lake.options, limits: { ...limitsByHand, overPartitionsMax: 10, packFilesMin: 100 } };
  await lake.append(manyPosts(2_000, { firstDay: 10_000, days: 500, events: 1 }));
  await lake.append(`select 'loner' as event_id, null::timestamptz as created_at, '1' as post_id`);
  expect(await keepTable(limited, 'posts')).toMatchObject({ filed: 1 });
  expect((await lake.plan()).files).toHaveLength(12);
  expect(await keepTable(limited, 'posts')).toMatchObject({ filed: 1 });
  expect((await lake.plan()).files).toHaveLength(22);
  expect(await lake.differences()).toEqual(whole);
});

test('one piece alone is done where it is asked for', async () => {
  await appendMany(16, 50);
  lake.clock.nowMs += 3_600_000;
  expect(await keepTable({ ...lake.options, only: 'expire' }, 'posts')).toMatchObject({ merged: 0, expiredSnapshots: 6 });
  expect(await keepTable({ ...lake.options, only: 'pack' }, 'posts')).toEqual(none);
  expect(await keepTable({ ...lake.options, only: 'merge' }, 'posts')).toEqual({ ...none, merged: 16 });
});
