import { type TestPostgres, startPostgres } from '#test/services/postgres.ts';
import { isWatershedError } from '../errors.ts';
import { type Database, openDatabase, sqlStateOf } from './database.ts';
import { freePort } from './server.ts';

let server: TestPostgres;
let url: string;
let database: Database;
beforeAll(async () => {
  server = await startPostgres();
}, 30_000);
beforeEach(async () => {
  url = await server.createDatabase();
  database = openDatabase(url, { max: 4 });
  await database.execute('create table account (name text primary key, amount int8 not null check (amount >= 0))');
});
afterEach(() => database[Symbol.asyncDispose]());
afterAll(() => server.stop());

const amounts = async (): Promise<bigint[]> =>
  (await database.query<{ amount: bigint }>('select amount from account order by amount')).map(({ amount }) => amount);

test('values of 64 bits, bytes and instants come back as they went', async () => {
  const bytes = Uint8Array.of(0, 255, 10, 92);
  const at = new Date('2013-06-20T12:34:56.789Z');
  const [row] = await database.query<Record<string, unknown>>(
    `select $1::int8 as large, $2::bytea as bytes, $3::timestamptz as at, $4::jsonb as json,
            $5::text as none, $6::int4 as small, $7::bool as yes`,
    [9_223_372_036_854_775_807n, bytes, at, '{"a":[1]}', null, 7, true],
  );
  expect({ ...row, bytes: [...Buffer.from(row?.['bytes'] instanceof Uint8Array ? row['bytes'] : [])] }).toEqual({
    large: 9_223_372_036_854_775_807n,
    bytes: [0, 255, 10, 92],
    at,
    json: { a: [1] },
    none: null,
    small: 7,
    yes: true,
  });
});

test('execute says how many rows it changed', async () => {
  expect(await database.execute(`insert into account values ('a', 1), ('b', 2)`)).toBe(2);
  expect(await database.execute('update account set amount = amount + $1 where amount > $2', [5, 1])).toBe(1);
  expect(await database.execute('delete from account where false')).toBe(0);
});

describe('a transaction', () => {
  test('keeps all of its work, and gives back what the work gave', async () => {
    const result = await database.transaction(async (sql) => {
      await sql.execute(`insert into account values ('a', 1)`);
      await sql.execute(`insert into account values ('b', 2)`);
      return 'done';
    });
    expect(result).toBe('done');
    expect(await amounts()).toEqual([1n, 2n]);
  });

  test('keeps nothing where the work throws, and throws what it threw', async () => {
    const reason = new Error('changed my mind');
    await expect(
      database.transaction(async (sql) => {
        await sql.execute(`insert into account values ('a', 1)`);
        throw reason;
      }),
    ).rejects.toBe(reason);
    expect(await amounts()).toEqual([]);
  });

  test('does not count as kept where a failure in it was overlooked', async () => {
    await expect(
      database.transaction(async (sql) => {
        await sql.execute(`insert into account values ('a', 1)`);
        await sql.execute(`insert into account values ('a', 2)`).catch(() => undefined);
      }),
    ).rejects.toMatchObject({ code: 'internal' });
    expect(await amounts()).toEqual([]);
  });

  test('whose connection breaks before the commit was not kept, and can be tried again', async () => {
    await expect(
      database.transaction(async (sql) => {
        await sql.execute(`insert into account values ('a', 1)`);
        await sql.query('select pg_terminate_backend(pg_backend_pid())');
      }),
    ).rejects.toMatchObject({ code: 'unavailable', retryable: true });
    expect(await amounts()).toEqual([]);
  });

  test('whose connection breaks in the commit has an unknown outcome', async () => {
    await database.execute(`
      create function break_connection() returns trigger language plpgsql as
        'begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(10); return null; end';
      create constraint trigger broken after insert on account deferrable initially deferred
        for each row execute function break_connection()`);
    await expect(
      database.transaction((sql) => sql.execute(`insert into account values ('a', 1)`)),
    ).rejects.toMatchObject({ code: 'commit_unknown', retryable: false });
  });

  test('leaves its connection usable, however it ended', async () => {
    for (let round = 0; round < 20; round++) {
      await database
        .transaction(async () => {
          throw new Error('no');
        })
        .catch(() => undefined);
      await database
        .transaction(async (sql) => sql.query('select pg_terminate_backend(pg_backend_pid())'))
        .catch(() => undefined);
    }
    expect(await database.query('select 1 as one')).toEqual([{ one: 1 }]);
  });
});

