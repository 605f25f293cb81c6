// Issue 15, Upgrade: what the version before wrote is read, what a version after adds is borne, and what this program
// cannot understand is refused and left as it is. Files of released versions stand in test/vectors/versions.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { decodeEnvelope } from '#core/contract/envelope.ts';
import { openDatabase } from '#core/database/database.ts';
import { migrate, readMigrations } from '#core/database/migrate.ts';
import { openFoundation, openQueue } from '#core/main.ts';
import { openFileStore } from '#core/store/file.ts';
import { decodeModel, encodeModel } from '#transform/classifiers/model-file.ts';
import { openTransform } from '#transform/main.ts';
import { restore } from '#warehouse/backup/restore.ts';
import { openWarehouse } from '#warehouse/main.ts';
import { parseMetadata, serialiseMetadata, type TableMetadata } from '#warehouse/table/metadata.ts';
import { createTableCache, loadMetadata, storeKey } from '#warehouse/table/files.ts';
import { openLake, type BackupLake } from '#test/backup-lake.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';

const versions = join(import.meta.dirname, '..', 'vectors', 'versions');
const before = join(versions, '0.1.0');

let postgres: TestPostgres;
let folder: string;

beforeAll(async () => {
  [postgres, folder] = await Promise.all([startPostgres(), temporaryFolder('versions')]);
}, 60_000);

afterAll(async () => {
  await postgres.stop();
  await removeFolder(folder);
});

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');

/** The lake that version 0.1.0 made, opened by this program. */
async function lakeOfBefore(name: string): Promise<BackupLake> {
  const url = await postgres.createDatabase();
  const place = join(folder, name);
  {
    await using database = openDatabase(url, { max: 4 });
    await restore(join(before, 'lake.tar.zst'), { database, store: await openFileStore(join(place, 'lake')), staging: join(place, 'staging') });
  }
  return openLake(url, { WAREHOUSE_URI: `file://${join(place, 'lake')}` });
}

/** Writes another metadata file for a table and points the catalog at it, as a newer program would. */
async function change(lake: BackupLake, table: string, how: (metadata: Record<string, unknown>) => unknown): Promise<void> {
  const { database, store } = lake.foundation;
  const [row] = await database.query<{ at: string }>('select metadata_location as at from public.iceberg_tables where table_name = $1', [table]);
  const at = row?.at ?? '';
  const next = at.replace('.metadata.json', '-after.metadata.json');
  const plain = Buffer.from(serialiseMetadata(parseMetadata(await store.get(storeKey(store, at)), at))).toString();
  await store.put(storeKey(store, next), Buffer.from(JSON.stringify(how(JSON.parse(plain)))));
  await database.execute('update public.iceberg_tables set metadata_location = $2 where table_name = $1', [table, next]);
}

/** Everything that a program could have touched: rows of the database, and names and bytes of the store. */
async function state({ foundation: { database, store } }: BackupLake): Promise<string> {
  const tables = await database.query<{ name: string }>(
    `select table_schema || '.' || table_name as name from information_schema.tables where table_schema in ('public', 'watershed') order by 1`);
  const rows: string[] = [];
  for (const { name } of tables) {
    rows.push(name, ...(await database.query<{ line: string }>(`select t::text as line from ${name} t order by 1`)).map(({ line }) => line));
  }
  for await (const { key } of store.list('')) rows.push(`${key} ${sha256(Buffer.from(await store.get(key)).toString('base64'))}`);
  return rows.join('\n');
}

async function openAs(lake: BackupLake): Promise<void> {
  await using foundation = await openFoundation(lake.foundation.config);
  await openWarehouse(foundation);
}

test('a migration never changes after its release: those of 0.1.0 are as they were, and first', async () => {
  const released: { number: number; name: string; sha256: string }[] = JSON.parse(await readFile(join(before, 'migrations.json'), 'utf8'));
  const now = (await readMigrations()).map(({ number, name, sql }) => ({ number, name, sha256: sha256(sql.replaceAll('\r\n', '\n')) }));
  expect(now.filter(({ number }) => released.some((one) => one.number === number))).toEqual(released);
});

