import { jest } from '@jest/globals';
import { crisis, start, type Run } from '#test/world/x-run.ts';
import { startFakeX } from '#test/world/x.ts';

jest.setTimeout(20_000);

const minuteMs = 60_000;
const startMs = Date.UTC(2026, 10, 20, 12);
const collected = (run: Run): string[] => run.items.flatMap((item) => item.kind === 'post'
  ? [`${item.events.map(({ id }) => id).join()}: ${JSON.parse(Buffer.from(item.body).toString('utf8')).data.text}`] : []).toSorted();

/** As a collector that was stopped at `startMs` leaves it. */
const cursorOf = (...events: string[]): string => JSON.stringify({ month: '2026-11', posts: 0, events, aliveAtMs: startMs,
  asked: Object.fromEntries(events.map((id) => [id, startMs - minuteMs])) });

test('an edit made while the collector is away: its gap is asked for by the old rule until the edit, by the new one from then on', async () => {
  let nowMs = startMs + 60 * minuteMs;
  await using fake = await startFakeX({ now: () => nowMs });
  const post = (minute: number, text: string): void => fake.publish(fake.makePost(text, startMs + minute * minuteMs));
  for (const [minute, word] of [[10, 'early'], [19.9, 'just before'], [20.1, 'just behind'], [30, 'late']] as const) {
    for (const subject of ['flood', 'deluge', 'rain']) post(minute, `${subject} ${word}`);
  }
  const event = crisis('event', ['flood']);
  await using run = await start({
    on: fake, manual: true, alive: true, startMs: nowMs, cursor: cursorOf('event'),
    earlier: [{ untilMs: startMs + 20 * minuteMs, events: [event] }], events: [{ ...event, rule: { any: ['deluge'] }, version: 2 }],
  });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 2; }, 1000);
  expect(collected(run)).toEqual(['event: deluge just behind', 'event: deluge late', 'event: flood early', 'event: flood just before']);
  expect(run.journal('gap')[1]).toMatchObject({ sinceMs: startMs, cause: 'not running', count: 4, filledAtMs: expect.any(Number) });
});

test('edited twice, and paused between, while the collector is away: each rule is asked for its own time, the pause for none', async () => {
  let nowMs = startMs + 60 * minuteMs;
  await using fake = await startFakeX({ now: () => nowMs });
  for (const minute of [5, 15, 25, 35]) for (const subject of ['one', 'two', 'three']) fake.publish(fake.makePost(`${subject} at ${minute}`, startMs + minute * minuteMs));
  const event = crisis('event', ['one']);
  const as = (word: string) => [{ ...event, rule: { any: [word] } }];
  await using run = await start({
    on: fake, manual: true, alive: true, startMs: nowMs, cursor: cursorOf('event'), events: as('three'),
    earlier: [{ untilMs: startMs + 10 * minuteMs, events: as('one') }, { untilMs: startMs + 20 * minuteMs, events: as('two') },
      { untilMs: startMs + 30 * minuteMs, events: [] }],
  });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 2; }, 1000);
  expect(collected(run)).toEqual(['event: one at 5', 'event: three at 35', 'event: two at 15']);
});

test('what an event missed before it was paused is asked for, though nobody asks for it any more; a restart goes on with it', async () => {
  let nowMs = startMs + 60 * minuteMs;
  await using fake = await startFakeX({ now: () => nowMs });
  fake.publish(fake.makePost('flood before the pause', startMs + 5 * minuteMs));
  fake.publish(fake.makePost('flood in the pause', startMs + 15 * minuteMs));
  const setting = { on: fake, manual: true, alive: true, events: [],
    earlier: [{ untilMs: startMs + 10 * minuteMs, events: [crisis('event', ['flood'])] }] };
  let cursor: string | undefined;
  {
    await using run = await start({ ...setting, startMs: nowMs, cursor: cursorOf('event') });
    await run.until(() => run.journal('gap').length === 1, 0);
    await run.until(() => run.cursor() !== undefined, 0);
    cursor = run.cursor(); // before the search, which waits for a while
    expect(run.posts()).toEqual([]);
  }
  nowMs += minuteMs;
  await using run = await start({ ...setting, startMs: nowMs, ...(cursor === undefined ? {} : { cursor }) });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 1; }, 1000);
  expect(collected(run)).toEqual(['event: flood before the pause']);
  expect(run.journal('gap')[0]).toMatchObject({ count: 1, filledAtMs: expect.any(Number) });
  expect(fake.opened()).toBe(0);
});

