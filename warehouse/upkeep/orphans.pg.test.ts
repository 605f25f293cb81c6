import { utimes } from 'node:fs/promises';
import { systemClock } from '#core/clock.ts';
import { catalogName, storeNamespace } from '#core/contract/tables.ts';
import { openDatabase, type Database } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { messageOf, WatershedError } from '#core/errors.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { manyPosts, openUpkeepLake, type UpkeepLake } from '#test/upkeep-lake.ts';
import { openPostgresCatalog } from '../catalog/postgres.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { changeMetadata } from '../table/ensure.ts';
import { createTableCache, loadManifest, loadManifestList } from '../table/files.ts';
import { nextMetadataPath } from '../table/names.ts';
import { serialiseMetadata } from '../table/metadata.ts';
import { deleteOrphans, findOrphans, type SweepOptions } from './orphans.ts';
import { keepTable } from './upkeep.ts';

const hourMs = 3_600_000;
const ref = { namespace: storeNamespace, name: 'posts' };
const whole = { missing: 0, extra: 0 };

let postgres: TestPostgres;
let database: Database;
let lake: UpkeepLake;
let sweep: SweepOptions;

beforeAll(async () => {
  postgres = await startPostgres();
}, 600_000);

afterAll(() => postgres.stop());

beforeEach(async () => {
  database = openDatabase(await postgres.createDatabase(), { max: 4, clock: systemClock });
  await migrate(database);
  lake = await openUpkeepLake(5, openPostgresCatalog(database, { catalogName }));
  sweep = { context: lake.context, minAgeMs: 48 * hourMs, signal: new AbortController().signal };
});