test('schema: the database of the version before is migrated with all its rows', async () => {
  const known = await readMigrations();
  await using database = openDatabase(await postgres.createDatabase(), { max: 2 });
  await migrate(database, known.slice(0, -1));
  await database.execute(`insert into watershed.event (id, name, state, version, created_by, updated_by) values ('flood', 'Flood', '{"a": 1}', 1, 'me', 'me')`);
  const rows = (): Promise<unknown[]> => database.query(`select id, name, state, version from watershed.event`);
  const then = await rows();
  expect((await migrate(database, known)).applied).toHaveLength(1);
  expect(await rows()).toEqual(then);
});

test('tables, log and database of 0.1.0 are read, and written on', async () => {
  await using lake = await lakeOfBefore('read');
  const ids = async (): Promise<string[]> => (await lake.rows('posts')).map((line) => /post (\d+) /.exec(line)?.[1] ?? '').toSorted();
  // What test/backup-lake.ts appended: numbers 0 to 79 were landed, 80 to 119 waited in the log; every seventh is no post.
  const kept = (from: number, to: number): string[] =>
    Array.from({ length: to - from }, (_, index) => from + index).filter((number) => number % 7 !== 3).map(String).toSorted();
  expect(await ids()).toEqual(kept(0, 80));
  await lake.append(120, 10);
  await lake.land();
  expect(await ids()).toEqual(kept(0, 140));
}, 120_000);

test('tables: a column that a version after added is borne, and stands after our own commits', async () => {
  await using lake = await lakeOfBefore('columns');
  await change(lake, 'posts', (metadata) => {
    const schemas = metadata['schemas'] as { 'schema-id': number; fields: unknown[] }[];
    const newest = schemas.at(-1);
    return { ...metadata, 'last-column-id': 9000, 'current-schema-id': 77,
      schemas: [...schemas, { ...newest, 'schema-id': 77, fields: [...newest?.fields ?? [], { id: 9000, name: 'mood', required: false, type: 'string' }] }] };
  });
  await openAs(lake);
  await lake.land();
  const [row] = await lake.foundation.database.query<{ at: string }>(`select metadata_location as at from public.iceberg_tables where table_name = 'posts'`);
  const metadata: TableMetadata = await loadMetadata(lake.foundation.store, createTableCache(), row?.at ?? '');
  expect(metadata['current-schema-id']).toBe(77);
  expect(metadata.schemas.at(-1)?.fields.at(-1)).toMatchObject({ id: 9000, name: 'mood' });
  expect(await lake.rows('posts')).toHaveLength(103);
}, 120_000);

test.each([
  ['of another format version', 'unsupported', (metadata: Record<string, unknown>) => ({ ...metadata, 'format-version': 3 })],
  ['whose column has another type', 'unsupported', (metadata: Record<string, unknown>) => ({ ...metadata,
    schemas: (metadata['schemas'] as { fields: { name: string }[] }[]).map((schema) =>
      ({ ...schema, fields: schema.fields.map((field) => field.name === 'author_followers' ? { ...field, type: 'double' } : field) })) })],
])('tables: one %s is refused, and nothing is touched', async (_what, code, how) => {
  await using lake = await lakeOfBefore(`refused-${_what.length}`);
  await change(lake, 'posts', how);
  const then = await state(lake);
  await expect(openAs(lake)).rejects.toMatchObject({ code, hint: expect.any(String) });
  expect(await state(lake)).toBe(then);
}, 120_000);

test('schema: a database that a newer program migrated is refused by the start, and nothing is touched', async () => {
  await using lake = await lakeOfBefore('newer');
  await lake.foundation.database.execute(`insert into watershed.migration (number, name, checksum) values (9001, 'from-the-future', 'x')`);
  const then = await state(lake);
  await expect(openAs(lake)).rejects.toMatchObject({ code: 'foreign_lake', message: expect.stringContaining('9001-from-the-future') });
  expect(await state(lake)).toBe(then);
}, 60_000);

