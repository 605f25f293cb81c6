import { event, run } from '#test/world/bluesky-run.ts';
import { startStrangeServer } from '#test/world/certificate.ts';

test('a name that DNS does not know is no tight loop, is told once, and the next host is used', async () => {
  await using r = await run({ urls: ['ws://there-is-no-such-host.invalid/subscribe'] });
  const since = r.clock.now();
  await r.until(() => r.journal('disconnected').length === 1, 100);
  expect(r.journal('disconnected')[0]?.cause).toMatch(/ENOTFOUND|EAI_AGAIN/);
  await r.until(() => r.clock.now() - since > 120_000, 1000);
  expect(r.journal('disconnected')).toHaveLength(1);
});

test('a certificate that nobody vouches for is refused with its reason, and asked again no sooner than after 10 s', async () => {
  await using strange = await startStrangeServer();
  await using r = await run({ urls: [`wss://${strange.address}/subscribe`] });
  await r.until(() => r.journal('disconnected').length === 1, 100);
  expect(r.journal('disconnected')[0]).toMatchObject({ cause: expect.stringMatching(/^certificate not trusted \(.*SELF_SIGNED/), detail: { waitMs: expect.any(Number) } });
  expect(Number(r.journal('disconnected')[0]?.detail?.['waitMs'])).toBeGreaterThanOrEqual(10_000);
  expect(strange.requests()).toBe(0);
});

test('a redirect, to itself or elsewhere, is not followed', async () => {
  await using r = await run({ hosts: 2 });
  const [first, second] = r.hosts;
  await r.until(() => first?.connected() === 1);
  r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 1);
  first?.refuse(302, 50, { location: first.url.replace('ws:', 'http:') });
  first?.break();
  await r.until(() => second?.connected() === 1, 100);
  const before = first?.attempts.length ?? 0;
  second?.refuse(308, 50, { location: second.url });
  second?.break();
  await r.until(() => r.journal('disconnected').some(({ cause }) => cause?.includes('302')), 500);
  await r.until(() => r.journal('disconnected').some(({ cause }) => cause?.includes('308')), 500);
  expect((first?.attempts.length ?? 0) - before).toBeLessThan(5);
});

test('a message that never ends is passed over by a second, with the gap on record, and the stream goes on', async () => {
  await using r = await run();
  const [host] = r.hosts;
  await r.until(() => host?.connected() === 1);
  r.network.post({ text: 'flood before' });
  await r.until(() => r.posts().length === 1);
  await r.until(() => r.cursor() !== undefined, 500);
  host?.ignoreLimits(true);
  r.network.raw(Buffer.alloc(9 * 1024 * 1024, 'x'));
  await r.until(() => r.journal('disconnected').length === 1, 50);
  expect(r.journal('disconnected')[0]?.cause).toBe('a message larger than we take');
  await r.clock.advance(5000);
  const after = r.network.post({ text: 'flood after' });
  await r.until(() => r.posts().some((one) => one.startsWith(after.id)), 200);
  expect(r.journal('gap')[0]).toMatchObject({ detail: { notFilled: 'what we cannot take was passed over' } });
});

test.each([['behind', -5], ['ahead', 5]])('a clock of ours that is five hours %s the network loses nothing and keeps an event to its time', async (_, hours) => {
  await using r = await run({ skewMs: hours * 3_600_000, events: [event('flood', ['flood'])] });
  await r.until(() => r.hosts[0]?.connected() === 1);
  const first = r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 1);
  await r.until(() => r.cursor() !== undefined, 500);
  r.setEvents([event('flood', ['flood']), event('fire', ['fire'])]);
  await r.until(() => r.journal('rules_changed').length === 2);
  const second = r.network.post({ text: 'fire' });
  r.hosts[0]?.break();
  const third = r.network.post({ text: 'flood and fire' });
  await r.until(() => r.posts().some((post) => post.startsWith(third.id)), 100);
  expect(new Set(r.posts())).toEqual(new Set([`${first.id} flood`, `${second.id} fire`, `${third.id} flood,fire`]));
  expect(r.dead()).toEqual([]);
});

test('the past of an event that is paused before it was read is read when it goes on', async () => {
  await using r = await run({ events: [], before: (network) => void network.post({ text: 'long ago' }) });
  const startMs = r.clock.now() + 1;
  await r.clock.advance(1000);
  const past = r.network.post({ text: 'fire' });
  await r.clock.advance(60_000);
  const fire = event('fire', ['fire'], { start: new Date(startMs).toISOString() });
  r.hosts[0]?.refuse(503, 2); // of the stream, and of the past
  r.setEvents([fire]);
  await r.until(() => r.hosts[0]?.attempts.length === 2);
  r.setEvents([]);
  await r.until(() => r.journal('rules_changed').length === 2);
  r.setEvents([{ ...fire, version: 3 }]);
  await r.until(() => (r.hosts[0]?.connected() ?? 0) >= 1, 500);
  r.network.post({ text: 'time goes on' });
  await r.until(() => r.journal('gap').some(({ eventId, filledAtMs }) => eventId === 'fire' && filledAtMs !== undefined), 200);
  expect(r.posts()).toContain(`${past.id} fire`);
});
