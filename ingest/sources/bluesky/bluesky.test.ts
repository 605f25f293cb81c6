import { event, run } from '#test/world/bluesky-run.ts';

const hourMs = 3_600_000;
const silence = 21_000;

test('posts that match are told with their JSON byte for byte, the others counted', async () => {
  await using r = await run({ events: [event('flood', ['flood', '"river rises"']), event('quake', ['earthquake', '地震'])] });
  await r.until(() => r.hosts[0]?.connected() === 1);
  const wanted = [
    r.network.post({ text: 'A FLOOD 🌊 in the valley, the river  rises' }),
    r.network.post({ text: '昨夜の地震と flood', record: { extra: { deep: [1.5, null, '\u2028'] } } }),
  ];
  r.network.post({ text: 'nothing here' });
  r.network.post({ text: 'floods' });
  r.network.other('app.bsky.feed.like');
  r.network.post({ text: 'earthquake', langs: [] });
  await r.until(() => r.posts().length === 3);
  await r.until(() => (r.dropped.get('no match') ?? 0) === 2, 500);
  const posts = r.items.filter((item) => item.kind === 'post');
  expect(posts.map(({ events }) => events)).toEqual([
    [{ id: 'flood', matched: ['flood', '"river rises"'] }],
    [{ id: 'flood', matched: ['flood'] }, { id: 'quake', matched: ['地震'] }],
    [{ id: 'quake', matched: ['earthquake'] }],
  ]);
  expect(posts.slice(0, 2).map(({ body }) => Buffer.from(body).toString('utf8'))).toEqual(wanted.map(({ json }) => json));
  expect(posts.map(({ format, source }) => `${source} ${format}`)).toEqual(Array(3).fill('bluesky bluesky'));
});

test('the network is asked for posts alone, and for no message that the log could not hold', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  const query = r.hosts[0]?.attempts[0]?.query;
  expect(query?.getAll('wantedCollections')).toEqual(['app.bsky.feed.post']);
  expect(Number(query?.get('maxMessageSizeBytes'))).toBeLessThan(8 * 1024 * 1024);
  expect(query?.has('cursor')).toBe(false);
});

test('nothing is connected before the first event asks for it', async () => {
  await using r = await run({ events: [] });
  await r.clock.advance(hourMs);
  expect(r.hosts[0]?.attempts).toEqual([]);
  r.setEvents([event('flood', ['flood'])]);
  await r.until(() => r.hosts[0]?.connected() === 1);
});

test('peers g2 2: a changed keyword is in force with the next message, on the same connection', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  r.network.post({ text: 'fire' });
  const flood = r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 1);
  r.setEvents([event('flood', ['fire'], { version: 2 })]);
  await r.until(() => r.journal('rules_changed').length === 2);
  const fire = r.network.post({ text: 'fire' });
  r.network.post({ text: 'flood' });
  const second = r.network.post({ text: 'Fire!' });
  await r.until(() => r.posts().length === 3);
  expect(r.posts()).toEqual([`${flood.id} flood`, `${fire.id} flood`, `${second.id} flood`]);
  expect(r.hosts[0]?.attempts.length).toBe(1);
});

test('peers g1 1: an event that is paused takes nothing more, and nothing of the pause when it goes on', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  const before = r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 1);
  r.setEvents([]);
  await r.until(() => r.journal('rules_changed').length === 2);
  r.network.post({ text: 'flood in the pause' });
  await r.clock.advance(2000);
  await r.until(() => r.dropped.get('no match') === 1, 500);
  r.setEvents([event('flood', ['flood'], { version: 3 })]);
  await r.until(() => r.journal('rules_changed').length === 3);
  r.hosts[0]?.break(); // the replay rewinds into the pause
  await r.until(() => r.journal('connected').length === 2, 200);
  const after = r.network.post({ text: 'flood' });
  await r.until(() => r.posts().some((post) => post.startsWith(after.id)));
  expect(new Set(r.posts())).toEqual(new Set([`${before.id} flood`, `${after.id} flood`]));
});

test('peers g1 9: deletions and the going of accounts are told, and that they come back', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  const post = r.network.post({ text: 'flood' });
  r.network.delete(post.id);
  r.network.account(post.did, false, 'deactivated');
  r.network.account(post.did, false, 'desynchronized'); // says something of a server
  r.network.account(post.did, true);
  await r.until(() => r.tombstones().length === 3);
  expect(r.tombstones()).toEqual([
    `post ${post.id} gone deleted`, `author ${post.did} gone deactivated`, `author ${post.did} back active`,
  ]);
});

test('a post that is changed is told again', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  const post = r.network.post({ text: 'water' });
  r.network.update(post, 'flood');
  await r.until(() => r.posts().length === 1);
  expect(r.posts()).toEqual([`${post.id} flood`]);
});

