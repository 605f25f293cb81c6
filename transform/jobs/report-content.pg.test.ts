// Reports of saved queries, with a condition, into the object store, kept for so long; clocks that jump.
import { createReports, type ReportInput, type Reports } from '#core/reports/reports.ts';
import { pageToken } from '#test/dashboards-lake.ts';
import { openReceiver } from '#test/report-world.ts';
import { reportTests } from '#test/report-tests.ts';

const world = reportTests(Date.parse('2013-06-21T00:00:00Z'));

const base: ReportInput = {
  name: 'Mine', layout: 'queries', parameters: { event: 'flood-2013', hours: 24 }, cron: '0 7 * * *', timeZone: 'UTC', catchUp: 'all', deliveries: [],
};

async function save(id: string, sql: string, parameters: readonly object[] = []): Promise<void> {
  await world.database.execute(`insert into watershed.saved_query (id, name, description, owner, statement, parameters, version, created_at, updated_at, updated_by)
    values ($1, $1, '', 'admin', $2, $3, 1, now(), now(), 'admin') on conflict (id) do update set statement = excluded.statement`, [id, sql, JSON.stringify(parameters)]);
}

const work = (reports?: Reports): Promise<void> => world.house.work(reports === undefined ? {} : { reports });

const call = async (method: string, path: string, body: unknown): Promise<Response> => await fetch(`${world.url}${path}`, {
  method, headers: { authorization: `Bearer ${pageToken}`, 'content-type': 'application/json' }, body: JSON.stringify(body),
});

test('saved queries are asked with the event and the time of the report, and shown as it says', async () => {
  const { clock, database, box, reports } = world;
  const of = [{ name: 'event', type: 'text' }, { name: 'from', type: 'text' }, { name: 'to', type: 'text' }];
  const within = 'from lake.activity where event_id = $1 and minute >= cast($2 as timestamptz) and minute < cast($3 as timestamptz)';
  await save('total', `select cast(sum(posts) as bigint) ${within}`, of);
  await save('hours', `select date_trunc('hour', minute) as hour, lang, cast(sum(posts) as bigint) ${within} group by 1, 2 order by 1, 2`, of);
  await save('words', 'select value, cast(sum(posts) as bigint) as posts from lake.activity_terms where kind = $1 group by 1 order by 2 desc', [{ name: 'kind', type: 'text', default: 'word' }]);
  const content = [{ query: 'total', title: 'Posts', show: 'number' }, { query: 'hours', show: 'bars' }, { query: 'words', show: 'table', values: { kind: 'hashtag' } }];
  expect((await call('POST', '/api/reports', { ...base, content: [] })).status).toBe(400);
  expect((await call('POST', '/api/reports', { ...base, content: [{ query: 'gone', show: 'table' }] })).status).toBe(400);
  expect((await call('POST', '/api/reports', { ...base, content, deliveries: [{ kind: 'mail', target: 'a@example.org', format: 'html' }] })).status).toBe(201);
  const preview = await (await call('POST', '/api/reports/mine/preview', { at: '2013-06-21T16:00:00Z', format: 'csv' })).text();
  // 24 hours of 50 posts; all 2,000 have the hashtag.
  expect(preview).toContain('Posts,1200,');
  expect(preview).toContain('abflood,2000');
  // What is asked was decided when the slot was planned: a query that is changed or deleted then changes nothing.
  await clock.advance(7 * 3_600_000 + 60_000);
  await reports.plan();
  await save('total', 'select 7');
  await database.execute("delete from watershed.saved_query where id = 'words'");
  await work();
  expect(box.mails[0]?.html).toMatch(/<bdi>Posts<\/bdi><\/td><td class="n">1,200</);
  // The next slot finds it gone, says so, and a retry after it was mended sends it.
  await clock.advance(24 * 3_600_000);
  await work();
  const [run] = await reports.runs('mine', 1);
  expect(run).toMatchObject({ state: 'failed', error: 'there is no saved query words' });
  await save('words', 'select 1 as one');
  await reports.retry(run?.id ?? '');
  await work();
  expect((await reports.runs('mine', 1))[0]?.state).toBe('done');
  expect(box.mails).toHaveLength(2);
});

test('a question that fails, gives none, or ten million rows', async () => {
  const { clock, box, reports } = world;
  await save('none', 'select 1 as one where false');
  await save('many', "select i as number, repeat('w', 100) as word from range(10000000) t(i)");
  await save('late', "select case when i > 9999990 then error('no') else i end from range(10000000) t(i) where i > 9990000");
  const show = (query: string): ReportInput => ({ ...base, name: query, content: [{ query, show: 'table' }], deliveries: [{ kind: 'file', target: '', format: 'xlsx' }, { kind: 'mail', target: 'a@example.org', format: 'html' }] });
  for (const name of ['none', 'many', 'late']) await reports.create(show(name), 'admin');
  await clock.advance(7 * 3_600_000 + 60_000);
  await work();
  const [none, many, late] = await Promise.all(['none', 'many', 'late'].map(async (name) => (await reports.runs(name, 1))[0]));
  expect([none?.state, many?.state, late?.state]).toEqual(['done', 'done', 'failed']);
  expect(late?.error).toMatch(/the SQL door (refuses|broke off)/);
  expect(box.mails.find(({ subject }) => subject?.startsWith('none'))?.html).toContain('The query returned no row.');
  expect(box.mails.find(({ subject }) => subject?.startsWith('many'))?.html).toContain('The first 200 rows of more than 10000');
});

