// What can befall a topic that others can reach too, seen by a person who runs `watershed start` on a real broker: records that are none
// of ours, records that retention took, a topic that is deleted.
import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Admin, Producer } from '@platformatic/kafka';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { systemClock } from '#core/clock.ts';
import { createKafkaLog } from '#core/log/kafka/kafka.ts';
import { recordBytesMax } from '#core/log/log.ts';
import { startKafka, type KafkaService } from '#test/services/kafka.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { removeFolder, startProcess, temporaryFolder, waitUntilReady, type RunningProcess } from '#test/services/process.ts';

const cli = join(import.meta.dirname, '../../cli/main.ts');

let kafka: KafkaService;
let postgres: TestPostgres;
let folder: string;
let server: RunningProcess;
let said = 0;

beforeAll(async () => {
  [kafka, postgres, folder] = await Promise.all([startKafka(), startPostgres(), temporaryFolder('log-faults')]);
  await start();
}, 600_000);

afterAll(async () => {
  await server?.stop();
  await Promise.all([kafka?.stop(), postgres?.stop()]);
  await removeFolder(folder);
}, 60_000);

function environment(): Record<string, string> {
  return {
    DATABASE_URL: postgres.url, KAFKA_BROKERS: kafka.brokers, WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_SAMPLE: 'off',
    WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_LOG_PARTITIONS: '2',
  };
}

const output = (): Promise<string> => readFile(join(folder, 'output.log'), 'utf8').then((text) => text.slice(said), () => '');

async function start(): Promise<void> {
  said += (await output()).length;
  server = await startProcess({ command: process.execPath, args: [cli, 'start'], folder, root: folder, env: environment() });
  await waitUntilReady('the server', { folder, process: server, timeoutMs: 120_000 }, async () => (await output()).includes('Ctrl-C drains') || undefined);
}

async function watershed(...args: string[]): Promise<{ code: number; out: Buffer; note: string }> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [cli, ...args],
      { env: { ...process.env, ...environment() }, encoding: 'buffer', maxBuffer: 1e8 });
    return { code: 0, out: stdout, note: stderr.toString() };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: Buffer; stderr: Buffer };
    return { code, out: stdout, note: stderr.toString() };
  }
}

async function ask(path: string, body?: object): Promise<Response> {
  const data = join(folder, 'data');
  const { http } = JSON.parse(await readFile(join(data, 'address.json'), 'utf8'));
  const token = (await readFile(join(data, 'admin.token'), 'utf8')).trim();
  return fetch(`${http}${path}`, {
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { method: 'POST', body: JSON.stringify(body) }),
  });
}

async function rows(sql: string): Promise<unknown[][]> {
  const response = await ask('/api/sql', { sql });
  const answer = await response.json() as { rows: unknown[][] };
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer.rows;
}

async function until<T>(read: () => Promise<T>, wanted: T): Promise<void> {
  const end = Date.now() + 60_000;
  while (JSON.stringify(await read()) !== JSON.stringify(wanted) && Date.now() < end) await new Promise((resolve) => setTimeout(resolve, 200));
  expect(await read()).toEqual(wanted);
}

