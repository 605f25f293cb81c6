import fc from 'fast-check';
import { jest } from '@jest/globals';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { systemClock } from '../clock.ts';
import type { CrisisEvent } from '../contract/event.ts';
import { type Database, openDatabase } from '../database/database.ts';
import { migrate } from '../database/migrate.ts';
import { WatershedError } from '../errors.ts';
import { createMemoryLog } from '../log/memory.ts';
import type { Log } from '../log/log.ts';
import { runTogether } from '../service.ts';
import { openFeeds } from './feed.ts';
import { createOutbox } from './outbox.ts';
import { createRegistry, type Registry } from './registry.ts';

jest.setTimeout(30_000);
const clock = systemClock;
let postgres: TestPostgres;
let database: Database;
let registry: Registry;

beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);
afterAll(() => postgres.stop());
beforeEach(async () => {
  database = openDatabase(await postgres.createDatabase(), { max: 6 });
  await migrate(database);
  registry = createRegistry({ database, clock });
});
afterEach(() => database[Symbol.asyncDispose]());

const flood = { name: 'Boulder flood', sources: ['bluesky'], rule: { any: ['flood'] } } as const satisfies Parameters<Registry['create']>[0];
const make = (name: string): Promise<CrisisEvent> => registry.create({ ...flood, rule: { any: ['flood'] }, name }, 'ana');

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAt = performance.now() + 15_000;
  while (!await condition()) {
    if (performance.now() > giveUpAt) throw new Error(`it did not come: ${condition.toString()}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

test('an event has an id that is made once from its name and never used again, also after deletion', async () => {
  expect((await make('Überflutung  am Rhein!')).id).toBe('uberflutung-am-rhein');
  expect((await make('洪水')).id).toBe('event');
  expect((await make('Boulder flood')).id).toBe('boulder-flood');
  await registry.remove('boulder-flood', 'Boulder flood', 'ana');
  expect((await make('Boulder flood')).id).toBe('boulder-flood-2');
  await registry.edit('boulder-flood-2', { name: 'Colorado flood' }, 'ana');
  expect((await registry.get('boulder-flood-2')).name).toBe('Colorado flood');
});

test('peers g1 2, peers g2 7: everything about an event can be changed, and who changed what when is kept', async () => {
  const made = await make('Boulder flood');
  expect(made).toMatchObject({ version: 1, status: 'active', createdBy: 'ana', start: null });
  await registry.edit(made.id, { rule: { any: ['flood', '#boulderflood'] }, start: '2026-11-24T10:00:00+01:00' }, 'ben');
  await registry.setStatus(made.id, 'paused', 'ana');
  await registry.setStatus(made.id, 'resumed', 'ana');
  await registry.setStatus(made.id, 'archived', 'ana');
  await registry.setStatus(made.id, 'restored', 'ana');
  expect(await registry.get(made.id)).toMatchObject({ version: 6, status: 'paused', start: '2026-11-24T09:00:00.000Z', updatedBy: 'ana' });
  await registry.remove(made.id, 'Boulder flood', 'cho');
  const history = await registry.history(made.id);
  expect(history.map(({ version, by, change }) => `${version} ${by} ${change}`)).toEqual([
    '1 ana created', '2 ben edited', '3 ana paused', '4 ana resumed', '5 ana archived', '6 ana restored', '7 cho deleted']);
  expect(history[1]).toMatchObject({ from: { rule: { any: ['flood'] } }, to: { rule: { any: ['flood', '#boulderflood'] } } });
  expect(history[6]?.to).toBeNull();
});

test('a deleted event is gone at once, and deleting asks for its name', async () => {
  const { id } = await make('Boulder flood');
  await expect(registry.remove(id, 'boulder flood', 'ana')).rejects.toMatchObject({ code: 'bad_request' });
  await registry.remove(id, 'Boulder flood', 'ana');
  await expect(registry.get(id)).rejects.toMatchObject({ code: 'not_found' });
  await expect(registry.edit(id, { description: 'x' }, 'ana')).rejects.toMatchObject({ code: 'not_found' });
  await expect(registry.remove(id, 'Boulder flood', 'ana')).rejects.toMatchObject({ code: 'not_found' });
  expect(await registry.list()).toEqual([]);
});

test('two events of one name are refused, whatever the case, and also when both are made at once or by renaming', async () => {
  await make('Boulder flood');
  await expect(make(' boulder  FLOOD ')).rejects.toMatchObject({ code: 'already_exists' });
  const other = await make('Quake');
  await expect(registry.edit(other.id, { name: 'BOULDER flood' }, 'ana')).rejects.toMatchObject({ code: 'already_exists' });
  await registry.edit(other.id, { name: 'QUAKE' }, 'ana');
  const results = await Promise.allSettled(Array.from({ length: 5 }, () => make('Storm')));
  expect(results.filter(({ status }) => status === 'fulfilled').length).toBe(1);
  for (const result of results) if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'already_exists' });
});

test('an edit by two people at once is a conflict, not a silent overwrite', async () => {
  const { id, version } = await make('Boulder flood');
  const both = await Promise.allSettled(['ana', 'ben'].map((who) => registry.edit(id, { description: who }, who, version)));
  expect(both.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  expect(both.find(({ status }) => status === 'rejected')).toMatchObject({ reason: { code: 'conflict', retryable: false } });
  expect((await registry.get(id)).version).toBe(2);
});

test('what changes nothing makes no version; several things at once are one', async () => {
  const { id } = await make('Boulder flood');
  await registry.edit(id, { name: 'Boulder flood', rule: { any: ['flood'] } }, 'ana');
  await registry.setStatus(id, 'resumed', 'ana');
  expect((await registry.get(id)).version).toBe(1);
  await registry.edit(id, { rule: { any: ['water'] }, status: 'paused' }, 'ana');
  expect(await registry.get(id)).toMatchObject({ version: 2, status: 'paused', rule: { any: ['water'] } });
  await registry.edit(id, { status: 'archived' }, 'ana');
  await registry.edit(id, { status: 'active' }, 'ana');
  expect((await registry.history(id)).map(({ change }) => change)).toEqual(['created', 'edited', 'archived', 'restored']);
  expect((await registry.get(id)).status).toBe('active');
});

test.each([
  [{ name: ' ' }, 'needs a name'],
  [{ rule: {} }, 'looks for nothing'],
  [{ rule: { none: ['x'] } }, 'looks for nothing'],
  [{ rule: { any: ['two words'] } }, 'more than one word'],
  [{ start: 'yesterday' }, 'is no instant'],
  [{ start: '2026-01-02T00:00:00Z', end: '2026-01-01T00:00:00Z' }, 'before it starts'],
  [{ description: 'a\u0000b' }, 'control character'],
  [{ name: 'half \ud83d' }, 'control character'],
  [{ rule: { any: ['x'], places: ['TR'] } }, 'carry no place'],
])('%j is refused with a sentence, and changes nothing', async (changes, sentence) => {
  await expect(registry.create({ ...flood, rule: { any: ['flood'] }, ...changes }, 'ana')).rejects.toMatchObject({ code: 'bad_request', message: expect.stringContaining(sentence) });
  expect(await registry.list()).toEqual([]);
  const { id } = await make('Boulder flood');
  await expect(registry.edit(id, changes, 'ana')).rejects.toMatchObject({ code: 'bad_request' });
  expect((await registry.get(id)).version).toBe(1);
});

test('a status that is none for an event as it is, is a conflict', async () => {
  const { id } = await make('Boulder flood');
  await expect(registry.setStatus(id, 'restored', 'ana')).rejects.toMatchObject({ code: 'conflict' });
  await registry.setStatus(id, 'archived', 'ana');
  await expect(registry.setStatus(id, 'resumed', 'ana')).rejects.toMatchObject({ code: 'conflict' });
});

test('history says what the states were, after any sequence of changes', async () => {
  const changes = fc.array(fc.oneof(
    fc.record({ description: fc.string({ maxLength: 20 }).filter((text) => !/\p{Cc}/u.test(text)) }),
    fc.record({ rule: fc.record({ any: fc.array(fc.constantFrom('flood', 'fire', '"two words"'), { minLength: 1, maxLength: 3 }) }) }),
    fc.record({ status: fc.constantFrom('active' as const, 'paused' as const, 'archived' as const) }),
  ), { maxLength: 8 });
  let number = 0;
  await fc.assert(fc.asyncProperty(changes, async (list) => {
    const made = await make(`event ${number++}`);
    const states = [made];
    for (const change of list) states.push(await registry.edit(made.id, change, 'ana'));
    const history = await registry.history(made.id);
    const different = states.filter((state, index) => index === 0 || state.version !== states[index - 1]?.version);
    expect(history.map(({ to }) => to)).toEqual(different.map(({ id: _i, version: _v, createdAt: _c, createdBy: _b, updatedAt: _u, updatedBy: _y, ...state }) => state));
    expect(history.map(({ from }) => from)).toEqual([null, ...history.slice(0, -1).map(({ to }) => to)]);
    expect(history.map(({ version }) => version)).toEqual(history.map((_, index) => index + 1));
  }), { numRuns: 30 });
});

function linesOf(log: Log): Promise<string[]> {
  return log.read('events', 0, 0n, { maxBytes: 1e7, waitMs: 0 })
    .then((chunks) => chunks.flatMap(({ lines }) => Buffer.from(lines).toString('utf8').split('\n').filter((line) => line !== '')));
}

test('the outbox carries every change to the log, in order and at least once, however often the log fails', async () => {
  const log = createMemoryLog();
  await log.ensureTopic('events', 1);
  let calls = 0;
  const failing: Log = { ...log, kind: 'memory', append: async (topic, partition, records) => {
    calls++;
    if (calls % 3 === 1) throw new WatershedError('unavailable', 'the log is away');
    const offset = await log.append(topic, partition, records);
    if (calls % 3 === 2) throw new WatershedError('unavailable', 'the answer was lost');
    return offset;
  } };
  const { id } = await make('Boulder flood');
  const stop = new AbortController();
  const quick = { ...clock, sleep: (ms: number, signal?: AbortSignal) => clock.sleep(Math.min(ms, 5), signal) };
  const running = runTogether([createOutbox({ database, log: failing, clock: quick })], stop.signal);
  for (let index = 0; index < 20; index++) await registry.edit(id, { description: `text ${index}` }, 'ana');
  await until(async () => (await database.query('select from watershed.outbox')).length === 0);
  stop.abort(new Error('the test is over'));
  await running;
  const versions = (await linesOf(log)).map((line) => JSON.parse(line).version);
  const firsts = versions.filter((version, index) => versions.indexOf(version) === index);
  expect(firsts).toEqual(Array.from({ length: 21 }, (_, index) => index + 1));
  const last = JSON.parse((await linesOf(log)).at(-1) ?? '');
  expect(last).toMatchObject({ event_id: 'boulder-flood', name: 'Boulder flood', status: 'active', sources: ['bluesky'], action: 'edited', changed_by: 'ana' });
});

test('a feed tells of a change in another process well within 2 s, and of none that is not its source\'s', async () => {
  const feeds = await openFeeds({ database, registry, clock });
  const x = feeds.of('x');
  const bluesky = feeds.of('bluesky');
  const stop = new AbortController();
  const running = runTogether([feeds.service], stop.signal);
  const elsewhere = openDatabase(postgres.url.replace(/[^/]*$/, (await database.query<{ name: string }>('select current_database() as name'))[0]?.name ?? ''), { max: 2 });
  const other = createRegistry({ database: elsewhere, clock });
  await until(async () => (await database.query("select from pg_stat_activity where query like 'listen%'")).length > 0);
  let told = 0;
  x.changed(stop.signal).then(() => told++, () => undefined);
  const made = await other.create({ ...flood, rule: { any: ['flood'] } }, 'ana');
  const before = performance.now();
  await bluesky.changed(stop.signal);
  expect(performance.now() - before).toBeLessThan(2000);
  expect(bluesky.current().map(({ id }) => id)).toEqual([made.id]);
  await other.setStatus(made.id, 'paused', 'ana');
  await bluesky.changed(stop.signal);
  expect(bluesky.current()).toEqual([]);
  // What changed before it is asked is told at once.
  await other.setStatus(made.id, 'resumed', 'ana');
  await until(() => feeds.of('bluesky').current().length === 1);
  await bluesky.changed(stop.signal);
  expect(told).toBe(0);
  expect(x.current()).toEqual([]);
  stop.abort(new Error('the test is over'));
  await running;
  await elsewhere[Symbol.asyncDispose]();
});

test('how events were followed is told for any time: rules, pauses, sources; not what was deleted, not another source\'s', async () => {
  let nowMs = Date.UTC(2026, 10, 24);
  const stepped = { ...clock, now: () => nowMs };
  const past = createRegistry({ database, clock: stepped });
  const at = (minute: number): number => Date.UTC(2026, 10, 24) + minute * 60_000;
  const made = await past.create({ ...flood, rule: { any: ['flood'] } }, 'ana');
  const gone = await past.create({ ...flood, rule: { any: ['flood'] }, name: 'Gone' }, 'ana');
  const steps: [number, () => Promise<unknown>][] = [
    [10, () => past.edit(made.id, { name: 'Another name' }, 'ana')],
    [20, () => past.edit(made.id, { rule: { any: ['deluge'] } }, 'ben')],
    [30, () => past.setStatus(made.id, 'paused', 'ana')],
    [40, () => past.setStatus(made.id, 'resumed', 'ana')],
    [50, () => past.edit(made.id, { sources: ['x'] }, 'ana')],
    [55, () => past.remove(gone.id, 'Gone', 'ana')],
  ];
  for (const [minute, step] of steps) {
    nowMs = at(minute);
    await step();
  }
  const feeds = await openFeeds({ database, registry, clock });
  const signal = new AbortController().signal;
  const told = async (source: 'bluesky' | 'x', since: number, until: number): Promise<string[]> =>
    (await feeds.of(source).during(at(since), at(until), signal)).map(({ id, rule, sinceMs, untilMs }) =>
      `${id} ${rule.any?.join()} ${(sinceMs - at(0)) / 60_000}-${(untilMs - at(0)) / 60_000}`);
  expect(await told('bluesky', 5, 100)).toEqual(['boulder-flood flood 0-20', 'boulder-flood deluge 20-30', 'boulder-flood deluge 40-50']);
  expect(await told('bluesky', 31, 39)).toEqual([]);
  expect(await told('bluesky', 20, 30)).toEqual(['boulder-flood deluge 20-30']);
  expect(await told('x', 0, 100)).toEqual(['boulder-flood deluge 50-Infinity']);
});

test('a feed outlives a restart of the database', async () => {
  const feeds = await openFeeds({ database, registry, clock });
  const feed = feeds.of('bluesky');
  const stop = new AbortController();
  const running = runTogether([feeds.service], stop.signal);
  await postgres.kill();
  await postgres.restart();
  await until(async () => make('Boulder flood').then(() => true, (error: unknown) => {
    if (error instanceof WatershedError && error.code === 'already_exists') return true;
    return false;
  }));
  await until(() => feed.current().length === 1);
  stop.abort(new Error('the test is over'));
  await running;
});
