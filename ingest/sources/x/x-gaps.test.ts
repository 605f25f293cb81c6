import { jest } from '@jest/globals';
import { crisis, start } from '#test/world/x-run.ts';
import { startFakeX } from '#test/world/x.ts';

jest.setTimeout(20_000);

const hourMs = 3600_000;
const startMs = Date.UTC(2026, 10, 20, 12);
const idsOf = (bodies: readonly string[]): string[] => bodies.map((body) => JSON.parse(body).data.id);

test('sources 3.1 and 3.2: a restart is a gap from the last sign of life, filled page by page; what was told before is not asked for', async () => {
  let nowMs = startMs;
  await using fake = await startFakeX({ now: () => nowMs, pageSize: 2 });
  let cursor: string | undefined;
  {
    await using run = await start({ on: fake, manual: true, alive: true, startMs });
    await run.until(() => fake.connected());
    fake.publish(fake.makePost('flood before', startMs));
    await run.until(() => run.posts().length === 1);
    await run.stop();
    cursor = run.cursor();
  }
  const missed = Array.from({ length: 5 }, (_, index) => fake.makePost(`flood missed ${index}`, startMs + 60_000 + index * 1000));
  for (const post of missed) fake.publish(post);
  fake.publish(fake.makePost('other things', startMs + 90_000));
  nowMs = startMs + hourMs;
  {
    await using run = await start({ on: fake, manual: true, alive: true, startMs: nowMs, ...(cursor === undefined ? {} : { cursor }) });
    await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 2; }, 1000);
    expect(idsOf(run.posts()).toSorted()).toEqual(expect.arrayContaining(missed.map(({ id }) => id)));
    expect(run.journal('gap')[1]).toMatchObject({ cause: 'not running', filledAtMs: expect.any(Number) });
    expect(fake.requests.filter(({ path }) => path.endsWith('/recent')).length).toBeGreaterThanOrEqual(3);
    expect(run.items.flatMap((item) => item.kind === 'post' ? item.events : [])[0]).toEqual({ id: 'flood', matched: ['flood'] });
  }
});

test('an event that began in the past is filled from its begin, once, and no further than search reaches', async () => {
  const recent = crisis('flood', ['flood'], { start: new Date(startMs - 2 * hourMs).toISOString() });
  const old = crisis('old', ['fire'], { start: new Date(startMs - 30 * 24 * hourMs).toISOString() });
  let nowMs = startMs;
  await using fake = await startFakeX({ now: () => nowMs });
  const [inTime, tooEarly, fire] = [fake.makePost('flood a', startMs - hourMs), fake.makePost('flood b', startMs - 3 * hourMs),
    fake.makePost('fire', startMs - 6 * 24 * hourMs)];
  for (const post of [inTime, tooEarly, fire]) fake.publish(post);
  await using run = await start({ on: fake, manual: true, alive: true, startMs, events: [recent] });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 2; }, 1000);
  // Followed while the stream is open, too.
  run.feed.set([recent, old]);
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 4; }, 1000);
  expect(idsOf(run.posts())).toEqual([inTime.id, fire.id]);
  expect(run.journal('gap').map(({ eventId, cause, count }) => [eventId, cause, count])).toEqual([
    ['flood', 'it began before it was followed', undefined], ['flood', 'it began before it was followed', 1],
    ['old', 'it began before it was followed', undefined], ['old', 'it began before it was followed', 1]]);
  expect(run.journal('gap')[3]).toMatchObject({ detail: { notFilled: ['recent search reaches back seven days only'] } });
  expect(run.journal('gap')[3]?.filledAtMs).toBeUndefined();
  // Paused and followed again: that is no gap, and its past was asked for.
  run.feed.set([old]);
  await run.until(() => fake.rules.length === 1, 0);
  run.feed.set([recent, old]);
  await run.until(() => fake.rules.length === 2, 0);
  const at = run.clock?.now() ?? 0;
  await run.until(() => (run.clock?.now() ?? 0) > at + 30_000, 1000);
  expect(run.journal('gap')).toHaveLength(4);
});

