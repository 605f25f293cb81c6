import pg from 'pg';
import postgres from 'postgres';
import { type Door, startDoor } from './door.ts';

let door: Door;
beforeAll(async () => { door = await startDoor({ catalogue: true }); }, 120_000);
afterAll(() => door[Symbol.asyncDispose]());

test('node-postgres: rows, parameters, named statements, several statements, errors and recovery', async () => {
  const client = new pg.Client(door.url);
  await client.connect();
  expect((await client.query('select log_offset, created_at, hashtags, latitude from posts where log_offset = $1', [1])).rows)
    .toEqual([{ log_offset: '1', created_at: new Date('2013-06-20T00:00:01Z'), hashtags: ['flood', 'a "b", c'], latitude: 0.125 }]);
  const found = await client.query<{ n: number }>('select count(*)::int as n from posts where created_at > $1 and text like $2 and reposts = any($3) and author_verified = $4',
    [new Date('2013-06-20T00:10:00Z'), 'post%', [1, 2], true]);
  // Of the offsets above 600 the even ones that leave 1 or 2 by seven.
  expect(found.rows[0]?.n).toBe(Array.from({ length: 5000 }, (_, index) => index).filter((index) => index > 600 && index % 2 === 0 && [1, 2].includes(index % 7)).length);
  for (const value of [5, 6]) {
    expect((await client.query({ name: 'named', text: 'select $1::int * 2 as twice', values: [value] })).rows).toEqual([{ twice: value * 2 }]);
  }
  const several: unknown = await client.query('select 1 as a; select 2 as b');
  expect(several).toMatchObject([{ rows: [{ a: 1 }] }, { rows: [{ b: 2 }] }]);
  await expect(client.query('select nope from posts')).rejects.toMatchObject({ code: '42703', position: '8', severity: 'ERROR' });
  await expect(client.query('select $1::int + nope', [1])).rejects.toMatchObject({ code: '42703', position: '18' });
  await expect(client.query('select * from nowhere')).rejects.toMatchObject({ code: '42P01' });
  await expect(client.query(`select $1::int`, ['x'])).rejects.toMatchObject({ code: '22P02' });
  expect((await client.query('select $1 as echo, $2::jsonb as doc, $3::bytea as bytes', ['é', '{"a":[1]}', Buffer.from([0, 255])])).rows)
    .toEqual([{ echo: 'é', doc: { a: [1] }, bytes: Buffer.from([0, 255]) }]);
  await client.query('begin');
  await expect(client.query('selec')).rejects.toMatchObject({ code: '42601' });
  await expect(client.query('select 1')).rejects.toMatchObject({ code: '25P02' });
  await client.query('rollback');
  expect((await client.query('select relname from pg_class where relname = $1 and relnamespace = $2::regnamespace', ['posts', 'lake'])).rows).toEqual([{ relname: 'posts' }]);
  await client.end();
});

test('postgres.js: its own parameters, cursors and errors', async () => {
  const sql = postgres(door.url, { max: 2, onnotice: () => undefined });
  expect(await sql`select log_offset, text from posts where log_offset = ${7} and created_at > ${new Date('2013-06-20T00:00:00Z')}`)
    .toMatchObject([{ log_offset: '7', text: 'post 7 “é😀”' }]);
  expect(await sql`select count(*)::int as n from posts where log_offset in ${sql([1, 2, 3])}`).toMatchObject([{ n: 3 }]);
  let rows = 0;
  await sql`select * from posts`.cursor(700, (part) => { rows += part.length; });
  expect(rows).toBe(5000);
  await expect(sql`select nope from posts`).rejects.toMatchObject({ code: '42703' });
  expect(await sql.begin('read only', (inner) => inner`select 1 as one`)).toMatchObject([{ one: 1 }]);
  expect((await sql`select table_name from information_schema.tables where table_schema = ${'lake'} order by 1`).map((row) => String(row['table_name']))).toContain('posts');
  await sql.end();
});

