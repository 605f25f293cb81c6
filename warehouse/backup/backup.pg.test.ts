import { createHash } from 'node:crypto';
import { copyFile, mkdtemp, open, readFile, readdir, rm, stat, truncate } from 'node:fs/promises';
import { execFile } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock, systemRandom } from '#core/clock.ts';
import { catalogName } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { openFileStore } from '#core/store/file.ts';
import type { Store } from '#core/store/store.ts';
import { openLake, type BackupLake } from '#test/backup-lake.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { openPostgresCatalog } from '../catalog/postgres.ts';
import { openDuck } from '../duck.ts';
import { createTableCache } from '../table/files.ts';
import { upkeepLimits } from '../upkeep/plan.ts';
import { keepTable } from '../upkeep/upkeep.ts';
import { backUp } from './backup.ts';
import { heldSnapshots } from './hold.ts';
import { restore } from './restore.ts';

let postgres: TestPostgres;
let lake: BackupLake;
let work: string;
let file: string;

beforeAll(async () => {
  postgres = await startPostgres();
  work = await mkdtemp(join(tmpdir(), 'watershed-backups-'));
  file = join(work, 'lake.tar.zst');
  lake = await openLake(await postgres.createDatabase());
  for (const from of [0, 200, 400]) {
    await lake.append(from, 100);
    await lake.land();
  }
  await lake.append(600, 100); // acknowledged, and in no table yet
  await lake.foundation.database.execute(
    `insert into watershed.event (id, name, state, version, created_by, updated_by) values ('flood', E'Flood, "big"\\n\\\\(x)', '{"a": 1.50}', 1, 'me', 'me')`);
  await backUp(file, { database: lake.foundation.database, store: lake.foundation.store, clock: systemClock });
}, 120_000);

afterAll(async () => {
  await lake[Symbol.asyncDispose]();
  await postgres.stop();
  await rm(work, { recursive: true, force: true });
});

const hash = (lines: readonly string[]): string => createHash('sha256').update(lines.join('\n')).digest('hex');

async function freshPlace(): Promise<{ url: string; folder: string }> {
  return { url: await postgres.createDatabase(), folder: await mkdtemp(join(work, 'place-')) };
}

async function restoreTo({ url, folder }: { url: string; folder: string }, from = file): Promise<void> {
  await using database = openDatabase(url, { max: 4 });
  const store = await openFileStore(join(folder, 'lake'));
  await restore(from, { database, store, staging: join(folder, 'staging') });
}

async function rowsIn(url: string, table: string): Promise<string[]> {
  await using database = openDatabase(url, { max: 1 });
  return (await database.query<{ line: string }>(`select t::text as line from ${table} t order by 1`)).map(({ line }) => line);
}

test('what was restored in another folder is the same, row by row, and the writer goes on where the backup was taken', async () => {
  const place = await freshPlace();
  await restoreTo(place);
  await using copy = await openLake(place.url, { WAREHOUSE_URI: `file://${join(place.folder, 'lake')}` });
  for (const table of ['posts', 'raw', 'quarantine', 'events', 'journal']) {
    expect([table, hash(await copy.rows(table))]).toEqual([table, hash(await lake.rows(table))]);
  }
  expect((await copy.rows('posts')).length).toBeGreaterThan(400);
  const same = ['watershed.ledger', 'watershed.event', 'watershed.log_batch', 'watershed.log_partition', 'watershed.log_topic'];
  for (const table of same) {
    expect([table, await rowsIn(place.url, table)]).toEqual([table, await rowsIn(lake.foundation.databaseUrl, table)]);
  }
  // Both now land the records that were waiting, and more that come: once each.
  for (const each of [lake, copy]) {
    await each.append(800, 50);
    await each.land();
  }
  expect(await copy.rows('posts')).toHaveLength((await lake.rows('posts')).length);
  const ids = (await copy.rows('posts')).map((line) => /post (\d+) /.exec(line)?.[1]);
  const expected = Array.from({ length: 900 }, (_, number) => number).filter((number) => number % 7 !== 3).map(String);
  expect(ids.toSorted()).toEqual(expected.toSorted());
}, 120_000);

test('what nobody names may go while the backup runs, and older snapshots are not in it', async () => {
  const { store } = lake.foundation;
  const vanishing: Store = { ...store, list: async function* list(prefix) {
    yield* store.list(prefix);
    yield { key: 'state/of-a-job', bytes: 7, modifiedAtMs: 0 };
  } };
  const path = join(work, 'vanishing.tar.zst');
  const about = await backUp(path, { database: lake.foundation.database, store: vanishing, clock: systemClock });
  expect(about.objects.map(({ key }) => key)).not.toContain('state/of-a-job');
  // Three commits and more were made; of each table the newest is there.
  const lists = about.objects.filter(({ kind }) => kind === 'list').map(({ key }) => key.split('/')[1]);
  expect(lists).toContain('posts');
  expect(new Set(lists).size).toBe(lists.length);
}, 60_000);

