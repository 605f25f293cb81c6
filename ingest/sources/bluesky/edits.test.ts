import { event, run, type Run } from '#test/world/bluesky-run.ts';

const minuteMs = 60_000;
const beganMs = Date.UTC(2026, 10, 24, 12);

/** Texts of what came in, with the events that took them. */
const collected = (r: Run): string[] => r.items.flatMap((item) => item.kind === 'post'
  ? [`${item.events.map(({ id }) => id).join()}: ${JSON.parse(Buffer.from(item.body).toString('utf8')).commit.record.text}`] : []);

test('an edit made while the collector is away: what is replayed of before is the old rule\'s, too', async () => {
  await using first = await run({ events: [event('e', ['flood'])] });
  await first.until(() => first.hosts[0]?.connected() === 1);
  first.network.post({ text: 'flood seen' });
  await first.until(() => first.cursor() !== undefined && first.posts().length === 1, 500);
  await first.stop();
  await first.clock.advance(minuteMs);
  for (const text of ['flood before the edit', 'rain before the edit']) first.network.post({ text });
  await first.clock.advance(minuteMs);
  const editedAtMs = first.clock.now();
  for (const text of ['flood after the edit', 'deluge after the edit']) first.network.post({ text });
  await first.clock.advance(minuteMs);
  await using second = await run({ after: first, cursor: first.cursor(), earlier: [{ untilMs: editedAtMs, events: [event('e', ['flood'])] }],
    events: [event('e', ['deluge'], { version: 2 })] });
  await second.until(() => collected(second).length === 3);
  expect(collected(second)).toEqual(['e: flood seen', 'e: flood before the edit', 'e: deluge after the edit']);
  second.network.post({ text: 'flood of now' });
  second.network.post({ text: 'deluge of now' });
  await second.until(() => collected(second).length === 4);
  expect(collected(second)[3]).toBe('e: deluge of now');
});

test('what an event missed before it was paused is taken when the network replays it; nothing of the pause is', async () => {
  await using first = await run({ events: [event('a', ['flood']), event('b', ['fire'])] });
  await first.until(() => first.hosts[0]?.connected() === 1);
  first.network.post({ text: 'fire seen' });
  await first.until(() => first.cursor() !== undefined, 500);
  await first.stop();
  await first.clock.advance(minuteMs);
  first.network.post({ text: 'flood before the pause' });
  await first.clock.advance(minuteMs);
  const pausedAtMs = first.clock.now();
  first.network.post({ text: 'flood in the pause' });
  first.network.post({ text: 'fire in the pause' });
  await using second = await run({ after: first, cursor: first.cursor(), events: [event('b', ['fire'])],
    earlier: [{ untilMs: pausedAtMs, events: [event('a', ['flood']), event('b', ['fire'])] }] });
  await second.until(() => collected(second).length === 3);
  expect(collected(second)).toEqual(['b: fire seen', 'a: flood before the pause', 'b: fire in the pause']);
});

test('an event that is made while the network is not to be had misses nothing: the first connection asks for what was', async () => {
  await using r = await run({ async before(network, clock) {
    network.post({ text: 'flood long before' });
    await clock.advance(minuteMs);
  } });
  await r.hosts[0]?.down();
  await r.until(() => r.journal('disconnected').length > 0, 100);
  r.network.post({ text: 'flood meanwhile' });
  await r.clock.advance(2000);
  await r.hosts[0]?.up();
  await r.until(() => collected(r).length === 1, 500);
  expect(collected(r)).toEqual(['flood: flood meanwhile']);
  const [gap] = r.journal('gap');
  expect(gap).toMatchObject({ filledAtMs: expect.any(Number) });
  expect(gap?.sinceMs).toBeGreaterThanOrEqual(beganMs + minuteMs);
  expect(gap?.sinceMs).toBeLessThan(beganMs + minuteMs + 5000);
});