afterEach(async () => {
  await lake[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function keys(prefix = 'store/posts/'): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of lake.context.store.list(prefix)) found.push(key);
  return found.sort();
}

/** Makes every object of the store, or those given, so many hours old. */
async function age(hours: number, of?: readonly string[]): Promise<void> {
  const at = (Date.now() - hours * hourMs) / 1000;
  for (const key of of ?? await keys('')) await utimes(await lake.context.store.localPath(key), at, at);
}

async function put(key: string): Promise<string> {
  await lake.context.store.put(key, Buffer.from('left behind'));
  return key;
}

const found = async (): Promise<string[]> => (await findOrphans(sweep, 'posts')).orphans.map(({ key }) => key).sort();

/** Sweeps as the job does: look first, then delete. */
async function sweepNow(): Promise<number> {
  return deleteOrphans(sweep, await findOrphans(sweep, 'posts'));
}

test('what nobody names and is old goes; what is young, hidden, named or another\'s stays', async () => {
  for (let index = 0; index < 20; index++) await lake.append(manyPosts(50, { from: index * 50 }));
  await keepTable(lake.options, 'posts');
  for (let index = 0; index < 3; index++) await lake.append(manyPosts(5, { from: 9_000 + index * 5 }));
  const before = await keys();
  const orphans = [await put('store/posts/data/crashed.parquet'), await put('store/posts/data/event_id=a/optimized-m.parquet'),
    await put('store/posts/metadata/snap-1-1-left.avro')];
  const kept = [await put('store/posts/data/.part.crc'), await put('store/posts/_temporary/0.parquet'), await put('store/posts2/data/x.parquet'),
    await put('store/elsewhere/data/x.parquet'), await put('store/posts/metadata/00007-unreadable.metadata.json'), await put('state/classify/v/x')];
  await age(72);
  const young = await put('store/posts/data/young.parquet');
  await age(47, [young]);
  expect(await found()).toEqual(orphans.sort());
  expect(await keys()).toEqual([...before, ...orphans, young, ...kept.filter((key) => key.startsWith('store/posts/'))].sort());
  expect(await sweepNow()).toBe(3);
  for (const key of [...before, ...kept, young]) expect(await lake.context.store.size(key)).toBeGreaterThan(0);
  for (const key of orphans) expect(await lake.context.store.size(key)).toBeUndefined();
  expect(await lake.differences()).toEqual(whole);
  expect(await sweepNow()).toBe(0);
});

test('however short an age is given, nothing younger than twice the longest job goes', async () => {
  await lake.append(manyPosts(5));
  const key = await put('store/posts/data/x.parquet');
  await age(23);
  sweep = { ...sweep, minAgeMs: 0 };
  expect(await found()).toEqual([]);
  await age(25);
  expect(await found()).toEqual([key]);
});

test('files of every retained snapshot stay, those that only an expired one named went before', async () => {
  for (let index = 0; index < 20; index++) await lake.append(manyPosts(50, { from: index * 50 }));
  await keepTable(lake.options, 'posts');
  await age(500);
  expect(await found()).toEqual([]);
  lake.clock.nowMs += hourMs;
  for (let index = 0; index < 12; index++) await lake.append(manyPosts(1, { from: 5_000 + index }));
  lake.clock.nowMs += hourMs;
  expect((await keepTable(lake.options, 'posts')).deletedFiles).toBeGreaterThan(20);
  await age(500);
  expect(await found()).toEqual([]);
});

/** A metadata file as a commit leaves it whose answer was lost, over a base that may be the current one. */
async function leaveCommit(): Promise<{ location: string; key: string }> {
  const { catalog, store, random } = lake.context;
  const base = await lake.current();
  const current = await catalog.load(ref) ?? '';
  const location = nextMetadataPath(base, current, random);
  const key = location.slice(store.uri.length + 1);
  const [snapshot] = base.snapshots;
  if (snapshot === undefined) throw new Error('no snapshot');
  const added = { ...snapshot, 'snapshot-id': 77n, 'manifest-list': `${store.uri}/store/posts/metadata/snap-77.avro` };
  await store.put('store/posts/metadata/snap-77.avro', await store.get(snapshot['manifest-list'].slice(store.uri.length + 1)));
  await store.put(key, serialiseMetadata({ ...base, snapshots: [...base.snapshots, added],
    'metadata-log': [...base['metadata-log'], { 'timestamp-ms': base['last-updated-ms'], 'metadata-file': current }] }));
  return { location, key };
}

test('a commit of unknown outcome keeps its files until the pointer that it expects has moved on', async () => {
  await lake.append(manyPosts(50));
  await age(80);
  const { key } = await leaveCommit();
  await age(75, [key, 'store/posts/metadata/snap-77.avro']);
  expect(await found()).toEqual([]);
  await lake.append(manyPosts(50, { from: 100 }));
  expect(await found()).toEqual([key, 'store/posts/metadata/snap-77.avro'].sort());
  expect(await sweepNow()).toBe(2);
  expect(await lake.differences()).toEqual(whole);
});

test('a commit that comes true between looking and deleting keeps its files', async () => {
  await lake.append(manyPosts(50));
  const key = await put('store/posts/data/late.parquet');
  await age(80);
  const plan = await findOrphans(sweep, 'posts');
  expect(plan.orphans).toHaveLength(1);
  const [first] = (await lake.plan()).files;
  // As statistics, so that the rows to be expected stay as they are.
  await changeMetadata(lake.context, ref, (base) => ({ ...base, statistics: [{
    'snapshot-id': base.snapshots[0]?.['snapshot-id'] ?? 0n, 'statistics-path': `${lake.context.store.uri}/${key}`,
    'file-size-in-bytes': 11, 'file-footer-size-in-bytes': 1, 'blob-metadata': [],
  }] }));
  expect(await deleteOrphans(sweep, plan)).toBe(0);
  expect(await lake.context.store.size(key)).toBe(11);
  expect(first).toBeDefined();
});

test('a table that names what is not there is not swept, and says so', async () => {
  const path = await lake.append(manyPosts(50));
  await put('store/posts/data/x.parquet');
  await age(80);
  await lake.context.store.delete(path.slice(lake.context.store.uri.length + 1));
  await expect(findOrphans(sweep, 'posts')).rejects.toMatchObject({ code: 'corrupt', message: expect.stringContaining('nothing is swept') });
});

test('a second table registered over our files keeps them after ours let go', async () => {
  await lake.append(manyPosts(50));
  await lake.context.catalog.create({ namespace: storeNamespace, name: 'theirs' }, await lake.context.catalog.load(ref) ?? '', 'table');
  const [file] = (await lake.plan()).files;
  for (let index = 0; index < 16; index++) await lake.append(manyPosts(1, { from: 100 + index }));
  await keepTable({ ...lake.options, retentionMs: 1e15 }, 'posts');
  await changeMetadata(lake.context, ref, (base) => ({ ...base, snapshots: base.snapshots.slice(-1), 'snapshot-log': base['snapshot-log'].slice(-1) }));
  await age(80);
  const orphans = await found();
  expect(orphans.length).toBeGreaterThan(10);
  expect(orphans.map((key) => `${lake.context.store.uri}/${key}`)).not.toContain(file?.path);
});

test('killed in the middle it has deleted nothing that is needed, and the next sweep does the rest', async () => {
  for (let index = 0; index < 3; index++) await lake.append(manyPosts(50, { from: index * 50 }));
  for (let index = 0; index < 6; index++) await put(`store/posts/data/x${index}.parquet`);
  await age(80);
  let swept = 0;
  const killed: SweepOptions = { ...sweep, context: { ...lake.context, crashPoint: () => {
    if (++swept === 3) throw new WatershedError('internal', 'killed');
  } } };
  const error: unknown = await deleteOrphans(killed, await findOrphans(killed, 'posts')).catch((reason: unknown) => reason);
  expect(messageOf(error)).toBe('killed');
  expect(await found()).toHaveLength(3);
  expect(await lake.differences()).toEqual(whole);
  expect(await sweepNow()).toBe(3);
  expect(await lake.differences()).toEqual(whole);
  for (const manifest of await loadManifestList(lake.context.store, createTableCache(), (await lake.current()).snapshots.at(-1))) {
    expect((await loadManifest(lake.context.store, manifest)).length).toBeGreaterThan(0);
  }
});

test('files that expire while a sweep looks are no corruption', async () => {
  for (let index = 0; index < 20; index++) await lake.append(manyPosts(5, { from: index * 5 }));
  await keepTable(lake.options, 'posts');
  lake.clock.nowMs += hourMs;
  for (let index = 0; index < 12; index++) await lake.append(manyPosts(1, { from: 5_000 + index }));
  lake.clock.nowMs += hourMs;
  await age(80);
  let loads = 0;
  const catalog: Catalog = { ...lake.context.catalog, load: async (table) => {
    const location = await lake.context.catalog.load(table);
    // After the second load, which is that of the look itself, everything old expires.
    if (++loads === 2) await keepTable(lake.options, 'posts');
    return location;
  } };
  const plan = await findOrphans({ ...sweep, context: { ...lake.context, catalog } }, 'posts');
  expect(plan.orphans).toEqual([]);
  expect(loads).toBeGreaterThan(2);
});
