import { jest } from '@jest/globals';
import { createHmac } from 'node:crypto';
import { type ManualClock, manualClock, systemClock } from '#core/clock.ts';
import type { Condition } from '#core/contract/condition.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { createAlerts } from '#core/reports/alerts.ts';
import { createReports } from '#core/reports/reports.ts';
import { alertRoutes } from '#sql/http/alerts.ts';
import type { HttpServer } from '#sql/http/server.ts';
import { dashboardsLake, dashboardsServer, pageToken } from '#test/dashboards-lake.ts';
import { openPostbox, openReceiver, type Postbox, type Receiver } from '#test/report-world.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import type { SqlLake } from '#test/sql-lake.ts';
import { alertJob, look } from './alert.ts';
import { reportJob } from './report.ts';
import { type Ask, askOverHttp } from './report-ask.ts';
import { createSend } from './report-send.ts';

jest.setTimeout(120_000);
let postgres: TestPostgres;
let databaseUrl: string;
let database: Database;
let lake: SqlLake;
let server: HttpServer;
let url: string;
let clock: ManualClock;
let ask: Ask;
let box: Postbox;
let hook: Receiver;

beforeAll(async () => {
  postgres = await startPostgres();
});

beforeEach(async () => {
  lake = await dashboardsLake();
  box = await openPostbox();
  hook = await openReceiver();
  clock = manualClock();
  databaseUrl = await postgres.createDatabase();
  database = openDatabase(databaseUrl, { max: 4 });
  await migrate(database);
  ask = askOverHttp({ url: () => url, tokenOf: async () => pageToken });
  const routes = alertRoutes({ alerts: createAlerts({ database, clock }), look: (alert, signal) => look(ask, alert, clock.now(), signal), hint: () => undefined });
  ({ server, url } = await dashboardsServer(lake.engine(), [routes]));
});