test('an event that is made while X is not to be had misses posts from then on, not from the first connection on', async () => {
  let nowMs = startMs;
  await using fake = await startFakeX({ now: () => nowMs });
  fake.answer('rules', { status: 503 });
  fake.answer('stream', { status: 503 }, { status: 503 });
  await using run = await start({ on: fake, manual: true, alive: true, startMs });
  const tick = (): boolean => (nowMs = run.clock?.now() ?? 0) > 0;
  await run.until(() => tick() && run.journal('rules_changed').length === 1, 0);
  fake.publish(fake.makePost('flood meanwhile', startMs + 1000));
  await run.until(() => tick() && run.journal('gap').length === 2, 500);
  expect(collected(run)).toEqual(['flood: flood meanwhile']);
  expect(run.journal('gap')[1]).toMatchObject({ sinceMs: startMs, count: 1, filledAtMs: expect.any(Number) });
});

test('a token that is refused at first: what is missed until it is taken is a gap of the next start', async () => {
  await using run = await start({ manual: true, token: 'wrong', startMs });
  expect(await run.ended).toMatchObject({ code: 'unauthorized' });
  expect(JSON.parse(run.cursor() ?? '{}')).toMatchObject({ aliveAtMs: startMs });
});

test('rules that X takes late: what the stream did not bring until then is a gap of those whose rules are new', async () => {
  let nowMs = startMs;
  await using fake = await startFakeX({ now: () => nowMs });
  const [flood, other] = [crisis('flood', ['flood']), crisis('other', ['fire'])];
  await using run = await start({ on: fake, manual: true, alive: true, startMs, events: [flood, other] });
  const tick = (): boolean => (nowMs = run.clock?.now() ?? 0) > 0;
  await run.until(() => tick() && fake.connected() && run.journal('connected').length === 1, 0);
  const opened = fake.opened();
  fake.answer('rules', { status: 503 }, { status: 503 });
  run.feed.set([{ ...flood, rule: { any: ['deluge'] }, version: 2 }, other]);
  await run.until(() => tick() && run.journal('rules_changed').some(({ cause }) => cause !== undefined), 0);
  fake.publish(fake.makePost('a deluge that nobody is asked for yet', nowMs));
  fake.publish(fake.makePost('a fire', nowMs));
  await run.until(() => tick() && run.journal('gap').length === 2, 500);
  expect(collected(run)).toEqual(['flood: a deluge that nobody is asked for yet', 'other: a fire']);
  expect(run.journal('gap')[0]).toMatchObject({ sinceMs: startMs, cause: 'X did not take the rules' });
  expect(run.journal('gap')[1]).toMatchObject({ count: 1, filledAtMs: expect.any(Number) });
  expect(fake.opened()).toBe(opened);
});

test('a rule that search refuses is named in the gap, and the other events are asked for all the same', async () => {
  let nowMs = startMs + 10 * minuteMs;
  await using fake = await startFakeX({ now: () => nowMs });
  fake.publish(fake.makePost('fire', startMs + minuteMs));
  fake.answer('search', { status: 400, body: { title: 'Invalid Request' } });
  await using run = await start({ on: fake, manual: true, alive: true, startMs: nowMs, cursor: cursorOf('flood', 'other'),
    events: [crisis('flood', ['flood']), crisis('other', ['fire'])] });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 2; }, 1000);
  expect(collected(run)).toEqual(['other: fire']);
  expect(run.journal('gap')[1]).toMatchObject({ count: 1, detail: { notFilled: [expect.stringMatching(/^flood: .*Invalid Request/)] } });
  expect(run.journal('gap')[1]?.filledAtMs).toBeUndefined();
});