test('after a break everything missed is replayed, and the gap is on record as filled', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  const first = r.network.post({ text: 'flood 1' });
  await r.until(() => r.posts().length === 1);
  await r.until(() => r.cursor() !== undefined, 500);
  r.hosts[0]?.break();
  await r.clock.advance(100);
  const missed = r.network.post({ text: 'flood 2' });
  await r.until(() => r.posts().some((post) => post.startsWith(missed.id)), 200);
  const [gap] = r.journal('gap');
  expect(gap).toMatchObject({ sinceMs: first.timeUs / 1000, filledAtMs: expect.any(Number) });
  expect(gap?.cause).toContain('code 1006');
  expect(r.journal('disconnected')).toEqual([expect.objectContaining({ detail: expect.objectContaining({ host: new URL(r.hosts[0]?.url ?? '').host }) })]);
  expect(Number(r.hosts[0]?.attempts[1]?.query.get('cursor'))).toBe(first.timeUs - 5_000_000);
});

test('a silent stream is noticed within 25 seconds', async () => {
  await using r = await run({ hosts: 2 });
  await r.until(() => r.hosts[0]?.connected() === 1);
  r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 1);
  r.hosts[0]?.silence(true);
  const since = r.clock.now();
  await r.until(() => r.hosts[1]?.connected() === 1, 1000);
  expect(r.clock.now() - since).toBeLessThanOrEqual(25_000);
  expect(r.journal('disconnected')[0]?.cause).toContain('silent');
});

test('when a host is gone the next one goes on, rewound further', async () => {
  await using r = await run({ hosts: 2 });
  await r.until(() => r.hosts[0]?.connected() === 1);
  const first = r.network.post({ text: 'flood 1' });
  await r.until(() => r.cursor() !== undefined, 500);
  await r.hosts[0]?.down();
  const missed = r.network.post({ text: 'flood 2' });
  await r.until(() => r.posts().some((post) => post.startsWith(missed.id)), 50);
  expect(Number(r.hosts[1]?.attempts[0]?.query.get('cursor'))).toBe(first.timeUs - 30_000_000);
});

test('a cursor older than the network keeps is moved forward silently: the hole is a gap on record, not filled', async () => {
  await using first = await run();
  await first.until(() => first.hosts[0]?.connected() === 1);
  const seen = first.network.post({ text: 'flood 1' });
  await first.until(() => first.cursor() !== undefined, 500);
  await first.stop();
  first.network.post({ text: 'flood lost' });
  await first.clock.advance(40 * hourMs);
  const kept = first.network.post({ text: 'flood kept' });
  first.network.forgetBefore(kept.timeUs);
  await using second = await run({ after: first, cursor: first.cursor() });
  await second.until(() => second.posts().length === 1);
  expect(second.posts()).toEqual([`${kept.id} flood`]);
  expect(second.journal('gap')).toEqual([{
    kind: 'gap', sinceMs: seen.timeUs / 1000, untilMs: kept.timeUs / 1000, cause: 'not running',
    detail: { notFilled: 'the network replays 36 hours' },
  }]);
});

test('a replay that begins later than asked is a gap as well', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  const first = r.network.post({ text: 'flood 1' });
  await r.until(() => r.cursor() !== undefined, 500);
  await r.hosts[0]?.down();
  await r.clock.advance(silence * 10);
  const late = r.network.post({ text: 'flood 2' });
  r.network.forgetBefore(late.timeUs);
  await r.hosts[0]?.up();
  await r.until(() => r.journal('gap').length === 1, 500);
  expect(r.journal('gap')[0]).toMatchObject({ sinceMs: first.timeUs / 1000, untilMs: late.timeUs / 1000, detail: { notFilled: 'the replay began later than asked' } });
  expect(r.journal('gap')[0]?.filledAtMs).toBeUndefined();
});