test('nothing is sent where the condition does not hold, and the history says what was seen; a test is sent all the same', async () => {
  const { clock, box, reports } = world;
  const deliveries: ReportInput['deliveries'] = [{ kind: 'mail', target: 'a@example.org', format: 'html' }];
  // The floods end on 21 June at 16:00: the day to the 22nd at 7 has 450 posts, the day after none.
  await reports.create({ ...base, layout: 'situation', deliveries, condition: { kind: 'posts', event: 'flood-2013', above: 100 } }, 'admin');
  for (let day = 0; day < 3; day++) {
    await clock.advance(24 * 3_600_000);
    await work();
  }
  expect((await reports.runs('mine', 5)).map(({ slot, state, note, deliveries: sent }) => [slot.slice(0, 10), state, note, sent.length])).toEqual([
    ['2013-06-23', 'unmet', '0 posts; the limit is 100', 0], ['2013-06-22', 'done', null, 1], ['2013-06-21', 'done', null, 1]]);
  expect(box.mails).toHaveLength(2);
  await reports.test('mine');
  await work();
  expect(box.mails).toHaveLength(3);
  expect(box.mails[2]?.subject).toMatch(/^Test: Mine, /);
});

test('into the object store once, under a name that tells the slot; files go after the days they are kept, the history stays', async () => {
  const { clock, store, reports } = world;
  await save('one', 'select 1 as one');
  const deliveries: ReportInput['deliveries'] = [{ kind: 'store', target: 'daily/flood', format: 'csv' }, { kind: 'file', target: '', format: 'pdf' }];
  for (const target of ['../up', '/etc', 'a/../b', 'a//b', 'a b', '.hidden']) {
    await expect(reports.create({ ...base, content: [{ query: 'one', show: 'table' }], deliveries: [{ kind: 'store', target, format: 'csv' }] }, 'admin'))
      .rejects.toMatchObject({ code: 'bad_request' });
  }
  await reports.create({ ...base, content: [{ query: 'one', show: 'table' }], deliveries, keepDays: 3 }, 'admin');
  const keys = async (): Promise<string[]> => {
    const found: string[] = [];
    for await (const { key } of store.list('reports/')) found.push(key);
    return found.toSorted();
  };
  await clock.advance(7 * 3_600_000 + 60_000);
  await work();
  const [run] = await reports.runs('mine', 1);
  expect(run?.deliveries[0]?.location).toBe('memory://lake/reports/daily/flood/mine-2013-06-21T0700Z.csv');
  expect(await keys()).toEqual(['reports/daily/flood/mine-2013-06-21T0700Z.csv']);
  expect(Buffer.from(await store.get('reports/daily/flood/mine-2013-06-21T0700Z.csv')).toString()).toContain('one\r\n1\r\n');
  await clock.advance(4 * 24 * 3_600_000);
  await work();
  expect(await keys()).toHaveLength(4);
  expect(await keys()).not.toContain('reports/daily/flood/mine-2013-06-21T0700Z.csv');
  expect((await reports.runs('mine', 10)).at(-1)).toMatchObject({ state: 'done', formats: [], deliveries: [{ state: 'sent', location: null }, { state: 'sent' }] });
  await expect(reports.output(run?.id ?? '', 'pdf')).rejects.toMatchObject({ code: 'not_found' });
});

test('a clock that leaps years ahead and is set right again keeps no report waiting, and repeats no slot', async () => {
  const { clock, database, box, reports } = world;
  await save('one', 'select 1 as one');
  await reports.create({ ...base, catchUp: 'last', content: [{ query: 'one', show: 'table' }], deliveries: [{ kind: 'mail', target: 'a@example.org', format: 'csv' }] }, 'admin');
  await clock.advance(7 * 3_600_000 + 60_000);
  await work();
  const now = clock.now();
  const moved = (ms: number): Reports => createReports({ database, clock: { ...clock, now: () => now + ms } });
  await moved(20 * 365 * 86_400_000).plan(); // somebody's clock says 2033
  await work(moved(0));
  await work(moved(60_000));
  await clock.advance(24 * 3_600_000);
  await work();
  await work();
  const sent = box.mails.map(({ subject }) => subject).filter((subject) => subject?.includes('2013'));
  expect(sent).toEqual(['Mine, 2013-06-21 07:00 UTC', 'Mine, 2013-06-22 07:00 UTC']);
});

test('a webhook that redirects gets nothing, one that hangs is asked again under the same key, and neither holds up the others', async () => {
  const { clock, box, reports } = world;
  await using hook = await openReceiver();
  await save('one', 'select 1 as one');
  hook.answer = (nth, { headers }, response) => {
    if (String(headers['idempotency-key']).endsWith('/0')) { response.writeHead(307, { location: '/elsewhere' }).end(); return undefined; }
    return nth <= 2 ? undefined : 204;
  };
  await reports.create({ ...base, content: [{ query: 'one', show: 'table' }], deliveries: [
    { kind: 'webhook', target: hook.url, format: 'csv' }, { kind: 'webhook', target: hook.url, format: 'csv' }, { kind: 'mail', target: 'a@example.org', format: 'csv' }] }, 'admin');
  await clock.advance(7 * 3_600_000 + 60_000);
  await work();
  expect(box.mails).toHaveLength(1);
  await clock.advance(60_000);
  await work();
  expect((await reports.runs('mine', 1))[0]).toMatchObject({ state: 'failed', deliveries: [
    { state: 'failed', error: 'the webhook answered 307' }, { state: 'sent', attempts: 2, perhapsTwice: false }, { state: 'sent', attempts: 1 }] });
  expect(hook.calls).toHaveLength(3);
});