test('a backup that takes longer than what was replaced is kept holds what it reads, while all else goes on', async () => {
  const { database, store } = lake.foundation;
  const catalog = openPostgresCatalog(database, { catalogName });
  await using duck = await openDuck({ staging: join(lake.folder, 'upkeep'), memoryBytes: 2 ** 28, threads: 1 });
  const before = { posts: hash(await lake.rows('posts')), batches: hash(await rowsIn(lake.foundation.databaseUrl, 'watershed.log_batch')) };
  const path = join(work, 'long.tar.zst');
  const folder = join(work, 'long');
  const gone: number[] = [];
  const attempts: string[] = [];
  /** An hour in the life of the lake: everything is merged, and what it replaced has long expired. */
  const anHour = async (at: number): Promise<void> => {
    await lake.append(at, 20);
    await lake.land();
    let nowMs = Date.now() + 3_600_000;
    const clock = { ...systemClock, now: () => nowMs };
    const context = { catalog, store, clock, random: systemRandom, cache: createTableCache() };
    for (let run = 0; run < 12; run++) { // the ten newest snapshots stay in any case
      await lake.append(at + 40 + run, 1);
      await lake.land();
      nowMs += 3_600_000;
      const done = await keepTable({ context, duck, retentionMs: 300_000, held: () => heldSnapshots(database),
        limits: { ...upkeepLimits, mergeFilesMin: 2 }, signal: new AbortController().signal }, 'posts');
      gone.push(done.deletedFiles);
    }
  };
  const slow: Store = { ...store, size: async (key) => {
    if (key.endsWith('.parquet') && attempts.length === 0) {
      attempts.push(key);
      await anHour(5000);
    }
    return store.size(key);
  } };
  await backUp(path, { database, store: slow, clock: systemClock });
  expect(gone.reduce((sum, files) => sum + files, 0)).toBeGreaterThan(0);
  expect(await heldSnapshots(database)).toEqual(new Set());
  const url = await postgres.createDatabase();
  await restoreTo({ url, folder }, path);
  await using copy = await openLake(url, { WAREHOUSE_URI: `file://${join(folder, 'lake')}` });
  expect({ posts: hash(await copy.rows('posts')), batches: hash(await rowsIn(url, 'watershed.log_batch')) }).toEqual(before);
}, 120_000);

test('no file of the restored lake names the place it came from', async () => {
  const place = await freshPlace();
  await restoreTo(place);
  const names = (await readdir(join(place.folder, 'lake'), { recursive: true })).filter((name) => name.endsWith('.metadata.json'));
  expect(names.length).toBeGreaterThan(4);
  for (const name of names) expect(await readFile(join(place.folder, 'lake', name), 'utf8')).not.toContain(lake.folder);
  expect(await readdir(place.folder)).toEqual(['lake']);
}, 60_000);

test('the backup is a tar that tar reads, and only its owner may', async () => {
  const { stdout } = await promisify(execFile)('sh', ['-c', 'zstd -dc "$1" 2>/dev/null | tar -tf - || tar --zstd -tf "$1"', 'sh', file]);
  const names = stdout.trim().split('\n');
  expect(names.at(-1)).toBe('index.json');
  expect(names.some((name) => name.startsWith('objects/'))).toBe(true);
  expect((await stat(file)).mode & 0o777).toBe(0o600);
}, 30_000);

test.each([0.01, 0.3, 0.7, 0.95, 0.9999])('a backup cut short at %f of its length is refused before anything is written', async (part) => {
  const place = await freshPlace();
  const cut = join(place.folder, 'cut');
  await copyFile(file, cut);
  await truncate(cut, Math.floor((await stat(file)).size * part));
  await expect(restoreTo(place, cut)).rejects.toMatchObject({ code: 'corrupt', message: expect.stringContaining('cut short') });
  expect(await rowsIn(place.url, '(select nspname from pg_namespace)')).not.toContain('(watershed)');
  expect((await readdir(join(place.folder, 'lake'))).filter((name) => name !== '.drafts')).toEqual([]);
}, 60_000);

test('a backup in which a byte was changed is refused', async () => {
  const place = await freshPlace();
  const changed = join(place.folder, 'changed');
  await copyFile(file, changed);
  await using handle = await open(changed, 'r+');
  const at = Math.floor((await stat(file)).size / 2);
  const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, at);
  await handle.write(Buffer.from([(buffer[0] ?? 0) ^ 0x10]), 0, 1, at);
  await expect(restoreTo(place, changed)).rejects.toMatchObject({ code: 'corrupt' });
}, 60_000);

test('a place that is not empty is refused, the database as well as the store', async () => {
  const place = await freshPlace();
  const other = await freshPlace();
  await restoreTo(place);
  await expect(restoreTo({ url: place.url, folder: other.folder })).rejects.toMatchObject({ code: 'already_exists', message: expect.stringContaining('database') });
  await expect(restoreTo({ url: other.url, folder: place.folder })).rejects.toMatchObject({ code: 'already_exists', message: expect.stringContaining('holds') });
}, 60_000);

test('a database without a lake, and a file that is no backup, are refused with a sentence', async () => {
  const place = await freshPlace();
  await using database = openDatabase(place.url, { max: 2 });
  const store = await openFileStore(join(place.folder, 'lake'));
  await expect(backUp(join(work, 'none'), { database, store, clock: systemClock })).rejects.toMatchObject({ code: 'not_found' });
  await expect(restoreTo(place, join(work, 'nowhere'))).rejects.toMatchObject({ code: 'not_found' });
  await expect(restoreTo(place, import.meta.filename)).rejects.toMatchObject({ code: 'corrupt' });
}, 30_000);