test('an event that began before it was followed gets its past, deletions in it included, beside the stream', async () => {
  await using r = await run({
    events: [event('flood', ['flood'])],
    before(network) {
      network.post({ text: 'fire long ago' });
    },
  });
  await r.until(() => r.hosts[0]?.connected() === 1);
  r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 1);
  const startMs = r.clock.now() + 1;
  await r.clock.advance(1000);
  const past = r.network.post({ text: 'fire' });
  const deleted = r.network.post({ text: 'fire, deleted' });
  r.network.delete(deleted.id);
  await r.clock.advance(10 * hourMs);
  r.setEvents([event('flood', ['flood']), event('fire', ['fire'], { start: new Date(startMs).toISOString() })]);
  await r.until(() => r.journal('rules_changed').length === 2);
  const live = r.network.post({ text: 'fire now' });
  await r.until(() => r.journal('gap').some(({ eventId }) => eventId === 'fire'), 200);
  expect(r.posts().filter((post) => post.endsWith('fire')).toSorted()).toEqual(
    [past, deleted, live].map(({ id }) => `${id} fire`).toSorted());
  expect(r.tombstones()).toContain(`post ${deleted.id} gone deleted`);
  expect(r.journal('gap')).toContainEqual({ kind: 'gap', eventId: 'fire', sinceMs: startMs, untilMs: expect.any(Number),
    cause: 'it began before it was followed', filledAtMs: expect.any(Number) });
  // Once is enough: a restart does not ask again.
  const cursor = r.cursor();
  await r.stop();
  await using again = await run({ after: r, cursor, events: [event('fire', ['fire'], { start: new Date(startMs).toISOString() })] });
  await again.until(() => again.journal('connected').length === 1);
  const later = again.network.post({ text: 'fire later' });
  await again.until(() => again.posts().some((post) => post.startsWith(later.id)));
  expect(again.journal('gap').filter(({ eventId }) => eventId !== undefined)).toEqual([]);
});

test('of the past, what the network does not keep is a gap of that event on record', async () => {
  const startMs = Date.UTC(2026, 10, 24);
  let kept = '';
  let keptUs = 0;
  await using r = await run({
    events: [event('fire', ['fire'], { start: new Date(startMs).toISOString() })],
    async before(network, clock) {
      network.post({ text: 'fire lost' });
      await clock.advance(50 * hourMs);
      ({ id: kept, timeUs: keptUs } = network.post({ text: 'fire kept' }));
      network.forgetBefore(keptUs);
      await clock.advance(5000);
    },
  });
  await r.until(() => r.journal('connected').length === 2);
  r.network.post({ text: 'time goes on' });
  await r.until(() => r.journal('gap').filter(({ eventId }) => eventId === 'fire').length === 2, 200);
  expect(r.posts()).toEqual([`${kept} fire`]);
  expect(r.journal('gap').filter(({ eventId }) => eventId === 'fire')).toEqual([
    { kind: 'gap', eventId: 'fire', sinceMs: startMs, untilMs: keptUs / 1000, cause: 'it began before it was followed',
      detail: { notFilled: 'the network replays 36 hours' } },
    { kind: 'gap', eventId: 'fire', sinceMs: keptUs / 1000, untilMs: expect.any(Number), cause: 'it began before it was followed',
      filledAtMs: expect.any(Number) },
  ]);
});

test('posts before the start and after the end of an event are not its', async () => {
  const r = await run({ events: [] });
  await using _run = r;
  const startMs = r.clock.now() + 10_000;
  r.setEvents([event('flood', ['flood'], { start: new Date(startMs).toISOString(), end: new Date(startMs + 10_000).toISOString() })]);
  await r.until(() => r.hosts[0]?.connected() === 1);
  r.network.post({ text: 'flood too early' });
  await r.clock.advance(11_000);
  const within = r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 1);
  await r.clock.advance(10_000);
  r.network.post({ text: 'flood too late' });
  await r.until(() => r.dropped.get('no match') === 2, 500);
  expect(r.posts()).toEqual([`${within.id} flood`]);
});

test('messages that are none are set aside with their bytes, and the stream goes on', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  const post = r.network.post({ text: 'flood' });
  const whole = Buffer.from(post.json);
  const bad: [Buffer, string][] = [
    [Buffer.from('not JSON'), 'it is not JSON'],
    [whole.subarray(0, whole.length - 3), 'it is not JSON'],
    [Buffer.from(post.json.replace('flood', 'fl\xff\xfe'), 'latin1'), 'it is not UTF-8'],
    [Buffer.from('{}'), 'it has no valid did'],
    [Buffer.from(post.json.replace(post.did, 'did:x')), 'it has no valid did'],
    [Buffer.from(post.json.replace(/"time_us":\d+/, '"time_us":"soon"')), 'it has no valid time_us'],
    [Buffer.from(post.json.replace(/"time_us":\d+/, '"time_us":9000000000000000')), 'its time lies more than a day ahead'],
    [Buffer.from(post.json.replace(post.rkey, 'a/b')), 'its post has no valid rkey'],
    [Buffer.from(post.json.replace('"text":"flood"', '"text":["flood"]')), 'its record is not a post with a text'],
    [Buffer.from(post.json.replace('"kind":"commit"', '"kind":"greeting"')), 'a message of an unknown kind: greeting'],
  ];
  for (const [bytes] of bad) r.network.raw(bytes);
  r.network.raw(Buffer.from(post.json.replace('"kind":"commit"', '"kind":"greeting"')));
  const after = r.network.post({ text: 'flood after' });
  await r.until(() => r.posts().some((one) => one.startsWith(after.id)));
  const dead = r.items.filter((item) => item.kind === 'dead');
  expect(dead.map(({ reason }) => reason)).toEqual(bad.map(([, reason]) => reason));
  expect(dead.map(({ bytes }) => Buffer.from(bytes).toString('hex'))).toEqual(bad.map(([bytes]) => bytes.toString('hex')));
  expect(r.hosts[0]?.attempts.length).toBe(1);
});