describe('errors', () => {
  test('a violated constraint is named', async () => {
    await database.execute(`insert into account values ('a', 1)`);
    const twice = await database.execute(`insert into account values ('a', 1)`).catch((error: unknown) => error);
    expect(twice).toMatchObject({ code: 'already_exists', retryable: false, context: { constraint: 'account_pkey' } });
    const negative = await database.execute(`insert into account values ('b', -1)`).catch((error: unknown) => error);
    expect(negative).toMatchObject({ code: 'internal', context: { constraint: 'account_amount_check' } });
    expect([sqlStateOf(twice), sqlStateOf(negative), sqlStateOf(new Error('x'))]).toEqual([
      '23505',
      '23514',
      undefined,
    ]);
  });

  test('two that wait for each other: one of them is asked to try again', async () => {
    await database.execute(`insert into account values ('a', 1), ('b', 1)`);
    const ready = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    const crossing = (first: string, second: string, index: number): Promise<unknown> =>
      database.transaction(async (sql) => {
        await sql.execute('update account set amount = amount + 1 where name = $1', [first]);
        ready[index]?.resolve();
        await ready[1 - index]?.promise;
        await sql.execute('update account set amount = amount + 1 where name = $1', [second]);
      });
    const results = await Promise.allSettled([crossing('a', 'b', 0), crossing('b', 'a', 1)]);
    expect(results.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
    expect(results.find(({ status }) => status === 'rejected')).toMatchObject({
      reason: { code: 'conflict', retryable: true },
    });
    expect(await amounts()).toEqual([2n, 2n]);
  });

  test('a statement that was stopped is cancelled', async () => {
    await expect(database.execute(`set statement_timeout = '20ms'; select pg_sleep(10)`)).rejects.toMatchObject({
      code: 'cancelled',
    });
  });

  test.each([
    [
      'a wrong password',
      (address: URL) => {
        address.password = 'not-the-one';
      },
      'bad_config',
    ],
    [
      'a database that does not exist',
      (address: URL) => {
        address.pathname = '/absent';
      },
      'bad_config',
    ],
    [
      'a host that does not exist',
      (address: URL) => {
        address.hostname = 'no-such-host.invalid';
      },
      'unavailable',
    ],
  ])('%s is told apart, and the password is not told', async (_what, change, code) => {
    const address = new URL(url);
    address.password = 'a-secret-password';
    change(address);
    await using wrong = openDatabase(address.href, { max: 1 });
    const error = await wrong.query('select 1').catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code, hint: expect.stringContaining('DATABASE_URL') });
    expect(JSON.stringify([error, String(error)])).not.toContain(address.password);
  });

  test('a port where nobody listens is unavailable', async () => {
    await using wrong = openDatabase(`postgres://a:b@127.0.0.1:${await freePort()}/c`, { max: 1 });
    await expect(wrong.query('select 1')).rejects.toMatchObject({
      code: 'unavailable',
      context: { systemCode: 'ECONNREFUSED' },
    });
    await expect(wrong.transaction(async () => 1)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(wrong.listen('a', () => undefined)).rejects.toMatchObject({ code: 'unavailable' });
  });
});

describe('listen', () => {
  test('hears what is notified on its channel, until it is disposed', async () => {
    const heard: (string | undefined)[] = [];
    const first = Promise.withResolvers<void>();
    const listener = await database.listen('Tide "high"', (payload) => {
      heard.push(payload);
      first.resolve();
    });
    await database.execute(`notify elsewhere, 'x'; notify "Tide ""high""", 'up'`);
    await first.promise;
    await listener[Symbol.asyncDispose]();
    await database.execute(`notify "Tide ""high""", 'down'`);
    expect(heard).toEqual(['up']);
  });

  test('goes on after the server was restarted, and says that something may be missed', async () => {
    const heard: (string | undefined)[] = [];
    const again = Promise.withResolvers<void>();
    const later = Promise.withResolvers<void>();
    await using _listener = await database.listen('tide', (payload) => {
      heard.push(payload);
      if (payload === undefined) again.resolve();
      if (payload === 'after') later.resolve();
    });
    await server.kill();
    await expect(database.query('select 1')).rejects.toMatchObject({ code: 'unavailable' });
    await server.restart();
    await again.promise;
    await database.execute(`notify tide, 'after'`);
    await later.promise;
    expect(heard).toEqual([undefined, 'after']);
  }, 20_000);

  test('the end of the database ends its listeners', async () => {
    const other = openDatabase(url, { max: 1 });
    await other.listen('tide', () => undefined);
    await other[Symbol.asyncDispose]();
    const open = await database.query(
      `select from pg_stat_activity
        where datname = current_database() and pid <> pg_backend_pid() and query like 'listen%'`,
    );
    expect(open.length).toBeLessThanOrEqual(1);
    const error = await other.query('select 1').catch((reason: unknown) => reason);
    expect(isWatershedError(error, 'unavailable')).toBe(true);
  });
});
