import pg from 'pg';
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
}, 30_000);
afterAll(async () => {
  await Promise.all([ours.end(), theirs.end()]);
  await door[Symbol.asyncDispose]();
});

interface Answer { readonly oids?: number[]; readonly names?: string[]; readonly rows?: unknown[]; readonly tag?: string; readonly sqlstate?: string }

async function answer(client: pg.Client, text: string, values: unknown[] = []): Promise<Answer> {
  try {
    const { fields, rows, command, rowCount } = await client.query<unknown[]>({ text, values, rowMode: 'array' });
    return { oids: fields.map(({ dataTypeID }) => dataTypeID), names: fields.map(({ name }) => name), rows, tag: `${command} ${rowCount ?? 0}` };
  } catch (error) {
    return { sqlstate: String((error as { code?: string }).code) };
  }
}

const statements: readonly (string | [string, unknown[]])[] = [
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

// Where the engine's SQL is its own (docs/connect.md tells people): both sides are held, so that a change is noticed.
test.each<[string, Answer, Answer]>([
  ['select 7 / 2 as d', { rows: [['3.5']], oids: [701] }, { rows: [['3']], oids: [23] }],
  ['select avg(log_offset) as a from posts where log_offset < 4', { rows: [['1.5']], oids: [701] }, { rows: [['1.5000000000000000']], oids: [1700] }],
  [`select 'post 1' ~ 'post' as m`, { rows: [['f']] }, { rows: [['t']] }],
  [`select length('a') as l, position('b' in 'ab') as p`, { oids: [20, 20] }, { oids: [23, 23] }],
  [`select 'x'::varchar as v, 'y'::name as n`, { sqlstate: '42704' }, { oids: [1043, 19] }],
  [`select 1.5 as d, 1e3 as e`, { oids: [1700, 701] }, { oids: [1700, 1700] }],
  ['select 5::numeric as n', { rows: [['5.000']] }, { rows: [['5']] }],
  [`select to_char(timestamp '2013-06-20 12:00:00', 'YYYY') as c`, { sqlstate: '42883' }, { rows: [['2013']] }],
  ['select reposts from posts where log_offset < 2 order by 1 desc nulls first limit 1 for share', { sqlstate: '42601' }, { rows: [['1']] }],
  ['select count(*)', { names: ['count_star()'] }, { names: ['count'] }],
  [`select 'infinity'::timestamp`, { sqlstate: '22008' }, { rows: [['infinity']] }],
  [`select '2013-13-45'::date`, { sqlstate: '22P02' }, { sqlstate: '22008' }],
  [`select ''::timestamptz`, { sqlstate: '22P02' }, { sqlstate: '22007' }],
  ['select 300000::smallint', { sqlstate: '22P02' }, { sqlstate: '22003' }],
  ['select (select log_offset from posts)', { sqlstate: '22023' }, { sqlstate: '21000' }],
  ['delete from posts where false', { sqlstate: '25006' }, { tag: 'DELETE 0' }],
])('%s is answered in the engine\'s own way', async (text, mine, real) => {
  expect([await answer(ours, text), await answer(theirs, text)]).toMatchObject([mine, real]);
});
