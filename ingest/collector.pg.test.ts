import { jest } from '@jest/globals';
import { systemClock, type Clock } from '#core/clock.ts';
import { decodeEnvelope } from '#core/contract/envelope.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { WatershedError } from '#core/errors.ts';
import { openFeeds } from '#core/events/feed.ts';
import { createOutbox } from '#core/events/outbox.ts';
import { createRegistry, type Registry } from '#core/events/registry.ts';
import { topics, type Log } from '#core/log/log.ts';
import { createPostgresLog } from '#core/log/postgres.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics, type Metrics } from '#core/metrics.ts';
import { runTogether } from '#core/service.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { createFakeBluesky } from '#test/world/bluesky.ts';
import { createCollector } from './collector.ts';
import { databaseCursors, readCollectors } from './cursor.ts';
import { blueskySource } from './sources/bluesky/bluesky.ts';
import type { Source, SourceItem } from './sources/source.ts';

let postgres: TestPostgres;
let database: Database;
let log: Log;
let registry: Registry;
const clock = systemClock;
jest.setTimeout(90_000);

beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);
afterAll(() => postgres.stop());

beforeEach(async () => {
  database = openDatabase(await postgres.createDatabase(), { max: 8 });
  await migrate(database);
  log = createPostgresLog(database, clock);
  for (const topic of topics) await log.ensureTopic(topic, topic === 'posts' ? 2 : 1);
  registry = createRegistry({ database, clock });
});
afterEach(async () => {
  await log[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function recordsOf(topic: string): Promise<string[]> {
  const all: string[] = [];
  for (let partition = 0; partition < await log.partitions(topic); partition++) {
    for (let from = (await log.bounds(topic, partition)).earliest; ;) {
      const chunks = await log.read(topic, partition, from, { maxBytes: 1e8, waitMs: 0 });
      const last = chunks.at(-1);
      if (last === undefined) break;
      for (const { lines } of chunks) all.push(...Buffer.from(lines).toString('utf8').split('\n').filter((line) => line !== ''));
      from = last.baseOffset + BigInt(last.count);
    }
  }
  return all;
}

async function until(condition: () => Promise<boolean>, withinMs = 15_000): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  while (!await condition()) {
    if (performance.now() > giveUpAt) throw new Error(`it did not come: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

interface Setup { readonly usedDatabase?: Database; readonly source: Source; readonly usedLog?: Log; readonly metrics?: Metrics; readonly usedClock?: Clock; readonly holder?: string }

/** Runs a collector, the outbox and the feed, as a program would, until it is disposed. */
async function runCollector({ source, usedLog = log, metrics = createMetrics(), usedClock = clock, holder = 'test', usedDatabase = database }: Setup): Promise<AsyncDisposable> {
  const feeds = await openFeeds({ database, registry, clock });
  const stop = new AbortController();
  const running = runTogether([
    feeds.service, createOutbox({ database, log, clock }),
    createCollector({
      source, account: '', feed: feeds.of(source.name), log: usedLog, database: usedDatabase, cursors: databaseCursors(database), holder,
      clock: usedClock, metrics, logger: silentLogger,
    }),
  ], stop.signal);
  running.catch(() => undefined);
  return {
    async [Symbol.asyncDispose]() {
      stop.abort(new Error('the test is over'));
      await running;
    },
  };
}

/** A source that gives these items, then waits for the signal. `seen` gets the cursors it began with. */
function listSource(items: readonly SourceItem[], seen: (string | undefined)[] = []): Source {
  return {
    name: 'x',
    async *read({ cursor, signal }) {
      seen.push(cursor);
      yield* items;
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
    },
  };
}

const post = (text: string): SourceItem => ({
  kind: 'post', source: 'x', format: 'x.v2', events: [{ id: 'e', matched: [text] }], receivedAtMs: 0, body: Buffer.from(JSON.stringify({ text })),
});

test('an event made by the API, posts of the network matched and in the log, a changed keyword within 2 s, a delete as a record', async () => {
  const network = createFakeBluesky({ seed: 3 });
  await using host = await network.host();
  const metrics = createMetrics();
  await using _run = await runCollector({
    metrics,
    source: blueskySource({ urls: [host.url], clock, random: () => 0, resolveHandle: (handle) => network.resolveHandle(handle) }),
  });
  const event = await registry.create({ name: 'Boulder flood', sources: ['bluesky'], rule: { any: ['flood'] } }, 'admin');
  await until(async () => host.connected() === 1);
  const first = network.post({ text: 'A flood 🌊\u2028 here' });
  network.post({ text: 'a fire here' });
  await until(async () => (await recordsOf('posts')).length === 1);
  const { header, post: body } = decodeEnvelope(Buffer.from((await recordsOf('posts'))[0] ?? ''));
  expect(header).toMatchObject({ source: 'bluesky', format: 'bluesky', events: [{ id: 'boulder-flood', matched: ['flood'] }] });
  expect(body.toString('utf8')).toBe(first.json);

  await registry.edit(event.id, { rule: { any: ['fire'] } }, 'admin');
  const changedAt = performance.now();
  // Posts go on and on; the first that the new rule takes tells when it came in force.
  await until(async () => {
    network.post({ text: 'another fire' });
    return (await recordsOf('posts')).length > 1;
  });
  expect(performance.now() - changedAt).toBeLessThan(2000);
  network.delete(first.id);
  await until(async () => (await recordsOf('tombstones')).length === 1);
  expect(JSON.parse((await recordsOf('tombstones'))[0] ?? '')).toMatchObject({ source: 'bluesky', kind: 'post', id: first.id, state: 'gone', why: 'deleted' });
  await until(async () => (await recordsOf('events')).length === 2);
  expect((await recordsOf('events')).map((line) => JSON.parse(line))).toMatchObject([
    { event_id: 'boulder-flood', version: 1, action: 'created', changed_by: 'admin', rule: '{"any":["flood"]}' },
    { event_id: 'boulder-flood', version: 2, action: 'edited', rule: '{"any":["fire"]}' },
  ]);
  const kinds = (await recordsOf('journal')).map((line) => JSON.parse(line).kind);
  expect(kinds).toEqual(['rules_changed', 'connected', 'rules_changed']);
  await until(async () => (await readCollectors(database))[0]?.lagSeconds != null);
  expect((await readCollectors(database))[0]).toMatchObject({ source: 'bluesky', state: 'connected', message: null });
  expect(await metrics.text()).toContain('watershed_collector_connections{source="bluesky"} 1');
});

test('the cursor is stored behind what is in the log: a log that fails loses nothing', async () => {
  const appended: string[] = [];
  let failures = 0;
  const failing: Log = { ...log, kind: log.kind, append: async (topic, partition, records) => {
    const [stored] = await database.query<{ cursor: string }>('select cursor from watershed.cursor');
    appended.push(`${topic} ${stored?.cursor ?? 'none'}`);
    if (topic === 'posts' && failures++ < 3) throw new WatershedError('unavailable', 'the log is away');
    return log.append(topic, partition, records);
  } };
  const quick: Clock = { ...clock, sleep: (ms, signal) => clock.sleep(Math.min(ms, 5), signal) };
  const items: SourceItem[] = [post('a'), post('b'), { kind: 'cursor', cursor: 'after b' }];
  await using _run = await runCollector({ source: listSource(items), usedLog: failing, usedClock: quick });
  await until(async () => (await recordsOf('posts')).length === 2);
  await until(async () => (await database.query<{ cursor: string }>('select cursor from watershed.cursor'))[0]?.cursor === 'after b');
  expect(appended.every((entry) => entry.endsWith('none'))).toBe(true);
  expect(failures).toBe(4);
});

test('peers g2 6: a log whose server is killed in the middle keeps what it had, and gets what was on its way', async () => {
  let given = 0;
  const source: Source = { name: 'x', async *read({ cursor, signal }) {
    for (given = Number(cursor ?? 0); given < 3000 && !signal.aborted; given++) {
      yield post(`number ${given}`);
      yield { kind: 'cursor', cursor: String(given + 1) };
      if (given % 20 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
  } };
  await using _running = await runCollector({ source });
  await until(async () => given > 500 && (await recordsOf('posts')).length > 0);
  await postgres.kill();
  await postgres.restart();
  const texts = async (): Promise<Set<string>> => new Set((await recordsOf('posts').catch(() => [])).map((record) => decodeEnvelope(Buffer.from(record)).post.toString()));
  let found = new Set<string>();
  await until(async () => (found = await texts()).size === 3000, 60_000);
  expect([...found].every((text) => /"number \d+"/.test(text))).toBe(true);
});

test('peers g2 5: the one post of a small event is in the log a moment later, though nothing comes behind it', async () => {
  const network = createFakeBluesky({ seed: 4 });
  await using host = await network.host();
  await using _run = await runCollector({ source: blueskySource({ urls: [host.url], clock, random: () => 0, resolveHandle: async () => undefined }) });
  await registry.create({ name: 'Small', sources: ['bluesky'], rule: { any: ['rarely'] } }, 'admin');
  await until(async () => host.connected() === 1);
  const only = network.post({ text: 'rarely said' });
  await until(async () => (await recordsOf('posts')).length === 1);
  expect(decodeEnvelope(Buffer.from((await recordsOf('posts'))[0] ?? '')).post.toString('utf8')).toBe(only.json);
});

test('while the log is away the reader is held back at a batch', async () => {
  let taken = 0;
  const gate = Promise.withResolvers<void>();
  const slow: Log = { ...log, kind: log.kind, append: async (topic, partition, records) => {
    await gate.promise;
    return log.append(topic, partition, records);
  } };
  const source: Source = { name: 'x', async *read({ signal }) {
    while (!signal.aborted && taken < 20_000) {
      taken++;
      yield post('x'.repeat(1000));
      if (taken % 100 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
  } };
  const ageless: Clock = { ...clock, timer: () => () => undefined }; // batches are closed by their size alone
  const run = await runCollector({ source, usedLog: slow, usedClock: ageless });
  await until(async () => taken > 300);
  let before = -1;
  await until(async () => {
    const same = before === taken;
    before = taken;
    return same;
  });
  expect(taken).toBeLessThan(600); // 1 MiB of records of some 2.2 kB
  gate.resolve();
  await until(async () => taken > 2000);
  await run[Symbol.asyncDispose]();
  const records = await recordsOf('posts');
  expect(records.length).toBeGreaterThan(2000);
  expect(Math.abs(records.length - taken)).toBeLessThanOrEqual(1); // the one that was just asked for
});

test('one process reads a source; another takes over with the cursor when it stops', async () => {
  const seen: (string | undefined)[] = [];
  const first = await runCollector({ source: listSource([post('a'), { kind: 'cursor', cursor: 'one' }], seen), holder: 'first' });
  await until(async () => (await database.query('select from watershed.cursor')).length === 1);
  let asked = 0;
  const counting: Database = { ...database, query: (statement, parameters) => {
    if (statement.includes('watershed.lease')) asked++;
    return database.query(statement, parameters);
  } };
  const second = await runCollector({ source: listSource([post('b')], seen), holder: 'second', usedDatabase: counting });
  await until(async () => asked >= 3);
  expect(seen).toEqual([undefined]);
  await first[Symbol.asyncDispose]();
  await until(async () => seen.length === 2);
  expect(seen).toEqual([undefined, 'one']);
  await second[Symbol.asyncDispose]();
});

test('a source that needs a person is told in the journal and tried again; the rest goes on', async () => {
  let attempts = 0;
  const source: Source = { name: 'x', async *read() {
    attempts++;
    yield post('before');
    throw new WatershedError('unauthorized', 'X does not take the token');
  } };
  const quick: Clock = { ...clock, sleep: (ms, signal) => clock.sleep(Math.min(ms, 5), signal) };
  await using _run = await runCollector({ source, usedClock: quick });
  await until(async () => attempts >= 3);
  // It begins anew all the time here: state and reason are of one look.
  const seen: (string | null | undefined)[] = [];
  await until(async () => {
    const [collector] = await readCollectors(database);
    if (collector?.state === 'failed') seen.push(collector.message);
    return seen.length > 0;
  });
  expect(seen[0]).toBe('X does not take the token');
  expect((await recordsOf('journal')).map((line) => JSON.parse(line))[0]).toMatchObject({ kind: 'disconnected', cause: 'X does not take the token', source: 'x' });
  expect((await recordsOf('posts')).length).toBeGreaterThanOrEqual(2);
});

test('our own corruption stops the program', async () => {
  const source: Source = { name: 'x', async *read() {
    yield post('before');
    throw new WatershedError('corrupt', 'the stored cursor is none of ours');
  } };
  const run = await runCollector({ source });
  await until(async () => (await recordsOf('journal')).length === 1);
  await expect(run[Symbol.asyncDispose]()).rejects.toMatchObject({ code: 'corrupt' });
});

test('what no record can hold is set aside with the beginning of its bytes; so is what cannot be understood', async () => {
  const big = Buffer.from(`{"text":"${'y'.repeat(8 * 1024 * 1024)}"}`);
  await using _run = await runCollector({ source: listSource([
    { kind: 'post', source: 'x', format: 'x.v2', events: [], receivedAtMs: 0, body: big },
    { kind: 'dead', reason: 'it is not JSON', bytes: Buffer.from([0xff, 0x0a, 0x00]), bytesLength: 99 },
    post('fits'),
  ]) });
  await until(async () => (await recordsOf('posts')).length === 1);
  await until(async () => (await recordsOf('quarantine')).length === 2);
  const rows = (await recordsOf('quarantine')).map((line) => JSON.parse(line));
  expect(rows[0]).toMatchObject({ component: 'collector x', topic: 'posts', bytes_length: big.length });
  expect(Buffer.from(rows[0].bytes, 'base64').equals(big.subarray(0, 1024 * 1024))).toBe(true);
  expect(rows[1]).toMatchObject({ reason: 'it is not JSON', bytes: '/woA', bytes_length: 99 });
});

test('a source without a connection of its own, like the replay, counts as connected once it delivers', async () => {
  await using _running = await runCollector({ source: listSource([post('first')]) });
  await until(async () => (await recordsOf('posts')).length === 1);
  await until(async () => (await readCollectors(database))[0]?.state === 'connected');
});

test('every message has a fate that is counted, and lag grows while nothing comes', async () => {
  const metrics = createMetrics();
  const readUntilMs = clock.now() - 5000;
  await using _running = await runCollector({ metrics, source: listSource([
    post('kept'), { kind: 'dead', reason: 'it is not JSON', bytes: Buffer.from('x') },
    { kind: 'tombstone', source: 'x', what: 'post', id: '1', state: 'gone', why: 'deleted' },
    { kind: 'cursor', cursor: 'c', readUntilMs },
  ]), usedClock: { ...clock, sleep: (ms, signal) => clock.sleep(Math.min(ms, 20), signal) } });
  await until(async () => (await metrics.value('watershed_received_messages_total', { source: 'x', fate: 'tombstone' })) === 1);
  for (const fate of ['kept', 'dead']) expect(await metrics.value('watershed_received_messages_total', { source: 'x', fate })).toBe(1);
  const lag = (): Promise<number> => metrics.value('watershed_collector_lag_seconds', { source: 'x' }).then((value) => value ?? 0);
  await until(async () => await lag() >= 5);
  const before = await lag();
  await until(async () => await lag() > before);
});

test('a collector that no process runs any more is shown as stopped, not as connected', async () => {
  const cursors = databaseCursors(database);
  await cursors.report('bluesky', '', { state: 'connected', readUntilMs: clock.now() });
  await cursors.report('x', '', { state: 'connected', readUntilMs: clock.now() });
  await cursors.report('x', '', { state: 'disconnected', message: 'no active event', readUntilMs: null });
  expect((await readCollectors(database)).map(({ state, lagSeconds }) => [state, lagSeconds === null])).toEqual([['connected', false], ['disconnected', true]]);
  await database.execute("update watershed.collector set updated_at = now() - interval '31 seconds'");
  expect((await readCollectors(database)).map(({ state }) => state)).toEqual(['stopped', 'stopped']);
});

test('a source that an active event asks for and nobody reads is shown, with what it needs', async () => {
  expect(await readCollectors(database)).toEqual([]);
  const made = await registry.create({ name: 'Flood', sources: ['x', 'bluesky'], rule: { any: ['flood'] } }, 'admin');
  await databaseCursors(database).report('bluesky', '', { state: 'starting' });
  expect((await readCollectors(database)).map(({ source, state, message }) => [source, state, message])).toEqual([
    ['bluesky', 'starting', null], ['x', 'stopped', 'no process reads this source: X needs WATERSHED_X_BEARER_TOKEN']]);
  await registry.setStatus(made.id, 'paused', 'admin');
  expect((await readCollectors(database)).map(({ source }) => source)).toEqual(['bluesky']);
});

test('a collector that nobody asks for is behind of nothing; one that cannot reach its network is behind since it was asked', async () => {
  const metrics = createMetrics();
  const network = createFakeBluesky({ seed: 6 });
  await using host = await network.host();
  await host.down();
  await using _run = await runCollector({ metrics, source: blueskySource({ urls: [host.url], clock, random: () => 0, resolveHandle: async () => undefined }) });
  const lag = (): Promise<number | undefined> => metrics.value('watershed_collector_lag_seconds', { source: 'bluesky' });
  await until(async () => await lag() === 0);
  expect((await readCollectors(database))[0]).toMatchObject({ state: 'starting', message: 'no active event asks for this source', lagSeconds: null });
  await registry.create({ name: 'Flood', sources: ['bluesky'], rule: { any: ['flood'] } }, 'admin');
  await until(async () => (await readCollectors(database))[0]?.state === 'disconnected');
  await until(async () => ((await readCollectors(database))[0]?.lagSeconds ?? 0) > 1 && (await lag() ?? 0) > 1);
  await host.up();
  await until(async () => (await readCollectors(database))[0]?.state === 'connected', 60_000);
});

test('while the database is away a collector waits for a second or two, not for a minute', async () => {
  let failures = 0;
  const flaky: Database = { ...database, query: (statement, parameters) => {
    if (statement.includes('watershed.lease') && failures++ < 2) throw new WatershedError('unavailable', 'the database cannot be reached');
    return database.query(statement, parameters);
  } };
  const waits: number[] = [];
  const usedClock: Clock = { ...clock, sleep: (ms, signal) => { waits.push(ms); return clock.sleep(Math.min(ms, 5), signal); } };
  await using _running = await runCollector({ source: listSource([post('first')]), usedDatabase: flaky, usedClock });
  await until(async () => (await recordsOf('posts')).length === 1);
  expect(waits.slice(0, 2)).toEqual([1000, 2000]);
});
