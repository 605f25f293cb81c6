// Issue 15: every program is restarted under load, one after another, and nothing is lost, doubled or refused.
import { setTimeout as pause } from 'node:timers/promises';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { createKafkaLog } from '#core/log/kafka/kafka.ts';
import type { Log } from '#core/log/log.ts';
import { startKafka, type KafkaService } from '#test/services/kafka.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { createFakeBluesky } from '#test/world/bluesky.ts';
import { askDoor, eventually, startProgram, type Program } from './programs.ts';

const token = 'token-of-the-test-0123456789';
const partitions = 4;
const places = ['ingest', 'ingest-2', 'warehouse', 'warehouse-2', 'transform', 'sql', 'sql-2'] as const;

let kafka: KafkaService;
let postgres: TestPostgres;
let folder: string;
let log: Log;
const running = new Map<string, Program>();

beforeAll(async () => {
  [kafka, postgres, folder] = await Promise.all([startKafka(), startPostgres(), temporaryFolder('rolling')]);
  log = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
}, 600_000);

afterAll(async () => {
  await Promise.all([...running.values()].map((program) => program.process.stop()));
  await log?.[Symbol.asyncDispose]();
  await Promise.all([kafka?.stop(), postgres?.stop()]);
  await removeFolder(folder);
});

async function start(name: string, more: Record<string, string>): Promise<Program> {
  const program = await startProgram({ folder, name, program: name.replace('-2', ''), env: {
    DATABASE_URL: postgres.url, KAFKA_BROKERS: kafka.brokers, WAREHOUSE_URI: `file://${join(folder, 'lake')}`, WATERSHED_SAMPLE: 'off',
    WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_METRICS_PORT: '0', WATERSHED_ADMIN_TOKEN: token,
    WATERSHED_MEMORY_BYTES: '300000000', WATERSHED_LOG_LEVEL: 'info', ...more,
  } });
  running.set(name, program);
  return program;
}

interface Load {
  /** What must be in the table: event, source and id of every post that was acknowledged or that the network told. */
  readonly expected: Set<string>;
  stop(): Promise<void>;
}

/** Fifty posts a second by a producer of ours, whose append is acknowledged, and as many by a network. */
function startLoad(event: string, network: ReturnType<typeof createFakeBluesky>): Load {
  const expected = new Set<string>();
  const stop = new AbortController();
  const produce = async (): Promise<void> => {
    for (let number = 0; !stop.signal.aborted; number += 5) {
      const ids = Array.from({ length: 5 }, (_, index) => String(1_800_000_000_000_000_000n + BigInt(number + index)));
      await log.append('posts', (number / 5) % partitions, ids.map((id) => encodeEnvelope(
        { source: 'x', format: 'x.v2', events: [{ id: event, matched: ['flood'] }], receivedAt: new Date().toISOString(), account: '' },
        Buffer.from(JSON.stringify({ data: { id, text: `the flood took our bridge, ${id}`, author_id: '7', created_at: new Date().toISOString(), lang: 'en' } })))));
      for (const id of ids) expected.add(`${event} x ${id}`);
      await pause(100);
    }
  };
  const tell = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      for (let n = 0; n < 5; n++) expected.add(`${event} bluesky ${network.post({ text: `flood water ${n} at our door, send help` }).id}`);
      await pause(100);
    }
  };
  const ended = Promise.all([produce(), tell()]);
  ended.catch(() => stop.abort());
  return { expected, stop: async () => { stop.abort(); await ended; } };
}

/** Asks both doors all the time: at least one must answer, and never with fewer posts than before. */
function watchDoors(): { stop(): Promise<{ answers: number; refused: string[] }> } {
  const stop = new AbortController();
  const refused: string[] = [];
  let answers = 0;
  let seen = 0;
  const watch = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      const doors = ['sql', 'sql-2'].map((name) => running.get(name)?.url ?? '');
      try {
        const [row] = await Promise.any(doors.map((door) => askDoor(door, token, 'select count(*) from lake.posts', AbortSignal.timeout(60_000))));
        const count = Number(row?.[0]);
        if (count < seen) refused.push(`${count} posts after ${seen}`);
        seen = Math.max(seen, count);
        answers += 1;
      } catch (error) {
        refused.push(String(error instanceof AggregateError ? error.errors.map(String) : error));
      }
      await pause(100);
    }
  };
  const ended = watch();
  return { stop: async () => { stop.abort(); await ended; return { answers, refused }; } };
}

async function makeEvent(door: string): Promise<string> {
  const response = await fetch(`${door}/api/events`, {
    method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Flood', sources: ['bluesky'], rule: { any: ['flood'] } }),
  });
  expect(response.status).toBe(201);
  return (await response.json() as { id: string }).id;
}

test('every program is restarted under load, one after another: each post is in the table once, labelled once, and a door always answers', async () => {
  const network = createFakeBluesky({ seed: 15 });
  await using host = await network.host();
  const settings = { WATERSHED_BLUESKY_URL: host.url };
  await Promise.all(places.map((name) => start(name, settings)));
  const door = running.get('sql')?.url ?? '';
  const event = await makeEvent(door);
  await eventually('the collector follows', 60_000, async () => host.connected() === 1);

  const load = startLoad(event, network);
  const doors = watchDoors();
  const landed = async (): Promise<number> => Number((await askDoor(running.get('sql-2')?.url ?? '', token, 'select count(*) from lake.posts'))[0]?.[0]);
  await eventually('posts are in the table', 60_000, async () => await landed() > 0);
  for (const name of places) {
    const before = await landed();
    const old = running.get(name);
    await old?.process.stop();
    // It drained: no program was killed, and none ended with an error.
    expect([name, await old?.said()]).toEqual([name, expect.stringMatching(/is drained and stopped\.\s*$/)]);
    const fresh = await start(name, settings);
    if (name.startsWith('sql')) expect(fresh.url).not.toBe('');
    await eventually(`posts land after the restart of ${name}`, 60_000, async () => await landed() > before);
  }
  await load.stop();
  const total = load.expected.size;
  expect(total).toBeGreaterThan(1_000);
  const last = running.get('sql')?.url ?? '';
  const ask = async (sql: string): Promise<unknown[][]> => askDoor(last, token, sql);
  await eventually('every post is in the table', 60_000, async () => await landed() >= total);
  await eventually('every post is labelled', 120_000, async () =>
    Number((await ask('select count(distinct (source, post_id)) from store.classifications'))[0]?.[0]) >= total);
  const { answers, refused } = await doors.stop();
  expect(refused).toEqual([]);
  expect(answers).toBeGreaterThan(50);

  const rows = await ask('select event_id, source, post_id, count(*) from store.posts group by all');
  expect(rows.filter(([, , , times]) => times !== 1)).toEqual([]);
  expect(new Set(rows.map(([of, source, id]) => `${String(of)} ${String(source)} ${String(id)}`))).toEqual(load.expected);
  const labels = await ask(`select classifier, count(*), count(distinct (event_id, source, post_id)) from store.classifications group by 1 order by 1`);
  expect(labels.length).toBeGreaterThan(1);
  for (const [classifier, count, posts] of labels) expect([classifier, count, posts]).toEqual([classifier, total, total]);
  expect(await ask('select count(*) from store.quarantine')).toEqual([[0]]);
  expect(await ask(`select * from store.journal where kind = 'gap' and filled_at is null`)).toEqual([]);
}, 600_000);
