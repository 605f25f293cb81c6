import pg from 'pg';
import { alike } from './alike.ts';
import { type Door, startDoor } from './door.ts';

// The same statement to the door and to a real PostgreSQL that holds the same posts: same rows, same types, same SQLSTATE.
let door: Door;
let ours: pg.Client;
let theirs: pg.Client;

// As text, whatever the type: what came over the wire is compared, not what the driver makes of it.
const types = { getTypeParser: () => (value: string | Buffer): string => value.toString() };

beforeAll(async () => {
  door = await startDoor({ catalogue: true });
  ours = new pg.Client({ connectionString: door.url, types });
  const address = await door.postgres?.createDatabase();
  theirs = new pg.Client({ connectionString: address ?? '', types });
  await Promise.all([ours.connect(), theirs.connect()]);
  await theirs.query(`set timezone = 'UTC'`);
  await theirs.query(`create table posts as select 'flood-2013'::text as event_id, 'x'::text as source, (348000000000000000 + i)::text as post_id,
    timestamptz '2013-06-20 00:00:00+00' + make_interval(secs => i) as created_at, 'post ' || i || ' “é😀”' as text, 'en'::text as lang,
    case when i % 3 = 0 then null else array['flood', 'a "b", c'] end as hashtags, (i % 7)::bigint as reposts, i % 2 = 0 as author_verified,
    (i / 8.0)::double precision as latitude, i::bigint as log_offset from generate_series(0, 4999) i`);
  await theirs.query(`create table events as select * from (values ('flood-2013'::text, 'Alberta floods'::text), ('fire', 'Fire')) t(event_id, name)`);
}, 120_000);
afterAll(async () => {
  await Promise.all([ours.end(), theirs.end()]);
  await door[Symbol.asyncDispose]();
});

interface Answer { readonly oids?: number[]; readonly names?: string[]; readonly rows?: unknown[]; readonly tag?: string; readonly sqlstate?: string }

async function answer(client: pg.Client, text: string, values: unknown[] = []): Promise<Answer> {
  try {
    const result: pg.QueryArrayResult<unknown[]> | pg.QueryArrayResult<unknown[]>[] = await client.query<unknown[]>({ text, values, rowMode: 'array' });
    const all = Array.isArray(result) ? result : [result];
    return {
      oids: all.flatMap(({ fields }) => fields.map(({ dataTypeID }: pg.FieldDef) => dataTypeID)), names: all.flatMap(({ fields }) => fields.map(({ name }: pg.FieldDef) => name)),
      rows: all.flatMap(({ rows }) => rows), tag: all.map(({ command, rowCount }) => `${command} ${rowCount ?? 0}`).join(', '),
    };
  } catch (error) {
    return { sqlstate: String((error as { code?: string }).code) };
  }
}

