import { type TestPostgres, startPostgres } from '#test/services/postgres.ts';
import { type Database, openDatabase } from './database.ts';
import { migrate, readMigrations } from './migrate.ts';

let server: TestPostgres;
beforeAll(async () => {
  server = await startPostgres();
}, 30_000);
afterAll(() => server.stop());

async function freshDatabase(): Promise<Database> {
  return openDatabase(await server.createDatabase(), { max: 4 });
}

test('an empty database gets the whole schema, once, however many programs start at once', async () => {
  await using database = await freshDatabase();
  const results = await Promise.all([migrate(database), migrate(database), migrate(database)]);
  const all = (await readMigrations()).length;
  expect(results.map(({ applied }) => applied.length).toSorted((a, b) => a - b)).toEqual([0, 0, all]);
  const tables = await database.query<{ name: string }>(
    `select table_schema || '.' || table_name as name from information_schema.tables
      where table_schema in ('public', 'watershed')`,
  );
  expect(tables.map(({ name }) => name)).toEqual(
    expect.arrayContaining([
      'public.iceberg_tables',
      'public.iceberg_namespace_properties',
      'watershed.ledger',
      'watershed.log_batch',
      'watershed.token',
    ]),
  );
});

test('a database that a newer program made is refused and left as it is', async () => {
  await using database = await freshDatabase();
  const known = await readMigrations();
  const newer = [...known, { number: 9001, name: 'from-the-future', sql: 'create table watershed.future ()' }];
  await migrate(database, newer);
  const another = [...known, { number: 9000, name: 'not-yet-run', sql: 'create table watershed.present ()' }];
  await expect(migrate(database, another)).rejects.toMatchObject({
    code: 'foreign_lake',
    message: expect.stringContaining('9001-from-the-future'),
  });
  const [found] = await database.query<{ made: string | null }>(
    `select to_regclass('watershed.present')::text as made`,
  );
  expect(found?.made).toBeNull();
});

test('a migration that was changed after it ran is refused', async () => {
  await using database = await freshDatabase();
  const known = await readMigrations();
  await migrate(database, known);
  const changed = known.map((one) => (one.number === 2 ? { ...one, sql: `${one.sql}\n-- more` } : one));
  await expect(migrate(database, changed)).rejects.toMatchObject({
    code: 'foreign_lake',
    message: expect.stringContaining('0002-'),
  });
});

test('a migration that fails leaves nothing of itself nor of those before it', async () => {
  await using database = await freshDatabase();
  const first = {
    number: 1,
    name: 'good',
    sql: 'create schema watershed; create table watershed.migration (number int, name text, checksum text)',
  };
  const second = { number: 2, name: 'bad', sql: 'create table watershed.half (); select no_such_function()' };
  await expect(migrate(database, [first, second])).rejects.toMatchObject({
    code: 'internal',
    message: expect.stringContaining('0002-bad'),
  });
  const schemas = await database.query(`select 1 from pg_namespace where nspname = 'watershed'`);
  expect(schemas).toEqual([]);
});

test('a user without the rights is told which grant is missing', async () => {
  const url = await server.createDatabase();
  await using owner = openDatabase(url, { max: 1 });
  await owner.execute(`create role guest login password 'guest'`);
  const guest = new URL(url);
  guest.username = 'guest';
  guest.password = 'guest';
  await using database = openDatabase(guest.href, { max: 1 });
  await expect(migrate(database)).rejects.toMatchObject({
    code: 'bad_config',
    hint: expect.stringContaining('grant create on database'),
  });
  await owner.execute(`grant create on database "${guest.pathname.slice(1)}" to guest`);
  await expect(migrate(database)).rejects.toMatchObject({
    code: 'bad_config',
    hint: 'let its owner run: grant create on schema public to "guest"',
  });
  await owner.execute('grant create on schema public to guest');
  expect((await migrate(database)).applied).not.toEqual([]);
});

test('a database that is not encoded in UTF8 is refused', async () => {
  const url = await server.createDatabase();
  await using admin = openDatabase(url, { max: 1 });
  await admin.execute(`create database latin encoding 'LATIN1' locale 'C' template template0`);
  await using database = openDatabase(url.replace(/[^/]+$/, 'latin'), { max: 1 });
  await expect(migrate(database)).rejects.toMatchObject({
    code: 'bad_config',
    message: expect.stringContaining('LATIN1'),
  });
});

describe('the ledger', () => {
  const insert = (database: Database, from: number | null, to: number, partition = 0): Promise<number> =>
    database.execute(
      `insert into watershed.ledger (landing, log_identity, topic, partition, from_offset, to_offset)
       values ('posts', 'log-1', 'posts', $1, $2, $3)`,
      [partition, from, to],
    );
  let database: Database;
  beforeEach(async () => {
    database = await freshDatabase();
    await migrate(database);
    await insert(database, null, 0);
    await insert(database, 0, 10);
  });
  afterEach(() => database[Symbol.asyncDispose]());

  test('takes the next range, and the beginning of another partition', async () => {
    expect(await insert(database, 10, 25)).toBe(1);
    expect(await insert(database, null, 0, 1)).toBe(1);
  });
  test.each([
    ['a gap', 11, 20, '23503'],
    ['an overlap that begins in the middle', 5, 20, '23503'],
    ['the same range again', 0, 10, '23505'],
    ['a fork from the same beginning', 0, 12, '23505'],
    ['a second beginning', null, 3, '23505'],
    ['an empty range', 10, 10, '23514'],
    ['a range backwards', 10, 4, '23514'],
  ])('refuses %s', async (_what, from, to, sqlState) => {
    await expect(insert(database, from, to)).rejects.toMatchObject({ context: { sqlState } });
  });
});