function post(id: number, text = 'water rises'): Buffer {
  return encodeEnvelope({
    source: 'x', format: 'crisislex', events: [{ id: 'flood', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '',
  }, Buffer.from(JSON.stringify({ id: String(1_700_000_000_000_000_000n + BigInt(id)), text })));
}

const count = (): Promise<unknown[][]> => rows('select count(*), count(distinct post_id) from lake.posts');

test('records that are none of ours go to quarantine with topic, partition, offset and bytes, and stop nothing', async () => {
  const good = post(0);
  const bad: readonly (readonly [bytes: Buffer | null, reason: RegExp])[] = [
    [Buffer.from('hello from elsewhere'), /not a record of ours/],
    [Buffer.from(good.toString().replace('"v":1', '"v":2')), /a newer Watershed wrote it: an envelope of version 2/],
    [Buffer.concat([good.subarray(0, -20), Buffer.from([0xff, 0xfe, 0xc3]), good.subarray(-20)]), /UTF-8/],
    [good.subarray(0, -9), /JSON/],
    [Buffer.from(good.toString().replace('{"id"', '\n{"id"')), /line break/],
    [Buffer.alloc(0), /not a record of ours/],
    [null, /no value/],
    [Buffer.alloc(recordBytesMax + 1000, 'x'), /over the limit/],
  ];
  const producer = new Producer({ clientId: 'somebody else', bootstrapBrokers: [kafka.brokers], autocreateTopics: false });
  for (const [index, [value]] of bad.entries()) {
    const own = { topic: 'posts', partition: 1, value: post(index + 1) };
    await producer.send({ messages: [own] });
    await producer.send({ messages: [{ topic: 'posts', partition: 1, ...(value === null ? {} : { value }) }] });
  }
  await producer.send({ messages: [{ topic: 'posts', partition: 1, value: post(bad.length + 1) }] });
  await producer.close();
  await until(count, [[bad.length + 1, bad.length + 1]]);

  const found = await rows(`select topic, "partition", "offset", bytes_length, component, reason from lake.quarantine order by "offset"`);
  expect(found.map((row) => row.slice(0, 5))).toEqual(bad.map(([value], index) => ['posts', 1, index * 2 + 1, value?.length ?? 0, 'landing posts']));
  found.forEach(([, , , , , reason], index) => expect(reason).toMatch(bad[index]?.[1] ?? /never/));
  for (const index of [2, 7]) {
    const value = bad[index]?.[0] ?? Buffer.alloc(0);
    const shown = await watershed('quarantine', 'show', `posts/1/${index * 2 + 1}`);
    // Of a very large one the first MiB is kept.
    expect(shown.out.equals(value.subarray(0, 1024 * 1024))).toBe(true);
  }
  expect((await watershed('quarantine', 'list')).out.toString()).toContain('over the limit');
}, 300_000);

test('a person puts one back mended', async () => {
  const file = join(folder, 'mended.json');
  await writeFile(file, post(50));
  expect(await watershed('quarantine', 'replay', 'posts/1/7')).toMatchObject({ code: 2, note: expect.stringContaining('--file') });
  expect(await watershed('quarantine', 'replay', 'posts/1/7', '--file', file)).toMatchObject({ code: 0, note: expect.stringContaining('is back, as posts/1/17') });
  await until(count, [[10, 10]]);
  await until(() => rows('select count(*), count(replayed_at) from lake.quarantine'), [[8, 1]]);
}, 120_000);

test('how far each landing is behind is a metric, by topic and partition', async () => {
  const lag = async (): Promise<string[]> => (await (await ask('/metrics')).text()).split('\n').filter((line) => line.startsWith('watershed_log_lag_records{topic="posts"'));
  await until(async () => (await lag()).toSorted(), ['posts', 'raw'].flatMap((landing) =>
    [0, 1].map((partition) => `watershed_log_lag_records{topic="posts",partition="${partition}",landing="${landing}"} 0`)).toSorted());
}, 90_000);

test('records that were deleted before they were read are a gap in the journal, and what follows is read', async () => {
  await server.stop();
  await using log = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
  const first = await log.append('posts', 1, Array.from({ length: 10 }, (_, index) => post(100 + index)));
  await log.trim('posts', 1, first + 6n);
  await start();
  await until(count, [[14, 14]]);
  const wanted = { topic: 'posts', partition: 1, from: String(first), to: String(first + 6n) };
  // Once for each landing of the topic.
  await until(async () => (await rows("select kind, cause, count, detail from lake.journal where source = 'log'"))
    .map(([kind, cause, records, detail]) => [kind, cause, records, JSON.parse(String(detail))]), [['gap', 'retention', 6, wanted], ['gap', 'retention', 6, wanted]]);
}, 240_000);

test('a topic that is deleted ends the program with a sentence; the next start is refused until somebody gives the old log up', async () => {
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: [kafka.brokers] });
  await admin.deleteTopics({ topics: ['posts'] });
  await admin.close();
  await server.exited;
  expect(await output()).toContain('Kafka has no topic posts');
  expect(await output()).toContain('watershed log change --give-up');
  expect(await watershed('start')).toMatchObject({ code: 1, note: expect.stringMatching(/this lake was filled from the kafka log[\s\S]*watershed log change/) });
  expect(await watershed('log', 'change', '--give-up')).toMatchObject({ code: 0, note: expect.stringContaining('the gap is on record') });
  await start();
  await using log = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
  await log.append('posts', 1, [post(200), post(0), post(1)]);
  // What the old log brought is still there, and what comes twice is kept once.
  await until(count, [[16, 16]]);
  await until(() => rows("select count(*) from lake.journal where cause = 'the log was changed'"), [[1]]);
}, 300_000);