afterEach(async () => {
  await server[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await hook[Symbol.asyncDispose]();
  await box[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
});

afterAll(() => postgres.stop());

const context = { signal: new AbortController().signal, progress: async () => undefined };

async function moveTo(instant: string): Promise<void> {
  await clock.advance(Date.parse(instant) - clock.now());
}

/** Jobs that know nothing but the database, as after a restart. */
function jobs(): { check: () => Promise<void>; deliver: () => Promise<void> } {
  const send = createSend({ smtpUrl: box.url, mailFrom: 'watershed@example.org', clock: systemClock, store: lake.store, timeoutMs: 5000 });
  const reports = createReports({ database, clock });
  const watching = alertJob({ alerts: createAlerts({ database, clock }), clock, ask, onTold: () => undefined });
  const delivering = reportJob({ database, reports, clock, ask, send, store: lake.store });
  return { check: () => watching.run({}, context), deliver: () => delivering.run({}, context) };
}

async function watch(condition: Condition, more: { forMinutes?: number } = {}): Promise<string> {
  const { secret } = await createAlerts({ database, clock }).create({
    name: 'River', condition, ...more, recipients: [{ kind: 'mail', target: 'duty@example.org' }, { kind: 'webhook', target: hook.url }],
  }, 'admin');
  return secret;
}

const told = (): unknown[] => hook.calls.map(({ body }) => {
  const { state, at, since } = JSON.parse(body.toString());
  return [state, at.slice(11, 16), since.slice(11, 16)];
});

test('a burst is told once when it begins and once when it is over, through restarts and two processes at once', async () => {
  // 50 posts an hour go on; from 10:00 to 10:05 there are 60 a minute more.
  await lake.append('activity', `select 'flood-2013' as event_id, 'x' as source, 'en' as lang, 60 as posts, 60 as authors, 0 as reposts,
    timestamptz '2013-06-21 10:00:00+00' + to_minutes(i) as minute from range(5) t(i)`);
  await moveTo('2013-06-21T09:50:30Z');
  const secret = await watch({ kind: 'burst', event: 'flood-2013' });
  for (let minute = 0; minute < 35; minute++) {
    // Another process with its own memory each time; every third minute two look at once, every fourth delivers late.
    await Promise.all(minute % 3 === 0 ? [jobs().check(), jobs().check()] : [jobs().check()]);
    if (minute % 4 !== 0) await Promise.all([jobs().deliver(), jobs().deliver()]);
    await clock.advance(60_000);
  }
  // At 10:00:30 the minute 10:00 is among the last ten: 60 and the usual eight; at 10:14:30 it holds no longer.
  expect(told()).toEqual([['begun', '10:00', '10:00'], ['over', '10:14', '10:00']]);
  expect(box.mails.map(({ subject }) => subject)).toEqual(['Alert: River', 'Over: River']);
  expect(box.mails[0]?.text).toMatch(/flood-2013: 6\d posts in 10 minutes, 10\.0 are usual/);
  expect(box.mails[1]?.html).toContain('It lasted 14 minutes');
  const [first] = hook.calls;
  expect(first?.headers['x-watershed-signature']).toBe(`sha256=${createHmac('sha256', secret).update(`${first?.headers['x-watershed-timestamp']}.`).update(first?.body ?? '').digest('hex')}`);
  expect(new Set(hook.calls.map(({ headers }) => headers['idempotency-key'])).size).toBe(2);
  expect((await createAlerts({ database, clock }).runs('river', 10)).map(({ kind, state }) => [kind, state])).toEqual([['over', 'done'], ['begun', 'done']]);
});

test('a stall is told when posts stop and over when they come again', async () => {
  await moveTo('2013-06-21T15:50:00Z');
  await watch({ kind: 'stall' });
  for (let minute = 0; minute < 40; minute++) {
    if (minute === 30) {
      await lake.append('activity', `select 'flood-2013' as event_id, 'x' as source, 'en' as lang, 1 as posts, 1 as authors, 0 as reposts, timestamptz '2013-06-21 16:19:00+00' as minute`);
    }
    await jobs().check();
    await jobs().deliver();
    await clock.advance(60_000);
  }
  // The last post is of minute 15:58: more than 15 minutes ago from 16:14 on.
  expect(told()).toEqual([['begun', '16:14', '16:14'], ['over', '16:20', '16:14']]);
  expect(box.mails[0]?.text).toContain('x: the last post came 16 minutes ago');
});

test('a gap is told while a collector is away, and over when it is back and what was missed is filled', async () => {
  const journal = (rows: string): Promise<void> => lake.append('journal', `select * from (values ${rows})
    t("at", source, event_id, kind, since, until, cause, filled_at, log_offset)`);
  await moveTo('2013-06-21T12:00:00Z');
  await watch({ kind: 'gap', event: 'flood-2013' });
  for (let minute = 0; minute < 8; minute++) {
    if (minute === 2) await journal(`(timestamptz '2013-06-21 12:01:30+00', 'x', null, 'disconnected', null, null, 'the network closed the connection', null, 10)`);
    if (minute === 4) {
      await journal(`(timestamptz '2013-06-21 12:03:10+00', 'x', null, 'connected', null, null, null, null, 11),
        (timestamptz '2013-06-21 12:03:20+00', 'x', null, 'gap', timestamptz '2013-06-21 12:01:30+00', timestamptz '2013-06-21 12:03:10+00', 'the network closed the connection', null, 12)`);
    }
    if (minute === 6) await journal(`(timestamptz '2013-06-21 12:05:30+00', 'x', null, 'gap', timestamptz '2013-06-21 12:01:30+00', timestamptz '2013-06-21 12:03:10+00',
      'the network closed the connection', timestamptz '2013-06-21 12:05:30+00', 13)`);
    await jobs().check();
    await jobs().deliver();
    await clock.advance(60_000);
  }
  expect(told()).toEqual([['begun', '12:02', '12:02'], ['over', '12:06', '12:02']]);
  expect(box.mails[0]?.text).toContain('x: the network closed the connection, since 2013-06-21 12:01 UTC');
});

test('what began is told before its end, also where the mail server was away meanwhile', async () => {
  await moveTo('2013-06-21T15:58:00Z');
  await watch({ kind: 'posts', event: 'flood-2013', above: 0, minutes: 5 });
  box.fate = (offered) => (offered < 4 ? 'later' : 'take');
  for (let minute = 0; minute < 40; minute++) {
    await jobs().check();
    await jobs().deliver();
    await clock.advance(60_000);
  }
  expect(box.mails.map(({ subject }) => subject)).toEqual(['Alert: River', 'Over: River']);
  expect(told().map((one) => (one as string[])[0])).toEqual(['begun', 'over']);
});

test('a change that does not last is not told; a flicker neither', async () => {
  await moveTo('2013-06-21T10:00:00Z');
  await watch({ kind: 'rows', sql: 'select 1 as wet where false' }, { forMinutes: 3 });
  const alerts = createAlerts({ database, clock });
  const alert = await alerts.get('river');
  const seen = '0110011110111000'; // each digit a minute
  for (const digit of seen) {
    await alerts.observe(alert, { holds: digit === '1', detail: digit }, clock.now());
    await clock.advance(60_000);
  }
  await jobs().deliver();
  // Four in a row begin at the sixth minute and are told at the ninth, with the time they began; three dry minutes are too few for an end.
  expect(told()).toEqual([['begun', '10:08', '10:05']]);
  // An answer of a slower process, of a minute before, changes nothing.
  expect(await alerts.observe(alert, { holds: false, detail: '' }, clock.now() - 120_000)).toBe(false);
});

test('a statement that fails leaves the state and says why; one of ten million rows does not fill the memory', async () => {
  await moveTo('2013-06-21T10:00:00Z');
  const alerts = createAlerts({ database, clock });
  for (const sql of ['selec 1', 'drop table lake.posts', 'select * from lake.no_such_table', "select error('no')"]) {
    await alerts.create({ name: 'Broken', condition: { kind: 'rows', sql }, recipients: [] }, 'admin');
  }
  await alerts.create({ name: 'Many', condition: { kind: 'rows', sql: 'select * from range(10000000)' }, recipients: [] }, 'admin');
  await jobs().check();
  const all = await alerts.list();
  expect(all.map(({ id, firingSince, error }) => [id.replace(/-\d$/, ''), firingSince !== null, error !== null])).toEqual([
    ...Array.from({ length: 4 }, () => ['broken', false, true]), ['many', true, false]]);
  expect(all[0]?.error).toContain('the SQL door refuses');
});

test('the API makes, shows, looks at, tests, pauses and deletes an alert', async () => {
  await moveTo('2013-06-21T10:00:00Z');
  const call = async (method: string, path: string, body?: unknown): Promise<Response> => await fetch(`${url}${path}`, {
    method, headers: { authorization: `Bearer ${pageToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const alert = { name: 'River', condition: { kind: 'stall', minutes: 15 }, recipients: [{ kind: 'mail', target: 'duty@example.org' }] };
  for (const wrong of [
    { ...alert, condition: { kind: 'flood' } }, { ...alert, condition: { kind: 'stall', minutes: 0 } }, { ...alert, condition: { kind: 'burst', times: 1 } },
    { ...alert, recipients: [{ kind: 'mail', target: 'a@b.c\r\nBcc: x@y.z' }] }, { ...alert, recipients: [{ kind: 'webhook', target: 'file:///etc/passwd' }] },
  ]) expect((await call('POST', '/api/alerts', wrong)).status).toBe(400);
  expect((await call('POST', '/api/alerts', alert)).status).toBe(201);
  expect(await (await call('POST', '/api/alerts/preview', { condition: alert.condition })).json()).toEqual({ holds: false, detail: 'x: the last post came 2 minutes ago' });
  expect((await call('POST', '/api/alerts/river/test')).status).toBe(202);
  await jobs().deliver();
  expect(box.mails.map(({ subject }) => subject)).toEqual(['Test: River']);
  expect((await call('PATCH', '/api/alerts/river', { status: 'paused' })).status).toBe(200);
  await clock.advance(3_600_000 * 24);
  await jobs().check();
  expect(await (await call('GET', '/api/alerts')).json()).toMatchObject({ alerts: [{ id: 'river', status: 'paused', firingSince: null, checkedAt: null }] });
  expect((await call('DELETE', '/api/alerts/river')).status).toBe(204);
  expect((await call('GET', '/api/alerts/river')).status).toBe(404);
});