describe('the catalogue', () => {
  const ask = async (text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> => {
    const client = new pg.Client(door.url);
    await client.connect();
    try {
      return (await client.query<Record<string, unknown>>(text, values)).rows;
    } finally {
      await client.end();
    }
  };

  test('types and comments of the lake are what PostgreSQL says of it', async () => {
    const columns = await ask(`select column_name, data_type from information_schema.columns where table_schema = 'lake' and table_name = 'posts'
      and column_name in ('created_at', 'hashtags', 'reposts', 'latitude', 'author_verified', 'text') order by column_name`);
    expect(columns.map((column) => column['data_type'])).toEqual(['boolean', 'timestamp with time zone', 'ARRAY', 'double precision', 'bigint', 'text']);
    expect(await ask(`select obj_description('lake.events'::regclass) is not null as told, has_table_privilege('lake.posts', 'select') as readable`))
      .toEqual([{ told: true, readable: true }]);
    expect(await ask('select current_database() as d, current_schema() as s')).toEqual([{ d: 'lake', s: 'lake' }]);
  });

  test('it never answers for the lake with silent emptiness', async () => {
    await expect(ask('select count(*) from pg_class, lake.posts')).rejects.toMatchObject({ code: '42501' });
    await expect(ask('select (select count(*) from posts) from pg_class')).rejects.toMatchObject({ code: '42501' });
    await expect(ask('with recursive a as (table lake.events) select * from a, pg_type')).rejects.toMatchObject({ code: '42501' });
  });

  test.each([
    'select pg_sleep(10), 1', 'select pg_catalog.pg_sleep(10) from pg_class', 'select "pg_sleep"(10) from pg_class', `select pg_notify('a', 'b'), oid from pg_class`, `select pg_advisory_lock(1)`,
    `select pg_terminate_backend(pid) from pg_stat_activity`, `select set_config('role', 'watershed', false), oid from pg_class`, `select lo_import('/etc/passwd') from pg_class`,
    `select pg_read_file('/etc/passwd')`, `select * from pg_ls_dir('/')`, `select query_to_xml('select 1', true, true, '') from pg_class`, `select repeat('x', 1000000000) from pg_class`,
    `select U&"pg\\005fsleep"(10) from pg_class`, `select oid into temp x from pg_class`, `with a as (delete from pg_class returning 1) select * from a`,
    `explain analyze delete from pg_class`, `select nextval('x') from pg_class`, `select pg_logical_emit_message(true, 'a', 'b')`, `select txid_current(), pg_stat_reset()`,
    `select * from pg_authid`, `select rolpassword from pg_catalog.pg_authid`, `update pg_class set relname = 'x'`, `do $$ begin perform pg_sleep(1); end $$`, `select dblink('x')::regclass`,
  ])('%s is refused', async (sql) => {
    await expect(ask(sql)).rejects.toMatchObject({ code: expect.stringMatching(/^(42501|25006|42883|0A000|42601)$/) as unknown });
  });

  test('a question that takes too long is stopped, and hinders no other', async () => {
    const slow = ask('select count(*) from pg_attribute a, pg_attribute b, pg_attribute c');
    const [one] = await ask('select 1 as one from pg_class limit 1');
    expect(one).toEqual({ one: 1 });
    await expect(slow).rejects.toMatchObject({ code: '57014' });
  }, 120_000);

  test('many at once take turns', async () => {
    const answers = await Promise.all(Array.from({ length: 40 }, () => ask(`select count(*)::int as n from pg_namespace where nspname = 'lake'`)));
    expect(answers.every(([row]) => row?.['n'] === 1)).toBe(true);
  });

  test('after a restart of the PostgreSQL beside us it answers again', async () => {
    await door.postgres?.restart();
    expect(await ask(`select nspname from pg_namespace where nspname = 'lake'`)).toEqual([{ nspname: 'lake' }]);
  }, 120_000);

  test('without it the lake still answers', async () => {
    await door.postgres?.kill();
    await expect(ask('select 1 from pg_class')).rejects.toMatchObject({ code: '57P03' });
    expect(await ask('select count(*)::int as n from posts')).toEqual([{ n: 5000 }]);
    await door.postgres?.restart();
  }, 120_000);
});