const statements: readonly (string | [string, unknown[]])[] = [
  'select 1e400::float8',
  'select count(*) as n from posts',
  'select event_id, count(*) as n, min(created_at) as first, max(created_at) as last, sum(reposts) as s from posts group by event_id',
  'select reposts, count(*) as n from posts group by reposts having count(*) > 713 order by reposts',
  'select log_offset, text, hashtags, latitude, author_verified from posts order by log_offset limit 20 offset 3',
  'select p.text, e.name from posts p join events e on e.event_id = p.event_id where p.log_offset in (1, 17, 4999) order by p.log_offset',
  'select e.event_id, count(p.post_id) as n from events e left join posts p using (event_id) group by 1 order by 1',
  `select date_trunc('hour', created_at) as hour, count(*) as n from posts group by 1 order by 1`,
  `select created_at::date as day, count(*) filter (where author_verified) as verified from posts group by 1`,
  `select log_offset, row_number() over (partition by reposts order by log_offset desc) as n, lag(text) over (order by log_offset) as before from posts order by log_offset limit 5`,
  `with a as (select reposts, count(*) as n from posts group by 1), b as (select max(n) as m from a) select a.reposts from a, b where a.n = b.m order by 1`,
  `select distinct lang, author_verified from posts order by 2`,
  `select upper(text) as u, length(text)::int as l, substring(text from 1 for 4) as s, replace(text, 'post', 'x') as r from posts where log_offset = 5`,
  `select text from posts where text ilike 'POST 1_0 %' order by log_offset`,
  `select text from posts where text like 'post 49__ %' order by log_offset limit 3`,
  `select coalesce(hashtags[1], 'none') as tag, count(*) as n from posts group by 1 order by 1`,
  `select tag, count(*) as n from (select unnest(hashtags) as tag from posts) t group by 1 order by 1`,
  `select log_offset from posts where 'flood' = any(hashtags) and created_at between '2013-06-20T00:00:00Z' and '2013-06-20T00:00:05.5Z' order by 1`,
  `select case when reposts > 3 then 'many' when reposts is null then null else 'few' end as how, count(*) as n from posts group by 1 order by 1`,
  `select created_at + interval '1 day 02:00:00' as later, created_at - timestamptz '2013-06-19 00:00:00+00' as since from posts where log_offset = 1`,
  `select extract(epoch from created_at)::bigint as e, to_timestamp(0) as zero from posts where log_offset = 0`,
  `select 1 as a union all select 2 union select 3 order by 1`, `select * from (values (1, 'a'), (2, null)) t(n, s) order by n`,
  `select exists (select 1 from posts where reposts = 6) as e, (select max(log_offset) from posts) as m, 5 in (select reposts from posts) as i`,
  `select cast('2013-06-20' as date) as d, '12:34:56.5'::time as t, 'abc'::text as v, 1.50::numeric(10,2) as n, 1e10::float8 as f, null::text as x, true and null as b`,
  `select 7 % 3 as m, abs(-5) as a, round(2.567::numeric, 2) as r, greatest(1, 2, 3) as g, nullif(1, 1) as z, -7::int as neg, 2::bigint * 3 as p`,
  `select 'a' || 'b' as c, E'x\\ny' as e, $$dollar$$ as d, 'it''s' as q, lower('É') as l, trim('  x ') as t, repeat('ab', 3) as r, left('héllo', 2) as le`,
  `select array[1, 2, null]::int[] as a, array['x y', '']::text[] as t`, `select 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u`, `select 9223372036854775807::bigint as big, 32767::smallint as small`,
  `select log_offset from posts order by latitude desc nulls last, log_offset limit 3`, `select count(distinct reposts) as d, bool_and(author_verified) as b, string_agg(lang, ',') as l from posts where log_offset < 3`,
  `select sum(latitude) as s, avg(latitude) as a, max(text) as m from posts where log_offset < 100`, 'select log_offset, text from posts where false', 'select 1 as "Quoted Name", 2 as lower', '-- nothing',
  ['select count(*) as n from posts where created_at > $1 and reposts = $2', [new Date('2013-06-20T01:00:00Z'), 3]],
  ['select text from posts where log_offset = any($1) order by log_offset', [[5, 6, 7]]], ['select $1::int + $2::int as s, $3 as t', [1, '2', 'x']],
  ['select text from posts where text like $1 order by log_offset limit $2', ['post 1%', 3]], ['select $1::text[] as a, $2::date as d, $3::numeric(10,2) as n, $4::bool as b', [['a', 'b,c'], '2013-06-20', '12.5', true]],
  ['select $1::timestamptz as at', ['2013-06-20 12:00:00+02']], ['select coalesce($1, text) as t from posts where log_offset = 0', [null]],
  // Mistakes.
  'selec 1', 'select from where', 'select nope from posts', 'select * from nowhere', 'select nofunction(1)', `select 'x'::int`, `select 1 from posts where`, 
  'select lang, count(*) from posts', 'select 1 as a, 2 as b order by c', ['select $1::int', ['x']], ['select $1::uuid', ['x']],
  'select log_offset from posts p, posts q', 'begin; selec; select 1', 'rollback', 'show server_encoding', 'show nonsense', `set nonsense to 1`, 'savepoint x', 'fetch 1 from nowhere',
  'deallocate nowhere', 'set timezone to utc', 'begin; commit',
];

test.each(statements.map((entry) => (typeof entry === 'string' ? [entry, []] : entry) as [string, unknown[]]))('%s %j', async (text, values) => {
  const [mine, real] = await Promise.all([answer(ours, text, values), answer(theirs, text, values)]);
  await Promise.all([ours.query('rollback'), theirs.query('rollback')]);
  expect(mine).toEqual(real);
});

test.each(alike.map((entry) => (typeof entry === 'string' ? [entry, []] : entry) as [string, unknown[]]))('alike: %s %j', async (text, values) => {
  const [mine, real] = await Promise.all([answer(ours, text, values), answer(theirs, text, values)]);
  await Promise.all([ours.query('rollback; reset all'), theirs.query(`rollback; reset all; set timezone = 'UTC'`)]);
  expect(mine).toEqual(real);
});