test('sources 3.1: a gap stays on record as not filled where the plan has no search, or the search fails for good', async () => {
  await using run = await start({ manual: true, alive: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  run.fake.answer('search', { status: 403, body: { title: 'Client Forbidden', detail: 'not your plan' } }, { status: 400, body: { title: 'Invalid Request' } });
  for (let gap = 1; gap <= 2; gap++) {
    run.fake.end();
    await run.until(() => run.journal('gap').length === 2 * gap, 500);
  }
  expect(run.journal('gap')[1]).toMatchObject({ count: 0, detail: { notFilled: [expect.stringMatching(/^recent search is not permitted: .*403.*not your plan/)] } });
  expect(run.journal('gap')[3]).toMatchObject({ detail: { notFilled: [expect.stringContaining('Invalid Request')] } });
  run.fake.publish(run.fake.makePost('flood'));
  await run.until(() => run.posts().length === 1);
});

test('sources 3.1: a search that is limited goes on when the window ends', async () => {
  await using run = await start({ manual: true, alive: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  run.fake.end();
  const lost = run.fake.makePost('flood');
  run.fake.publish(lost);
  run.fake.answer('search', { status: 429, headers: { 'x-rate-limit-reset': String(Math.floor((run.clock?.now() ?? 0) / 1000) + 90) } }, { status: 503 });
  await run.until(() => { return run.journal('gap').some(({ filledAtMs }) => filledAtMs !== undefined); }, 1000);
  expect(idsOf(run.posts())).toContain(lost.id);
});

test('a clock that is an hour ahead asks for no future and misses nothing', async () => {
  let ours = startMs;
  await using fake = await startFakeX({ now: () => ours - hourMs });
  await using run = await start({ on: fake, manual: true, alive: true, startMs });
  await run.until(() => fake.connected() && run.journal('connected').length === 1);
  fake.end();
  const lost = fake.makePost('flood');
  fake.publish(lost);
  await run.until(() => { ours = run.clock?.now() ?? 0; return run.journal('gap').some(({ filledAtMs }) => filledAtMs !== undefined); }, 1000);
  expect(idsOf(run.posts())).toContain(lost.id);
});

test('sources 3.1: collecting stops before the budget of the month is passed, says until when, and what it misses is a gap', async () => {
  let nowMs = Date.UTC(2026, 10, 30, 23, 50);
  await using fake = await startFakeX({ now: () => nowMs });
  await using run = await start({ on: fake, manual: true, alive: true, startMs: nowMs, postsPerMonth: 100 });
  await run.until(() => fake.connected());
  for (let index = 0; index < 200; index++) fake.publish(fake.makePost(`flood ${index}`));
  await run.until(() => run.journal('rate_limited').length === 1);
  expect(run.posts().length).toBe(95);
  expect(run.journal('rate_limited')[0]).toMatchObject({ cause: 'the budget of posts for this month is used up', untilMs: Date.UTC(2026, 11, 1), count: 95 });
  await run.until(() => !fake.connected(), 0);
  expect(JSON.parse(run.cursor() ?? '')).toMatchObject({ month: '2026-11', posts: 95 });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return fake.connected(); }, 30_000);
  expect(nowMs).toBeGreaterThanOrEqual(Date.UTC(2026, 11, 1));
  await run.until(() => run.journal('gap').length > 0, 0);
  expect(run.journal('gap')[0]).toMatchObject({ cause: 'the budget of posts for this month is used up' });
});

test('the last cursor is told when the source is stopped, behind everything that was read', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  run.fake.publish(run.fake.makePost('flood'));
  await run.until(() => run.posts().length === 1);
  await run.stop();
  expect(run.items.at(-1)?.kind).toBe('cursor');
  expect(JSON.parse(run.cursor() ?? '')).toMatchObject({ events: ['flood'], posts: 1, aliveAtMs: expect.any(Number) });
});
