import { jest } from '@jest/globals';
import { crisis, flood, start } from '#test/world/x-run.ts';
import { startFakeX } from '#test/world/x.ts';

jest.setTimeout(60_000);

const startMs = Date.UTC(2026, 10, 20, 12);

test('sources 3.1: what X drops while the log is slow is a gap from what was taken last, not from when it was noticed', async () => {
  let nowMs = startMs;
  let isHeld = false;
  const gate = Promise.withResolvers<void>();
  await using fake = await startFakeX({ now: () => nowMs });
  await using run = await start({ on: fake, manual: true, startMs, consume: async (item) => {
    if (item.kind === 'post' && !isHeld) {
      isHeld = true;
      await gate.promise;
    }
  } });
  const tick = (): number => (nowMs = run.clock?.now() ?? 0);
  await run.until(() => tick() > 0 && fake.connected() && run.journal('connected').length === 1, 0);
  const post = (name: string): void => fake.publish(fake.makePost(`flood ${name} ${'x'.repeat(20_000)}`));
  // More than all buffers between X and us hold; nothing moves any more.
  for (let index = 0; index < 1000; index++) post(`0 ${index}`);
  let [before, same] = [0, 0];
  await run.until(() => {
    const waiting = fake.waitingBytes();
    same = waiting > 0 && waiting === before ? same + 1 : 0;
    before = waiting;
    return same >= 50;
  }, 0);
  for (let minute = 1; minute < 10; minute++) {
    await run.clock?.advance(60_000);
    tick();
    for (let index = 0; index < 10; index++) post(`${minute} ${index}`);
  }
  await run.until(() => fake.waitingBytes() >= before + 90 * 20_000, 0);
  fake.break();
  let turns = 0;
  await run.until(() => ++turns > 20, 0); // it is broken in the next one
  await run.clock?.advance(60_000);
  gate.resolve();
  await run.until(() => tick() > 0 && run.journal('gap').length > 0, 500);
  const taken = new Set(run.posts().map((body) => JSON.parse(body).data.id));
  const lost = fake.delivered.filter(({ id }) => !taken.has(id)).map(({ json }) => Date.parse(JSON.parse(json).data.created_at));
  expect(lost.length).toBeGreaterThan(80);
  expect(run.journal('gap')[0]?.sinceMs).toBeLessThanOrEqual(Math.min(...lost));
});

test('sources 3.1: an edited post has an id of its own; members that nobody knows stay as they came', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  const tag = run.fake.rules[0]?.tag ?? '';
  const lines = [['7', '["7"]'], ['8', '["7","8"]']].map(([id, history]) =>
    `{"data":{"id":"${id}","text":"flood ${id}","edit_history_tweet_ids":${history},"new_member":{"a":1.50}},"matching_rules":[{"id":"1","tag":"${tag}"}],"brand_new":[ ]}`);
  run.fake.raw(lines.map((line) => `${line}\r\n`).join(''));
  await run.until(() => run.posts().length === 2);
  expect(run.posts()).toEqual(lines);
});

test('sources 3.1: a long post is matched in the whole of its note, a quoting one in what it quotes', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  const tag = run.fake.rules[0]?.tag ?? '';
  run.fake.raw(`{"data":{"id":"1","text":"cut off …","note_tweet":{"text":"at the very end a Flood"}},"matching_rules":[{"id":"1","tag":"${tag}"}]}\r\n`);
  run.fake.publish({ ...run.fake.makePost('look'), quotedText: 'the #ABflood is here' });
  await run.until(() => run.posts().length === 2);
  expect(run.items.flatMap((item) => item.kind === 'post' ? item.events : [])).toEqual(
    [{ id: 'flood', matched: ['flood'] }, { id: 'flood', matched: ['#abflood'] }]);
});

test('sources 3.1: at the longest wait the journal says so, once it is reached and each time again', async () => {
  await using run = await start({ manual: true });
  run.fake.answer('stream', ...Array.from({ length: 9 }, () => ({ status: 503 })));
  await run.until(() => run.fake.connected(), 5000);
  const longest = run.journal('disconnected').filter(({ detail }) => detail?.['longestWait'] === true);
  expect(longest.map(({ detail }) => detail?.['waitMs'])).toEqual([320_000, 320_000, 320_000]);
});

test('sources 3.1: rules are 100 calls in 15 minutes: a burst of edits is one change, and the limit is waited out', async () => {
  await using run = await start({ manual: true, alive: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  run.fake.requests.length = 0;
  for (let version = 2; version <= 60; version++) run.feed.set([{ ...flood, rule: { any: [`word${version}`] }, version }]);
  await run.until(() => run.fake.rules.length === 1 && run.fake.rules[0]?.value === '"word60"', 0);
  expect(run.fake.requests.filter(({ method }) => method === 'POST').length).toBeLessThanOrEqual(4);
  run.fake.answer('rules', { status: 429, headers: { 'x-rate-limit-reset': String(Math.floor((run.clock?.now() ?? 0) / 1000) + 600) } });
  run.feed.set([{ ...flood, rule: { any: ['later'] }, version: 61 }]);
  const before = run.clock?.now() ?? 0;
  await run.until(() => run.fake.rules[0]?.value === '"later"', 5000);
  expect((run.clock?.now() ?? 0) - before).toBeGreaterThanOrEqual(590_000);
});

test('sources 3.1: a usage cap that X names within the stream is a limit on record, not a post and no tight loop', async () => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  run.fake.raw(`${JSON.stringify({ title: 'UsageCapExceeded', detail: 'Usage cap exceeded: Monthly product cap', type: 'https://api.x.com/2/problems/usage-capped' })}\r\n`);
  await run.until(() => run.journal('rate_limited').length === 1, 0);
  expect(run.journal('rate_limited')[0]).toMatchObject({ cause: 'UsageCapExceeded', detail: { waitMs: 60_000 } });
  expect(run.posts()).toEqual([]);
});

test('peers g2 13: nothing is asked of the API v1.1, which is gone: streams, rules and searches are those of v2', async () => {
  await using run = await start({ manual: true, alive: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  run.fake.end();
  await run.until(() => run.journal('gap').some(({ filledAtMs }) => filledAtMs !== undefined), 1000);
  expect([...new Set(run.fake.requests.map(({ method, path }) => `${method} ${path}`))].toSorted()).toEqual([
    'GET /2/tweets/search/recent', 'GET /2/tweets/search/stream', 'GET /2/tweets/search/stream/rules', 'POST /2/tweets/search/stream/rules']);
});

test('peers g1 (thesis, chapter 4): a post of two events is one record with both, not two', async () => {
  await using run = await start({ events: [flood, crisis('calgary', ['calgary'])] });
  await run.until(() => run.fake.connected());
  run.fake.publish(run.fake.makePost('flood in calgary'));
  await run.until(() => run.posts().length === 1);
  expect(run.items.flatMap((item) => item.kind === 'post' ? [item.events.map(({ id }) => id)] : [])).toEqual([['flood', 'calgary']]);
});
