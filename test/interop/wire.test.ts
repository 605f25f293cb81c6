import { readdir } from 'node:fs/promises';
import { connect as connectTls } from 'node:tls';
import pg from 'pg';
import { selfSigned } from '#sql/pgwire/certificate.ts';
import { identityOf } from '#sql/pgwire/tls.ts';
import { type Door, startDoor, token } from './door.ts';
import { fieldsOf, frontend, RawClient, shown } from './raw-client.ts';

const identity = identityOf(selfSigned(['localhost'], Date.now() - 60_000, 1));
let door: Door;
const clients: RawClient[] = [];

beforeAll(async () => { door = await startDoor({ tls: { isRequired: false, current: () => identity } }); });
afterAll(() => door[Symbol.asyncDispose]());
afterEach(() => { for (const client of clients.splice(0)) client.close(); });

const client = (): RawClient => {
  const made = new RawClient(door.port);
  clients.push(made);
  return made;
};
async function loggedIn(version?: number, more?: Record<string, string>): Promise<RawClient> {
  const made = client();
  await made.logIn('analyst', token, version, more);
  return made;
}
async function ask(on: RawClient, ...messages: Buffer[]): Promise<string[]> {
  on.send(...messages);
  return shown(await on.through('Z'));
}

describe('opening', () => {
  test('encryption is answered, GSS is refused, then plain text goes on', async () => {
    const raw = client();
    raw.send(frontend.request(80877104));
    expect(await raw.plain(1)).toBe('N');
    expect(shown(await raw.logIn('analyst', token)).at(-1)).toBe('Z I');
    expect(Object.fromEntries(raw.parameters)).toMatchObject({ client_encoding: 'UTF8', TimeZone: 'UTC', DateStyle: 'ISO, MDY', integer_datetimes: 'on' });
  });

  test('TLS: a driver connects through it', async () => {
    const inTls = new pg.Client({ connectionString: door.url, ssl: { rejectUnauthorized: false } });
    await inTls.connect();
    expect((await inTls.query('select count(*)::int as n from posts')).rows).toEqual([{ n: 5000 }]);
    await inTls.end();
  });

  test('bytes sent in clear before the handshake are not taken for ones that came through it', async () => {
    const raw = client();
    raw.send(frontend.request(80877103), frontend.query('select 1'));
    expect(fieldsOf(await raw.next())['C']).toBe('08P01');
    await raw.closed();
  });

  test('a TLS client that goes away in the handshake leaves nothing', async () => {
    const raw = client();
    raw.send(frontend.request(80877103));
    expect(await raw.plain(1)).toBe('S');
    raw.close();
    const secure = connectTls({ port: door.port, host: '127.0.0.1' });
    await new Promise((resolve) => secure.once('error', resolve));
    expect(await ask(await loggedIn(), frontend.query('select 1'))).toEqual(['T', 'D 1', 'C SELECT 1', 'Z I']);
  });

  test.each([[196608, undefined, 4], [196610, undefined, 32], [196609, 196608, 4], [196619, 196610, 32]])(
    'protocol %i is answered with %s and a key of %i bytes', async (asked, negotiated, keyLength) => {
      const raw = client();
      const messages = await raw.logIn('analyst', token, asked);
      expect(messages.find(({ tag }) => tag === 'v')?.body.readInt32BE()).toBe(negotiated);
      expect(raw.key).toHaveLength(keyLength);
    });

  test('an unknown protocol option is named', async () => {
    const raw = client();
    const messages = await raw.logIn('analyst', token, 196610, { '_pq_.wonder': 'on' });
    expect(messages.find(({ tag }) => tag === 'v')?.body.toString('latin1', 8)).toBe('_pq_.wonder\0');
    expect(shown(messages).at(-1)).toBe('Z I');
  });

  test.each<[string, string, string, Record<string, string>]>([
    ['a wrong password', 'analyst', '28P01', {}], ['an unknown user', 'nobody', '28P01', {}], ['no user', '', '28000', {}],
  ])('%s is refused', async (_what, user, sqlstate, more) => {
    const raw = client();
    const messages = await raw.logIn(user, 'wrong', 196608, more);
    expect(fieldsOf(messages.at(-1))).toMatchObject({ S: 'FATAL', C: sqlstate });
    await raw.closed();
  });

  test('another database and replication are refused', async () => {
    expect(fieldsOf((await client().logIn('analyst', token, 196608, { database: 'other' })).at(-1))['C']).toBe('3D000');
    expect(fieldsOf((await client().logIn('analyst', token, 196608, { replication: 'database' })).at(-1))['C']).toBe('0A000');
  });

  test('settings of the startup packet hold, those in options too', async () => {
    const raw = await loggedIn(196608, { application_name: 'me', options: '-c statement_timeout=1500 --extra_float_digits=2' });
    expect(await ask(raw, frontend.query('show statement_timeout; show application_name; show extra_float_digits')))
      .toEqual(['T', 'D 1500', 'C SHOW', 'T', 'D me', 'C SHOW', 'T', 'D 2', 'C SHOW', 'Z I']);
  });
});