test('log: envelopes of 0.1.0 and those with more members land; one of a version after is kept whole, with why, and counted', async () => {
  await using lake = await lakeOfBefore('envelopes');
  await lake.land();
  const known = (await readFile(join(before, 'envelopes.ndjson'), 'utf8')).trim().split('\n');
  expect(known.map((line) => decodeEnvelope(Buffer.from(line)).header.format).toSorted()).toEqual(['bluesky', 'crisislex', 'x.v1', 'x.v2']);
  const more = known.map((line) => line.replace('"account":', '"trace":{"id":"9"},"account":').replace('18000000000000000', '18000000000000001').replace('3483514', '3483515'));
  const after = known[1]?.replace('{"v":1,', '{"v":2,') ?? '';
  const [postsBefore, deadBefore] = [(await lake.rows('posts')).length, (await lake.rows('quarantine')).length];
  await lake.foundation.log.append('posts', 0, [...known, ...more.slice(1), after].map((line) => Buffer.from(line)));
  await lake.land();
  expect((await lake.rows('posts')).length - postsBefore).toBe(known.length + more.length - 1);
  const dead = await lake.rows('quarantine');
  expect(dead.length - deadBefore).toBe(1);
  const told = dead.filter((row) => row.includes('a newer Watershed wrote it: an envelope of version 2'));
  // Where `watershed quarantine replay` finds it, byte by byte, for the program that can read it.
  expect(told.filter((row) => row.replaceAll(/\\+x22/g, '"').includes(after))).toHaveLength(1);
}, 120_000);

test('jobs: payloads of 0.1.0 are taken, and one with what a version after adds is done by what is known of it', async () => {
  await using lake = await lakeOfBefore('jobs');
  await lake.land();
  const { foundation } = lake;
  await using queue = await openQueue(foundation);
  const warehouse = await openWarehouse(foundation);
  await using transform = await openTransform(foundation, warehouse, queue);
  const kept: { job: string; payload: unknown }[] = JSON.parse(await readFile(join(before, 'jobs.json'), 'utf8'));
  for (const { job, payload } of kept) await transform.runner.request(job, payload);
  await queue.enqueue('classify', { id: 'of-the-version-after', payload: { hurry: true }, attempts: 1 });
  const stop = new AbortController();
  const running = transform.service.run(stop.signal);
  const asked = async (): Promise<{ name: string; completed: number; failed: number }[]> => (await transform.runner.status())
    .filter(({ name }) => kept.some(({ job }) => job === name)).map(({ name, completed, failed }) => ({ name, completed, failed }));
  while ((await asked()).some(({ name, completed, failed }) => completed + failed < (name === 'classify' ? 2 : 1))) await systemClock.sleep(50);
  stop.abort();
  await running;
  expect((await asked()).map(({ name, failed }) => [name, failed])).toEqual(kept.map(({ job }) => [job, 0]));
}, 120_000);

test('models: a file of 0.1.0 is read, one with more sections too, one of a format after is refused with a sentence', async () => {
  const file = await readFile(join(before, 'model.bin'));
  const model = decodeModel(file, 'example', 'model.bin');
  expect([model.text('labels'), [...model.f32('weights')], [...model.i32('index')], model.meta['note']]).toEqual(['a\nb', [0.5, -2], [7], 'kept']);
  const wider = encodeModel({ kind: 'example', note: 'kept', mood: 1 }, [
    { name: 'labels', data: 'a\nb' }, { name: 'moods', data: 'calm' }, { name: 'weights', data: new Float32Array([0.5, -2]) },
  ]);
  expect([...decodeModel(wider, 'example', 'wider.bin').f32('weights')]).toEqual([0.5, -2]);
  const after = Buffer.from(file);
  after.writeUInt32LE(2, 8);
  expect(() => decodeModel(after, 'example', 'after.bin')).toThrow('after.bin is a model of format 2; this program reads format 1');
});
