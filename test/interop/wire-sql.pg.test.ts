import { type Door, startDoor, token } from './door.ts';
import { fieldsOf, frontend, RawClient, shown } from './raw-client.ts';

// What drivers and people send that is neither a plain SELECT nor malformed; expected is what PostgreSQL 18 answers.
let door: Door;
const clients: RawClient[] = [];
beforeAll(async () => { door = await startDoor({ catalogue: true }); }, 120_000);
afterAll(() => door[Symbol.asyncDispose]());
afterEach(() => { for (const client of clients.splice(0)) client.close(); });

async function loggedIn(more: Readonly<Record<string, string>> = {}): Promise<RawClient> {
  const made = new RawClient(door.port);
  clients.push(made);
  await made.logIn('analyst', token, 196608, more);
  return made;
}
async function ask(on: RawClient, ...messages: Buffer[]): Promise<string[]> {
  on.send(...messages);
  return shown(await on.through('Z'));
}
const query = (on: RawClient, sql: string): Promise<string[]> => ask(on, frontend.query(sql));

/** The names of the columns of a simple query. */
async function names(on: RawClient, sql: string): Promise<string[]> {
  on.send(frontend.query(sql));
  const described = (await on.through('Z')).find(({ tag }) => tag === 'T')?.body ?? Buffer.alloc(2);
  const found: string[] = [];
  for (let at = 2; at < described.length;) {
    const end = described.indexOf(0, at);
    found.push(described.toString('utf8', at, end));
    at = end + 19;
  }
  return found;
}

test('SQL names a portal that Bind made, as asyncpg moves its cursors', async () => {
  const raw = await loggedIn();
  await query(raw, 'begin');
  expect(await ask(raw, frontend.parse('s', 'select log_offset from posts order by 1'), frontend.bind('p"1', 's'), frontend.execute('p"1', 2), frontend.sync()))
    .toEqual(['1', '2', 'D 0', 'D 1', 's', 'Z T']);
  expect(await query(raw, 'move forward 3 from "p""1"')).toEqual(['C MOVE 3', 'Z T']);
  expect(await query(raw, 'fetch 1 from "p""1"')).toEqual(['T', 'D 5', 'C FETCH 1', 'Z T']);
  expect(await ask(raw, frontend.execute('p"1', 1), frontend.sync())).toEqual(['D 6', 's', 'Z T']);
  expect(await query(raw, 'close "p""1"')).toEqual(['C CLOSE CURSOR', 'Z T']);
  expect((await query(raw, 'fetch 1 from "p""1"'))[0]).toBe('E 34000');
});

test('pg_sleep waits, is cancelled, and keeps to statement_timeout', async () => {
  const raw = await loggedIn();
  expect(await query(raw, 'select pg_sleep(0.001)')).toEqual(['T', 'D ', 'C SELECT 1', 'Z I']);
  raw.send(frontend.query('select pg_sleep(3600)'));
  const stopper = new RawClient(door.port);
  clients.push(stopper);
  stopper.send(frontend.cancel(raw.pid, raw.key));
  await stopper.closed();
  const answers = shown(await raw.through('Z'));
  // The request may overtake the statement, as PostgreSQL's may; then there was nothing to stop and it is sent again.
  expect(answers.slice(-2)).toEqual(['E 57014', 'Z I']);
  expect((await query(raw, `set statement_timeout = '20ms'; select pg_sleep(3600)`)).slice(-2)).toEqual(['E 57014', 'Z I']);
});

test('a plan is one column QUERY PLAN, in lines or as JSON', async () => {
  const raw = await loggedIn();
  expect(await names(raw, 'explain select 1')).toEqual(['QUERY PLAN']);
  const lines = await query(raw, 'explain select count(*) from posts');
  expect(lines.filter((line) => line.startsWith('D ')).length).toBeGreaterThan(3);
  expect(lines.at(-2)).toBe('C EXPLAIN');
  const [, row = ''] = await query(raw, 'explain (analyze, format json) select count(*) from posts');
  expect(() => { JSON.parse(row.slice(2)); }).not.toThrow();
});

test.each([
  ['select count(*), max(created_at), upper(text) from posts group by text limit 1', ['count', 'max', 'upper']],
  ['select count(*)::int, reposts::int, p.text::varchar, 1::bigint from posts p group by 2, 3 limit 1', ['count', 'reposts', 'text', 'int8']],
  [`select coalesce(1, 2), case when true then 1 end, exists(select 1), array[1]`, ['coalesce', 'case', 'exists', 'array']],
  // A name that the statement writes, and names that would be lost in a map of rows, stay.
  [`select 1 as "max(x)", 'min(x)' as "min(x)"`, ['max(x)', 'min(x)']],
  ['select sum(reposts), sum(latitude) from posts', ['sum(reposts)', 'sum(latitude)']],
  ['select (1 + 2) * (3 + 4)', ['((1 + 2) * (3 + 4))']],
])('%s has columns named %j', async (sql, expected) => {
  expect(await names(await loggedIn(), sql)).toEqual(expected);
});