describe('the simple protocol', () => {
  test('several statements, an empty one, and an error that ends them', async () => {
    const raw = await loggedIn();
    expect(await ask(raw, frontend.query(`select 1; select 'a;b' as x;`))).toEqual(['T', 'D 1', 'C SELECT 1', 'T', 'D a;b', 'C SELECT 1', 'Z I']);
    expect(await ask(raw, frontend.query('-- ping'))).toEqual(['I', 'Z I']);
    expect(await ask(raw, frontend.query(''))).toEqual(['I', 'Z I']);
    expect(await ask(raw, frontend.query('select 1; selec 2; select 3'))).toEqual(['T', 'D 1', 'C SELECT 1', 'E 42601', 'Z I']);
  });

  test('positions count characters of what was sent', async () => {
    const raw = await loggedIn();
    raw.send(frontend.query(`select 'é😀'; select nope from posts`));
    const error = (await raw.through('Z')).find(({ tag }) => tag === 'E');
    expect(fieldsOf(error)).toMatchObject({ C: '42703', P: String([...`select 'é😀'; select `].length + 1) });
  });

  test('transactions, savepoints, settings and the status byte', async () => {
    const raw = await loggedIn();
    expect(await ask(raw, frontend.query('begin; set local statement_timeout = 100000; savepoint a'))).toEqual(['C BEGIN', 'C SET', 'C SAVEPOINT', 'Z T']);
    expect(await ask(raw, frontend.query('selec'))).toEqual(['E 42601', 'Z E']);
    expect(await ask(raw, frontend.query('select 1'))).toEqual(['E 25P02', 'Z E']);
    expect(await ask(raw, frontend.query('rollback to a; select 2'))).toEqual(['C ROLLBACK', 'T', 'D 2', 'C SELECT 1', 'Z T']);
    expect(await ask(raw, frontend.query('commit; show statement_timeout'))).toEqual(['C COMMIT', 'T', 'D 0', 'C SHOW', 'Z I']);
    expect(await ask(raw, frontend.query('commit'))).toEqual(['N 25P01', 'C COMMIT', 'Z I']);
    expect(await ask(raw, frontend.query('set application_name to x'))).toEqual(['S', 'C SET', 'Z I']);
    expect(await ask(raw, frontend.query(`set timezone = 'Asia/Tokyo'`))).toEqual(['E 22023', 'Z I']);
  });

  test('what would write is refused as PostgreSQL refuses it in a read-only session', async () => {
    const raw = await loggedIn();
    for (const sql of ['insert into posts values (1)', 'delete from posts', 'create table x(a int)', 'drop view posts', 'copy posts from stdin']) {
      expect(await ask(raw, frontend.query(sql))).toEqual(['E 25006', 'Z I']);
    }
    for (const sql of [`copy posts to '/tmp/x'`, `select * from read_text('/etc/passwd')`]) expect(await ask(raw, frontend.query(sql))).toEqual(['E 42501', 'Z I']);
  });

  test('cursors: declared, fetched in parts, moved, closed; gone with their transaction', async () => {
    const raw = await loggedIn();
    const declare = 'declare c cursor for select log_offset from posts order by log_offset';
    expect(await ask(raw, frontend.query(declare))).toEqual(['E 25P01', 'Z I']);
    expect(await ask(raw, frontend.query(`begin; ${declare}; fetch 2 from c; move 5 in c; fetch forward 1 c; fetch 0 c`))).toEqual(
      ['C BEGIN', 'C DECLARE CURSOR', 'T', 'D 0', 'D 1', 'C FETCH 2', 'C MOVE 5', 'T', 'D 7', 'C FETCH 1', 'T', 'C FETCH 0', 'Z T']);
    const all = await ask(raw, frontend.query('fetch all from c; fetch c'));
    expect([all.length, all.at(-4), all.at(-3), all.at(-2)]).toEqual([4992 + 5, 'C FETCH 4992', 'T', 'C FETCH 0']);
    expect(await ask(raw, frontend.query('commit'))).toEqual(['C COMMIT', 'Z I']);
    expect(await ask(raw, frontend.query('fetch c'))).toEqual(['E 34000', 'Z I']);
    expect(await ask(raw, frontend.query('declare h cursor with hold for select 1'))).toEqual(['C DECLARE CURSOR', 'Z I']);
    expect(await ask(raw, frontend.query('fetch h; close h; fetch h'))).toEqual(['T', 'D 1', 'C FETCH 1', 'C CLOSE CURSOR', 'E 34000', 'Z I']);
  });

  test('COPY TO STDOUT in three formats', async () => {
    const raw = await loggedIn();
    const copied = async (sql: string): Promise<[string, string]> => {
      raw.send(frontend.query(sql));
      const messages = await raw.through('Z');
      return [messages.filter(({ tag }) => tag === 'd').map(({ body }) => body.toString('latin1')).join(''), shown(messages).filter((line) => line !== 'd').join(' ')];
    };
    expect(await copied(`copy (select 1 as a, 'x,"y' as b, null as c union all select 2, E'l\\n', '') to stdout csv header`))
      .toEqual(['a,b,c\n1,"x,""y",\n2,"l\n",""\n', 'H c C COPY 2 Z I']);
    expect(await copied(`copy (select 1, E't\\tb\\\\', null) to stdout`)).toEqual(['1\tt\\tb\\\\\t\\N\n', 'H c C COPY 1 Z I']);
    const [binary] = await copied('copy (select 7::integer, null) to stdout (format binary)');
    expect(Buffer.from(binary, 'latin1').toString('hex')).toBe('5047434f50590aff0d0a000000000000000000' + '0002' + '00000004' + '00000007' + 'ffffffff' + 'ffff');
  });
});