// Where the engine's SQL is its own (docs/connect.md tells people): both sides are held, so that a change is noticed.
test.each<[string, Answer, Answer]>([
  ['select 7 / 2 as d', { rows: [['3.5']], oids: [701] }, { rows: [['3']], oids: [23] }],
  ['select avg(log_offset) as a from posts where log_offset < 4', { rows: [['1.5']], oids: [701] }, { rows: [['1.5000000000000000']], oids: [1700] }],
  [`select 'post 1' ~ 'post' as m`, { rows: [['f']] }, { rows: [['t']] }],
  [`select length('a') as l, position('b' in 'ab') as p`, { oids: [20, 20] }, { oids: [23, 23] }],
  [`select 'x'::varchar as v, 'y'::name as n`, { sqlstate: '42704' }, { oids: [1043, 19] }],
  [`select 1.5 as d, 1e3 as e`, { oids: [1700, 701] }, { oids: [1700, 1700] }],
  [`select to_char(timestamp '2013-06-20 12:00:00', 'YYYY') as c`, { sqlstate: '42883' }, { rows: [['2013']] }],
  ['select reposts from posts where log_offset < 2 order by 1 desc nulls first limit 1 for share', { sqlstate: '42601' }, { rows: [['1']] }],
  [`select 'infinity'::timestamp`, { sqlstate: '22008' }, { rows: [['infinity']] }],
  [`select '1e400'::float8 as f, 1e308::float8 * 10 as g`, { rows: [['Infinity', 'Infinity']] }, { sqlstate: '22003' }],
  ['select 1 / 0 as d', { rows: [['Infinity']] }, { sqlstate: '22012' }],
  ['select 1 % 0 as d', { rows: [[null]] }, { sqlstate: '22012' }],
  ['select sum(x) as s from (values (1)) t(x)', { rows: [['1']], oids: [1700] }, { rows: [['1']], oids: [20] }],
  ['select x from (values (1), (null)) t(x) order by x desc', { rows: [['1'], [null]] }, { rows: [[null], ['1']] }],
  ['select round(2.5::float8) as r', { rows: [['3']] }, { rows: [['2']] }],
  [`select extract(second from timestamp '2013-06-20 12:34:56.5')::float8 as s`, { rows: [['56']] }, { rows: [['56.5']] }],
  [`select 'abc'::varchar(2) as v`, { rows: [['abc']] }, { rows: [['ab']] }],
  [`select '1.5'::int as i`, { rows: [['2']] }, { sqlstate: '22P02' }],
  [`select '{1,2}'::int[] as a`, { sqlstate: '22P02' }, { rows: [['{1,2}']] }],
  ['select generate_series(1, 2) as n', { rows: [['{1,2}']] }, { rows: [['1'], ['2']] }],
  [`select regexp_matches('foobar', 'o+') as m`, { rows: [['t']] }, { rows: [['{oo}']] }],
  [`select format('%s', 1) as f`, { rows: [['%s']] }, { rows: [['1']] }],
  [`select initcap('a b') as i`, { sqlstate: '42883' }, { rows: [['A B']] }],
  [`select cardinality(array[1, 2]) as c`, { sqlstate: '42883' }, { rows: [['2']] }],
  [`select array[[1, 2], [3, 4]] as a`, { oids: [3802] }, { oids: [1007] }],
  [`select '{"b":1}'::jsonb as j`, { oids: [114], rows: [['{"b":1}']] }, { oids: [3802], rows: [['{"b": 1}']] }],
  ['select null as n', { oids: [23] }, { oids: [25] }],
  ['select 1 where 1', { rows: [['1']] }, { sqlstate: '42804' }],
  ['select coalesce(1, null, 2), 1', { names: ['coalesce', '1'] }, { names: ['coalesce', '?column?'] }],
  ['values (1)', { names: ['col0'] }, { names: ['column1'] }],
  ['select * from posts for update', { sqlstate: '42601' }, { oids: expect.anything() }],
  ['prepare p as select 1', { sqlstate: '0A000' }, { tag: 'PREPARE 0' }],
  ['listen x', { sqlstate: '0A000' }, { tag: 'LISTEN 0' }],
  ['delete from posts where false', { sqlstate: '25006' }, { tag: 'DELETE 0' }],
])('%s is answered in the engine\'s own way', async (text, mine, real) => {
  expect([await answer(ours, text), await answer(theirs, text)]).toMatchObject([mine, real]);
});