test('SHOW ALL gives PostgreSQL’s settings with the session’s values', async () => {
  const raw = await loggedIn({ application_name: 'mine' });
  expect(await names(raw, 'show all')).toEqual(['name', 'setting', 'description']);
  const rows = await query(raw, 'show all');
  expect(rows.length).toBeGreaterThan(200);
  expect(rows).toContain(`D application_name|mine|Sets the application name to be reported in statistics and logs.`);
});

test.each([
  ['set role none', ['C SET', 'Z I']], ['reset role', ['C RESET', 'Z I']], ['set session authorization default', ['C SET', 'Z I']],
  ['set role watershed', ['E 42501', 'Z I']], ['set session authorization watershed', ['E 42501', 'Z I']],
  ['set search_path to "$user", Public; show search_path', ['S', 'C SET', 'T', 'D "$user", public', 'C SHOW', 'Z I']],
  [`copy (select 'é' as a) to stdout (encoding 'LATIN1')`, ['E 0A000', 'Z I']],
  [`copy (select 1 as a) to stdout (format csv, force_quote (b))`, ['H', 'E 42703', 'Z I']],
  // psql 15 asks a newer server for columns by their old names.
  [`select d.daticulocale as "ICU Locale" from pg_database d where datname = 'lake'`, ['T', 'D NULL', 'C SELECT 1', 'Z I']],
  [`select nope, d.daticulocale from pg_database d`, ['E 42703', 'Z I']],
])('%s is answered as PostgreSQL does', async (sql, expected) => {
  expect(await query(await loggedIn(), sql)).toEqual(expected);
});

test('FORCE_QUOTE quotes the columns it names, and no header', async () => {
  const raw = await loggedIn();
  raw.send(frontend.query(`copy (select 1 as a, 2 as b, null as c) to stdout (format csv, header, force_quote (b, c))`));
  const lines = (await raw.through('Z')).filter(({ tag }) => tag === 'd').map(({ body }) => body.toString());
  expect(lines.join('')).toBe('a,b,c\n1,"2",\n');
});

test('a numeric parameter keeps its digits, whatever the cast, and arguments of table functions find their type', async () => {
  const raw = await loggedIn();
  const bound = async (sql: string, ...values: string[]): Promise<string | undefined> =>
    (await ask(raw, frontend.parse('', sql), frontend.bind('', '', values), frontend.execute(''), frontend.sync())).find((line) => /^[DE] /.test(line));
  expect(await bound('select $1::numeric', '1.23456789')).toBe('D 1.23456789');
  expect(await bound('select cast($1 as decimal) * 2', '0.000001')).toBe('D 0.000002');
  expect(await bound('select $1::numeric(10,2)', '1.005')).toBe('D 1.01');
  expect(await bound('select $1::numeric[]', '{1.23456}')).toBe('D {1.2345600000}');
  expect(await bound('select sum(n) from generate_series(1, $1) t(n)', '3')).toBe('D 6');
  expect(await bound('select count(*) from unnest($1) t(n)', '{a,b}')).toBe('D 2');
  expect(await bound('select $1::smallint', '70000')).toBe('E 22003');
});

test('what one connection keeps is bounded: in number and in size, and given back', async () => {
  const raw = await loggedIn();
  const parses = Array.from({ length: 10_000 }, (_, index) => frontend.parse(`s${index}`, 'select $1::int as a, text from posts where log_offset = $2'));
  const answers = await ask(raw, ...parses, frontend.sync());
  expect(answers).toHaveLength(10_001);
  const long = `select ${'1,'.repeat(200_000)}1`;
  raw.send(...Array.from({ length: 8 }, (_, index) => frontend.parse(`long${index}`, long)), frontend.sync());
  const refusal = (await raw.through('Z')).find(({ tag }) => tag === 'E');
  expect(fieldsOf(refusal)).toMatchObject({ C: '53400', H: expect.stringMatching('DISCARD ALL') });
  expect(await query(raw, 'discard all')).toEqual(['C DISCARD ALL', 'Z I']);
  expect(await ask(raw, frontend.parse('long', long), frontend.close('S', 'long'), frontend.sync())).toEqual(['1', '3', 'Z I']);
});
