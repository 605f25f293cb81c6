import { jest } from '@jest/globals';
import { crisis, start } from '#test/world/x-run.ts';
import { startFakeX } from '#test/world/x.ts';

jest.setTimeout(20_000);

const hourMs = 3600_000;
const startMs = Date.UTC(2026, 10, 20, 12);
const iso = (ms: number): string => new Date(ms).toISOString();
const idsOf = (bodies: readonly string[]): string[] => bodies.map((body) => JSON.parse(body).data.id);

test('X bills every post: an event is asked for from its start to its end, and not a moment more', async () => {
  const quake = crisis('quake', ['quake'], { start: iso(startMs + 60_000), end: iso(startMs + 120_000) });
  await using run = await start({ manual: true, alive: true, startMs, events: [crisis('flood', ['flood']), quake] });
  const { fake, clock } = run;
  const now = (): number => clock?.now() ?? 0;
  await run.until(() => fake.connected());
  expect(fake.rules.map(({ tag }) => tag)).toEqual(['watershed:flood/0']);
  await run.until(() => fake.rules.length === 2, 1000);
  expect(now()).toBeGreaterThanOrEqual(startMs + 60_000);
  fake.publish(fake.makePost('quake'));
  await run.until(() => run.posts().length === 1, 0);
  await run.until(() => fake.rules.length === 1, 1000);
  expect(now()).toBeGreaterThanOrEqual(startMs + 120_000);
  expect(fake.rules.map(({ tag }) => tag)).toEqual(['watershed:flood/0']);
  expect(fake.opened()).toBe(1);
});

test('an event that is over when it is made gets what search still has of it, without a stream', async () => {
  const over = crisis('flood', ['flood'], { start: iso(startMs - 3 * hourMs), end: iso(startMs - hourMs) });
  let nowMs = startMs;
  await using fake = await startFakeX({ now: () => nowMs });
  const posts = [4, 2, 0.5].map((hours) => fake.makePost('flood', startMs - hours * hourMs));
  for (const post of posts) fake.publish(post);
  await using run = await start({ on: fake, manual: true, startMs, events: [over] });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 2; }, 1000);
  expect(idsOf(run.posts())).toEqual([posts[1]?.id]);
  expect(run.journal('gap')[1]).toMatchObject({ eventId: 'flood', sinceMs: startMs - 3 * hourMs, untilMs: startMs - hourMs, count: 1, filledAtMs: expect.any(Number) });
  expect(fake.opened()).toBe(0);
});

test('a start that is moved further into the past asks for what is new of it', async () => {
  const first = crisis('flood', ['flood'], { start: iso(startMs - hourMs) });
  let nowMs = startMs;
  await using fake = await startFakeX({ now: () => nowMs });
  const posts = [0.5, 1.5].map((hours) => fake.makePost('flood', startMs - hours * hourMs));
  for (const post of posts) fake.publish(post);
  await using run = await start({ on: fake, manual: true, alive: true, startMs, events: [first] });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 2; }, 1000);
  expect(idsOf(run.posts())).toEqual([posts[0]?.id]);
  run.feed.set([{ ...first, version: 2, start: iso(startMs - 2 * hourMs) }]);
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 4; }, 1000);
  expect(run.journal('gap')[3]).toMatchObject({ sinceMs: startMs - 2 * hourMs, untilMs: startMs - hourMs, count: 1 });
  expect(idsOf(run.posts())).toEqual([posts[0]?.id, posts[1]?.id]);
});

test('a gap whose filling a restart cuts short is filled by the next start', async () => {
  let nowMs = startMs;
  await using fake = await startFakeX({ now: () => nowMs });
  let cursor: string | undefined;
  let lostId = '';
  {
    await using run = await start({ on: fake, manual: true, alive: true, startMs });
    await run.until(() => fake.connected() && run.journal('connected').length === 1);
    fake.end();
    const lost = fake.makePost('flood', run.clock?.now());
    lostId = lost.id;
    fake.publish(lost);
    await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').length === 1; }, 100);
    const told = run.items.length;
    await run.until(() => run.items.slice(told).some(({ kind }) => kind === 'cursor'), 500);
    cursor = run.cursor(); // as a SIGKILL leaves it, before the search
    expect(idsOf(run.posts())).not.toContain(lostId);
  }
  nowMs = startMs + hourMs;
  await using run = await start({ on: fake, manual: true, alive: true, startMs: nowMs, ...(cursor === undefined ? {} : { cursor }) });
  await run.until(() => { nowMs = run.clock?.now() ?? 0; return run.journal('gap').filter(({ filledAtMs }) => filledAtMs !== undefined).length === 2; }, 1000);
  expect(idsOf(run.posts())).toContain(lostId);
  expect(run.journal('gap').map(({ cause }) => cause)).toContain('closed by X');
  expect(JSON.parse(run.cursor() ?? '').gaps).toEqual([]);
});

test('the second in which a gap ends belongs to it, whatever is cut off from clocks', async () => {
  const oddMs = startMs + 448;
  let nowMs = oddMs;
  await using fake = await startFakeX({ now: () => nowMs });
  await using run = await start({ on: fake, manual: true, alive: true, startMs: oddMs });
  await run.until(() => fake.connected() && run.journal('connected').length === 1, 0);
  fake.end();
  const lost = fake.makePost('flood', nowMs);
  fake.publish(lost);
  const tick = (): number => (nowMs = run.clock?.now() ?? 0);
  await run.until(() => tick() > 0 && run.journal('gap').length === 1, 1);
  await run.until(() => tick() > 0 && run.journal('gap').length === 2, 500);
  expect(idsOf(run.posts())).toContain(lost.id);
});
