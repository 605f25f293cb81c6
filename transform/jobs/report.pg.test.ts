import { jest } from '@jest/globals';
import { createHmac } from 'node:crypto';
import type { ParsedMail } from 'mailparser';
import type { ReportInput } from '#core/reports/reports.ts';
import { pageToken } from '#test/dashboards-lake.ts';
import { openReceiver } from '#test/report-world.ts';
import { reportTests } from '#test/report-tests.ts';
import type { Send } from './report-send.ts';

jest.setTimeout(60_000);
const world = reportTests(Date.parse('2013-06-21T00:00:00Z'));

const daily: ReportInput = {
  name: 'Alberta every morning', layout: 'situation', parameters: { event: 'flood-2013', hours: 24 }, cron: '0 7 * * *', timeZone: 'America/Denver',
  catchUp: 'last', deliveries: [{ kind: 'mail', target: 'manager@example.org', format: 'html' }, { kind: 'file', target: '', format: 'csv' }],
};

const recipient = ({ to }: Pick<ParsedMail, 'to'>): string | undefined => (Array.isArray(to) ? to[0] : to)?.text;
const work = (send?: Send): Promise<void> => world.house.work(send === undefined ? {} : { send });

test('the report arrives once a morning, as a mail with its chart and as a file', async () => {
  const { clock, box, reports } = world;
  await reports.create(daily, 'admin');
  await work();
  expect(box.mails).toHaveLength(0);
  await clock.advance(13 * 3_600_000 + 60_000); // 07:01 in Denver
  await work();
  await work();
  expect(box.mails).toHaveLength(1);
  const [mail] = box.mails;
  expect(mail?.subject).toBe('Alberta every morning, 2013-06-21 13:00 UTC');
  expect(mail?.html).toContain('Situation report: Alberta floods');
  // 24 hours of 50 posts an hour, against the 13 hours before them.
  expect(mail?.text).toContain('Alberta every morning');
  expect(mail?.html).toMatch(/Posts<\/bdi><\/td><td class="n">1,200<\/td><td class="n">650<\/td>/);
  expect(mail?.attachments.map(({ contentType, cid }) => [contentType, cid])).toEqual([['image/png', 'chart-1@watershed']]);
  const [run] = await reports.runs('alberta-every-morning', 10);
  expect(run).toMatchObject({ state: 'done', slot: '2013-06-21T13:00:00.000Z', formats: ['csv', 'html'],
    deliveries: [{ kind: 'mail', state: 'sent', attempts: 1, perhapsTwice: false }, { kind: 'file', state: 'sent' }] });
  const file = await fetch(`${world.url}/api/report-runs/${run?.id}/csv`, { headers: { authorization: `Bearer ${pageToken}` } });
  expect(file.headers.get('content-disposition')).toBe('attachment; filename="alberta-every-morning-2013-06-21T1300Z.csv"');
  expect(await file.text()).toContain('Posts,1200,650');
});

test('two processes that look at the same moment deliver a slot once', async () => {
  const { clock, box, reports } = world;
  await reports.create(daily, 'admin');
  await clock.advance(13 * 3_600_000 + 60_000);
  await Promise.all([work(), work(), work()]);
  expect(box.mails).toHaveLength(1);
});

test('after three days of rest the last slot is sent and the others are shown as left out', async () => {
  const { clock, reports } = world;
  await reports.create(daily, 'admin');
  await clock.advance(3 * 86_400_000);
  await work();
  expect((await reports.runs('alberta-every-morning', 10)).map(({ slot, state }) => [slot, state])).toEqual([
    ['2013-06-23T13:00:00.000Z', 'done'], ['2013-06-22T13:00:00.000Z', 'skipped'], ['2013-06-21T13:00:00.000Z', 'skipped']]);
});

test('a mail server that says "later" is asked again, and only it', async () => {
  const { clock, box, reports } = world;
  // Recipients do not wait for each other: which mail is offered first is not said.
  const refused: string[] = [];
  box.fate = (_, mail) => {
    const to = recipient(mail);
    if (to !== 'manager@example.org' || refused.includes(to)) return 'take';
    refused.push(to);
    return 'later';
  };
  await reports.create({ ...daily, deliveries: [...daily.deliveries, { kind: 'mail', target: 'second@example.org', format: 'pdf' }] }, 'admin');
  await clock.advance(13 * 3_600_000 + 60_000);
  await work();
  expect(box.mails.map(recipient)).toEqual(['second@example.org']);
  expect(box.mails[0]?.attachments[0]?.content.subarray(0, 5).toString()).toBe('%PDF-');
  await clock.advance(60_000);
  await work();
  expect(box.mails.map(recipient)).toEqual(['second@example.org', 'manager@example.org']);
  expect((await reports.runs('alberta-every-morning', 1))[0]).toMatchObject({ state: 'done', deliveries: [{ attempts: 2, perhapsTwice: false }, {}, { attempts: 1 }] });
});

test('a mail server that breaks off after the text: sent again under the same id, and shown as perhaps twice', async () => {
  const { clock, box, reports } = world;
  box.fate = (count) => (count === 1 ? 'drop' : 'take');
  await reports.create(daily, 'admin');
  await clock.advance(13 * 3_600_000 + 60_000);
  await work();
  await clock.advance(60_000);
  await work();
  expect(box.mails).toHaveLength(2);
  expect(box.mails[0]?.messageId).toBe(box.mails[1]?.messageId);
  expect((await reports.runs('alberta-every-morning', 1))[0]).toMatchObject({ state: 'done', deliveries: [{ state: 'sent', attempts: 2, perhapsTwice: true }, {}] });
});