describe('the extended protocol', () => {
  test('parse, bind, describe, execute; named and unnamed; close', async () => {
    const raw = await loggedIn();
    expect(await ask(raw, frontend.parse('s', 'select $1 as a, $2::int + 1 as b'), frontend.describe('S', 's'), frontend.bind('p', 's', ['x', '41']),
      frontend.describe('P', 'p'), frontend.execute('p'), frontend.close('P', 'p'), frontend.sync()))
      .toEqual(['1', 't', 'T', '2', 'T', 'D x|42', 'C SELECT 1', '3', 'Z I']);
    expect(await ask(raw, frontend.bind('', 's', [null, null]), frontend.execute(''), frontend.sync())).toEqual(['2', 'D NULL|NULL', 'C SELECT 1', 'Z I']);
    expect(await ask(raw, frontend.parse('s', 'select 1'), frontend.sync())).toEqual(['E 42P05', 'Z I']);
    expect(await ask(raw, frontend.close('S', 's'), frontend.bind('', 's'), frontend.sync())).toEqual(['3', 'E 26000', 'Z I']);
    expect(await ask(raw, frontend.parse('', ''), frontend.bind('', ''), frontend.describe('P', ''), frontend.execute(''), frontend.sync()))
      .toEqual(['1', '2', 'n', 'I', 'Z I']);
    expect(await ask(raw, frontend.parse('', 'select 1; select 2'), frontend.sync())).toEqual(['E 42601', 'Z I']);
    expect(await ask(raw, frontend.parse('', 'begin'), frontend.bind('', ''), frontend.execute(''), frontend.sync())).toEqual(['1', '2', 'C BEGIN', 'Z T']);
  });

  const parameterOids = async (raw: RawClient, sql: string, oids: readonly number[] = []): Promise<number[]> => {
    raw.send(frontend.parse('', sql, oids), frontend.describe('S', ''), frontend.sync());
    const body = (await raw.through('Z')).find(({ tag }) => tag === 't')?.body ?? Buffer.alloc(2);
    return Array.from({ length: body.readInt16BE() }, (_, index) => body.readInt32BE(2 + index * 4));
  };

  test('parameter types are told truly', async () => {
    const raw = await loggedIn();
    expect(await parameterOids(raw, 'select * from posts where created_at > $1 and reposts = $2 and text = $3 limit $4')).toEqual([1184, 20, 25, 20]);
    expect(await parameterOids(raw, 'select $1')).toEqual([25]);
    expect(await parameterOids(raw, 'select $1, count(*) from posts where created_at > $2')).toEqual([25, 1184]);
    expect(await parameterOids(raw, 'select reposts + $1 from posts')).toEqual([20]);
    expect(await parameterOids(raw, 'select $1::date, $2::text[]')).toEqual([1082, 1009]);
    expect(await parameterOids(raw, 'select $1, $2', [23, 1007])).toEqual([23, 1007]);
  });

  test('an error is followed by nothing until Sync', async () => {
    const raw = await loggedIn();
    expect(await ask(raw, frontend.parse('', 'select nope from posts'), frontend.bind('', ''), frontend.execute(''), frontend.query('select 1'), frontend.sync()))
      .toEqual(['1', '2', 'E 42703', 'Z I']);
    expect(await ask(raw, frontend.frame('B', Buffer.from([0, 0, 9])), frontend.execute(''), frontend.sync())).toEqual(['E 08P01', 'Z I']);
    expect(await ask(raw, frontend.parse('', 'select $1::int'), frontend.bind('', '', ['1', '2']), frontend.sync())).toEqual(['1', 'E 08P01', 'Z I']);
    expect(await ask(raw, frontend.bind('', '', ['abc']), frontend.execute(''), frontend.sync())).toEqual(['E 22P02', 'Z I']);
    expect(await ask(raw, frontend.query('select 1'))).toEqual(['T', 'D 1', 'C SELECT 1', 'Z I']);
  });

  test('a portal gives its rows in parts, and holds no child of the engine meanwhile', async () => {
    const [raw, other, third] = [await loggedIn(), await loggedIn(), await loggedIn()];
    const open = (on: RawClient): Promise<string[]> => ask(on, frontend.query('begin'), frontend.sync()).then(() => on.through('Z')).then(async () => ask(on,
      frontend.parse('', 'select log_offset, text from posts order by log_offset'), frontend.bind('p', ''), frontend.execute('p', 2), frontend.sync()));
    // Both children of the engine are asked for rows, and both clients then rest.
    for (const on of [raw, other]) expect(await open(on)).toEqual(['1', '2', 'D 0|post 0 “é😀”', 'D 1|post 1 “é😀”', 's', 'Z T']);
    expect(await ask(third, frontend.query('select count(*) from posts'))).toEqual(['T', 'D 5000', 'C SELECT 1', 'Z I']);
    expect(await ask(raw, frontend.execute('p', 1), frontend.sync())).toEqual(['D 2|post 2 “é😀”', 's', 'Z T']);
    const rest = await ask(raw, frontend.execute('p'), frontend.sync());
    expect([rest.length, rest[0], rest.at(-2)]).toEqual([4997 + 2, 'D 3|post 3 “é😀”', 'C SELECT 4997']);
    expect(await ask(raw, frontend.execute('p'), frontend.sync())).toEqual(['C SELECT 0', 'Z T']);
    expect(await ask(raw, frontend.query('rollback'))).toEqual(['C ROLLBACK', 'Z I']);
    expect(await ask(raw, frontend.execute('p'), frontend.sync())).toEqual(['E 34000', 'Z I']);
    expect(await readdir(door.spoolFolder)).toEqual([]);
  });

  test('what ends exactly where a part ends is said in the next one', async () => {
    const raw = await loggedIn();
    await ask(raw, frontend.query('begin'));
    expect(await ask(raw, frontend.parse('', 'select * from (values (1), (2)) t(a)'), frontend.bind('p', ''), frontend.execute('p', 2), frontend.execute('p', 2), frontend.sync()))
      .toEqual(['1', '2', 'D 1', 'D 2', 's', 'C SELECT 0', 'Z T']);
  });

  test('Flush sends what is ready without ending the series', async () => {
    const raw = await loggedIn();
    raw.send(frontend.parse('', 'select 1'), frontend.flush());
    expect((await raw.next())?.tag).toBe('1');
    raw.send(frontend.bind('', ''), frontend.execute('', 1), frontend.flush());
    expect(shown([await raw.next(), await raw.next(), await raw.next()].filter((message) => message !== undefined))).toEqual(['2', 'D 1', 's']);
    expect(await ask(raw, frontend.sync())).toEqual(['Z I']);
  });

  test('formats by column, binary and text', async () => {
    const raw = await loggedIn();
    raw.send(frontend.parse('', 'select 258::integer as a, 258::integer as b'), frontend.bind('', '', [], [1, 0]), frontend.describe('P', ''), frontend.execute(''), frontend.sync());
    const messages = await raw.through('Z');
    const row = messages.find(({ tag }) => tag === 'D')?.body ?? Buffer.alloc(0);
    expect(row.toString('hex')).toBe('0002' + '00000004' + '00000102' + '00000003' + '323538');
    // RowDescription tells the same: the last two bytes of each field.
    const described = messages.find(({ tag }) => tag === 'T')?.body ?? Buffer.alloc(0);
    expect([described.readInt16BE(2 + 2 + 16), described.readInt16BE(described.length - 2)]).toEqual([1, 0]);
  });

  test('statements are dropped by DEALLOCATE and DISCARD', async () => {
    const raw = await loggedIn();
    await ask(raw, frontend.parse('a', 'select 1'), frontend.parse('b', 'select 2'), frontend.sync());
    expect(await ask(raw, frontend.query('deallocate a; deallocate a'))).toEqual(['C DEALLOCATE', 'E 26000', 'Z I']);
    expect(await ask(raw, frontend.query('discard all'))).toEqual(['C DISCARD ALL', 'Z I']);
    expect(await ask(raw, frontend.bind('', 'b'), frontend.sync())).toEqual(['E 26000', 'Z I']);
    expect(await ask(raw, frontend.frame('F', Buffer.alloc(8)))).toEqual(['E 0A000', 'Z I']);
  });
});

test.each(['select * from store.posts', 'select * from lake.posts union all from store.posts', 'describe store.posts', 'show tables from store'])(
  'a read-only token is refused what must be forgotten: %s', async (sql) => {
    const raw = await loggedIn();
    const [refusal, ...rest] = await ask(raw, frontend.query(sql));
    expect(refusal).toMatch(/^E 42501/);
    expect(rest).toEqual(['Z I']);
    expect(await ask(raw, frontend.parse('', sql), frontend.bind('', ''), frontend.execute(''), frontend.sync())).toContainEqual(expect.stringMatching(/^E 42501/));
  });