test('a text cut within an emoji by fragments is whole', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  r.hosts[0]?.fragment(7);
  const post = r.network.post({ text: 'flood 👨‍👩‍👧‍👦 地震 💧' });
  await r.until(() => r.posts().length === 1);
  const [item] = r.items.filter(({ kind }) => kind === 'post');
  expect(item?.kind === 'post' && Buffer.from(item.body).toString('utf8')).toBe(post.json);
});

test('a host that talks garbage is left, and quarantine is not filled with it', async () => {
  await using r = await run({ hosts: 2 });
  await r.until(() => r.hosts[0]?.connected() === 1);
  for (let index = 0; index < 5000; index++) r.network.raw('garbage');
  await r.until(() => r.hosts[1]?.attempts.length === 1, 100);
  // The next one may have begun with the same.
  expect(r.dead().length).toBeGreaterThanOrEqual(100);
  expect(r.dead().length).toBeLessThanOrEqual(200);
  expect(r.journal('disconnected')[0]?.cause).toContain('none of the protocol');
});

test('refusals are waited out by their kind, never in a tight loop, and told once', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  r.network.post({ text: 'flood' });
  await r.until(() => r.cursor() !== undefined, 500);
  r.hosts[0]?.refuse(503, 5);
  r.hosts[0]?.close(1011, 'going down');
  await r.until(() => (r.hosts[0]?.attempts.length ?? 0) >= 6, 1000);
  const waits = (r.hosts[0]?.attempts ?? []).slice(2).map(({ atMs }, index) => atMs - (r.hosts[0]?.attempts[index + 1]?.atMs ?? 0));
  waits.forEach((wait, index) => expect(wait).toBeGreaterThanOrEqual(Math.min(5000 * 2 ** index, 60_000)));
  expect(r.journal('disconnected').map(({ cause }) => cause)).toEqual([
    'connection closed (code 1011)', 'the server answered with HTTP status 503',
  ]);
});

test('HTTP 429 is waited out as long as the server asks', async () => {
  await using r = await run();
  r.hosts[0]?.refuse(429, 1, { 'retry-after': '300' });
  await r.until(() => r.journal('rate_limited').length === 1);
  await r.until(() => r.hosts[0]?.connected() === 1, 5000);
  const [first, second] = r.hosts[0]?.attempts ?? [];
  expect((second?.atMs ?? 0) - (first?.atMs ?? 0)).toBeGreaterThanOrEqual(300_000);
});

test('a server that accepts and closes at once is not asked in a tight loop', async () => {
  await using r = await run();
  r.hosts[0]?.closeAtOnce(true);
  const since = r.clock.now();
  await r.until(() => (r.hosts[0]?.attempts.length ?? 0) >= 9, 1000);
  expect(r.clock.now() - since).toBeGreaterThan(30_000); // 250 ms, doubled eight times
});

test('what is sent twice is told twice, for the table to know, and once it is over the cursor goes on', async () => {
  await using r = await run();
  await r.until(() => r.hosts[0]?.connected() === 1);
  r.hosts[0]?.repeat(2);
  const post = r.network.post({ text: 'flood' });
  await r.until(() => r.posts().length === 2);
  expect(r.posts()).toEqual(Array(2).fill(`${post.id} flood`));
});

test('a consumer that is slow holds the network back, and nothing is lost', async () => {
  const gate = Promise.withResolvers<void>();
  const r = await run({ consume: async (item) => (item.kind === 'post' ? gate.promise : undefined) });
  await using _run = r;
  await r.until(() => r.hosts[0]?.connected() === 1);
  const text = `flood ${'x'.repeat(2000)}`;
  const sent = Array.from({ length: 9000 }, () => r.network.post({ text }).id);
  const sentBytes = r.network.messages.reduce((sum, { bytes }) => sum + bytes.length, 0);
  await r.until(() => r.items.length > 0);
  const readingEnds = performance.now() + 500;
  await r.until(() => performance.now() > readingEnds);
  // Of 22 MB, 2,500 items wait here; the sockets of the system take some more, the rest stays with the network.
  expect(r.hosts[0]?.waitingBytes()).toBeGreaterThan(sentBytes / 3);
  gate.resolve();
  await r.until(() => r.items.length > sent.length);
  await r.until(() => r.items.filter(({ kind }) => kind === 'post').length === sent.length, 100);
  expect(r.posts()).toEqual(sent.map((id) => `${id} flood`));
}, 20_000);