test('a process that dies between sending and writing it down is answered by the same id', async () => {
  const { clock, box, reports } = world;
  await reports.create(daily, 'admin');
  await clock.advance(13 * 3_600_000 + 60_000);
  const real = world.house.send;
  const dead = Promise.withResolvers<void>();
  const dying = work(async (outgoing, signal) => {
    await real(outgoing, signal);
    if (outgoing.kind !== 'mail') return;
    dead.resolve();
    await new Promise(() => undefined); // nothing is written after this: as if the process were gone
  });
  await dead.promise;
  void dying;
  await work();
  expect(box.mails).toHaveLength(1); // the lease is not over: it may still live
  await clock.advance(16 * 60_000);
  await work();
  expect(box.mails).toHaveLength(2);
  expect(box.mails[0]?.messageId).toBe(box.mails[1]?.messageId);
  expect((await reports.runs('alberta-every-morning', 1))[0]).toMatchObject({ state: 'done', deliveries: [{ state: 'sent', perhapsTwice: true }, {}] });
});

test('a webhook is signed, and knows by its key what it had already', async () => {
  const { clock, reports } = world;
  await using hook = await openReceiver();
  hook.answer = (nth) => (nth === 1 ? 503 : 204);
  const { secret } = await reports.create({ ...daily, deliveries: [{ kind: 'webhook', target: hook.url, format: 'xlsx' }] }, 'admin');
  await clock.advance(13 * 3_600_000 + 60_000);
  await work();
  await clock.advance(60_000);
  await work();
  expect(hook.calls.map(({ headers }) => headers['idempotency-key'])).toEqual(Array.from({ length: 2 }, () => 'alberta-every-morning/2013-06-21T13:00:00.000Z/1/0'));
  for (const { headers, body } of hook.calls) {
    expect(headers['x-watershed-signature']).toBe(`sha256=${createHmac('sha256', secret).update(`${headers['x-watershed-timestamp']}.`).update(body).digest('hex')}`);
  }
  expect((await reports.runs('alberta-every-morning', 1))[0]).toMatchObject({ state: 'done', deliveries: [{ state: 'sent', attempts: 2, perhapsTwice: false }] });
});

test('a refused question fails the run at once with its reason, and a retry sends it', async () => {
  const { clock, database, box, reports } = world;
  await reports.create({ ...daily, layout: 'no-such-layout' }, 'admin');
  await clock.advance(13 * 3_600_000 + 60_000);
  await work();
  const [run] = await reports.runs('alberta-every-morning', 1);
  expect(run).toMatchObject({ state: 'failed', error: 'there is no layout no-such-layout' });
  await database.execute("update watershed.report_run set definition = definition || '{\"layout\": \"situation\"}'");
  await reports.retry(run?.id ?? '');
  await work();
  expect(box.mails).toHaveLength(1);
});

test('a paused report owes nothing for its rest; one that is edited while a slot is open sends what was due', async () => {
  const { clock, box, reports } = world;
  await reports.create(daily, 'admin');
  await reports.edit('alberta-every-morning', { status: 'paused' }, 'admin');
  await clock.advance(2 * 86_400_000);
  await work();
  await reports.edit('alberta-every-morning', { status: 'active' }, 'admin');
  await work();
  expect(await reports.runs('alberta-every-morning', 10)).toEqual([]);
  await clock.advance(13 * 3_600_000 + 60_000);
  await reports.plan();
  await reports.edit('alberta-every-morning', { name: 'Another name', cron: '0 7,8 * * *' }, 'admin');
  await work();
  expect(box.mails.map(({ subject }) => subject)).toEqual(['Alberta every morning, 2013-06-23 13:00 UTC']);
});

test('the API makes, previews, tests and deletes a report', async () => {
  const { box } = world;
  const call = async (method: string, path: string, body?: unknown): Promise<Response> => await fetch(`${world.url}${path}`, {
    method, headers: { authorization: `Bearer ${pageToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  expect((await call('POST', '/api/reports', { ...daily, cron: 'often' })).status).toBe(400);
  expect((await call('POST', '/api/reports', { ...daily, deliveries: [{ kind: 'mail', target: 'a@b.c\r\nBcc: x@y.z', format: 'html' }] })).status).toBe(400);
  expect((await call('POST', '/api/reports', daily)).status).toBe(201);
  const preview = await call('POST', '/api/reports/alberta-every-morning/preview', { at: '2013-06-21T16:00:00Z' });
  expect(await preview.text()).toContain('Situation report: Alberta floods');
  const test = await call('POST', '/api/reports/alberta-every-morning/test', { deliveries: [{ kind: 'mail', target: 'me@example.org', format: 'html' }] });
  expect(test.status).toBe(202);
  await work();
  expect(box.mails).toHaveLength(1);
  expect((await call('DELETE', '/api/reports/alberta-every-morning')).status).toBe(204);
  expect((await call('GET', '/api/reports/alberta-every-morning')).status).toBe(404);
});
