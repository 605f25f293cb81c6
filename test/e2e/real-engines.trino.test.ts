// The sentence of issue 10, on the real parts: Kafka → Iceberg in object storage → Trino, the writer killed on the way.
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { jest } from '@jest/globals';
import { Admin } from '@platformatic/kafka';
import { seededRandom, systemClock } from '#core/clock.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { openDatabase } from '#core/database/database.ts';
import { createKafkaLog } from '#core/log/kafka/kafka.ts';
import type { Log } from '#core/log/log.ts';
import { openS3Store } from '#core/store/s3/s3.ts';
import { createTrinoEngine } from '#sql/engine/trino/engine.ts';
import { writeTrinoViews } from '#sql/engine/trino/views.ts';
import { startKafka } from '../services/kafka.ts';
import type { KafkaService } from '../services/kafka.ts';
import { startPostgres } from '../services/postgres.ts';
import type { TestPostgres } from '../services/postgres.ts';
import { freePorts, removeFolder, temporaryFolder } from '../services/process.ts';
import { startS3 } from '../services/s3.ts';
import type { S3Service } from '../services/s3.ts';
import { startTrino } from '../services/trino.ts';
import { ask } from '../sql-lake.ts';

jest.setTimeout(300_000);

const partitions = 4;
let kafka: KafkaService;
let s3: S3Service;
let postgres: TestPostgres;
let folder: string;
let log: Log;
let writer: ChildProcess | undefined;

beforeAll(async () => {
  [kafka, s3, postgres, folder] = await Promise.all([startKafka(), startS3(), startPostgres(), temporaryFolder('e2e')]);
  log = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
}, 600_000);

afterAll(async () => {
  writer?.kill('SIGKILL');
  await log?.[Symbol.asyncDispose]();
  await Promise.all([kafka?.stop(), s3?.stop(), postgres?.stop()]);
  await removeFolder(folder);
});

/** Starts the writer; resolves when it is up, or to its exit and what it said. */
async function startWriter(): Promise<{ code: number | null; said: string } | undefined> {
  const [metrics] = await freePorts(1);
  const environment: Record<string, string> = {
    WATERSHED_DATA_DIR: join(folder, 'data'), DATABASE_URL: postgres.url, KAFKA_BROKERS: kafka.brokers, WAREHOUSE_URI: `s3://${s3.bucket}/lake`,
    WAREHOUSE_S3_ENDPOINT: s3.endpoint, WAREHOUSE_S3_PATH_STYLE: 'on', WAREHOUSE_S3_ACCESS_KEY: s3.accessKey,
    WAREHOUSE_S3_SECRET_KEY: s3.secretKey, WATERSHED_METRICS_PORT: String(metrics), WATERSHED_COMMIT_INTERVAL_MS: '200',
  };
  const assignments = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  const child = spawn('env', [...assignments, process.execPath, fileURLToPath(new URL('writer-process.ts', import.meta.url))],
    { stdio: ['ignore', 'pipe', 'pipe'] });
  writer = child;
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const ready = once(child.stdout, 'data');
  const code = await Promise.race([ready.then(() => undefined), once(child, 'exit').then(([status]: (number | null)[]) => status ?? null)]);
  return code === undefined ? undefined : { code, said };
}

async function end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
  if (writer === undefined || writer.exitCode !== null || writer.signalCode !== null) return;
  const gone = once(writer, 'exit');
  writer.kill(signal);
  await gone;
}

const idOf = (index: number): string => String(1_800_000_000_000_000_000n + BigInt(index));

/** A record of the log with a post of the X API; every tenth comes twice, as sources deliver after a reconnection. */
function recordsOf(from: number, count: number): Uint8Array[] {
  return Array.from({ length: count }, (_, offset) => from + offset).flatMap((index) => {
    const post = { data: { id: idOf(index), text: `post ${index} 🌊`, author_id: String(index % 97), created_at: '2026-11-24T08:50:15.000Z', lang: 'en' } };
    const record = encodeEnvelope(
      { source: 'x', format: 'x.v2', events: [{ id: 'flood', matched: ['flood'] }], receivedAt: '2026-11-24T08:50:16.000Z', account: '' },
      Buffer.from(JSON.stringify(post)));
    return index % 10 === 0 ? [record, record] : [record];
  });
}

/** Records landed so far, in both landings. */
async function landed(): Promise<bigint> {
  await using database = openDatabase(postgres.url, { max: 1 });
  const [row] = await database.query<{ n: bigint }>(
    'select coalesce(sum(to_offset - from_offset), 0)::bigint as n from watershed.ledger where from_offset is not null');
  return row?.n ?? 0n;
}

/** Waits until the writer that runs now has committed something: a killed one's lease has to run out first. */
async function untilMoreThan(before: bigint): Promise<void> {
  for (let tries = 0; (await landed()) <= before; tries++) {
    if (tries > 600) throw new Error('the writer commits nothing');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function untilLanded(): Promise<void> {
  await using database = openDatabase(postgres.url, { max: 1 });
  const identity = await log.identity('posts');
  for (let tries = 0; tries < 1200; tries++) {
    const rows = await database.query<{ landing: string; partition: number; end: bigint }>(
      'select landing, partition, max(to_offset) as "end" from watershed.ledger where log_identity = $1 group by 1, 2', [identity]);
    const ends = await Promise.all(Array.from({ length: partitions }, (_, partition) => log.bounds('posts', partition)));
    const behind = ['posts', 'raw'].flatMap((landing) => ends.filter(({ next }, partition) =>
      rows.find((row) => row.landing === landing && row.partition === partition)?.end !== next));
    if (behind.length === 0) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('the table did not reach the end of the log');
}

test('Kafka, S3, Postgres: the writer is killed three times, and Trino counts every post once', async () => {
  expect(await startWriter()).toBeUndefined();
  const random = seededRandom(20_261_124);
  const total = 12_000;
  const kills = [2000, 5000, 9000];
  let before = 0n;
  for (let from = 0; from < total; from += 250) {
    const partition = Math.floor(random() * partitions);
    await log.append('posts', partition, recordsOf(from, 250));
    // A moment somewhere within a commit interval: the seed decides where in its work the writer dies.
    await new Promise((resolve) => setTimeout(resolve, random() * 40));
    if (!kills.includes(from)) continue;
    await untilMoreThan(before);
    await log.append('posts', partition, recordsOf(total + from, 250));
    await new Promise((resolve) => setTimeout(resolve, random() * 250));
    await end('SIGKILL');
    before = await landed();
    expect(await startWriter()).toBeUndefined();
  }
  await untilLanded();
  await end('SIGTERM');

  const warehouse = `s3://${s3.bucket}/lake`;
  await using trino = await startTrino({ catalogs: { lake: { database: postgres.url, name: 'watershed', warehouse, s3, readOnly: true } } });
  await using engine = createTrinoEngine({ url: trino.url, catalog: 'lake', schema: 'lake', schemas: ['lake', 'store'], clock: systemClock });
  await using database = openDatabase(postgres.url, { max: 2 });
  await using store = await openS3Store({
    uri: warehouse, region: s3.region, endpoint: s3.endpoint, pathStyle: true, keys: s3, clock: systemClock,
    cache: { folder: join(folder, 'views'), bytesMax: 1e8 },
  });
  await writeTrinoViews({ database, store, clock: systemClock, catalogName: 'watershed', trinoCatalog: 'lake', owner: 'watershed' });
  const answer = await ask(engine, `SELECT count(*), count(DISTINCT post_id), sum(CAST(post_id AS decimal(38, 0)) - 1800000000000000000), min(text), max(text),
    count(DISTINCT author_id) FROM posts WHERE event_id = 'flood'`);
  const indexes = [...Array.from({ length: total }, (_, index) => index), ...kills.flatMap((from) => Array.from({ length: 250 }, (_, index) => total + from + index))];
  const sum = indexes.reduce((before, index) => before + index, 0);
  expect(answer.rows).toEqual([[indexes.length, indexes.length, sum, 'post 0 🌊', 'post 9999 🌊', 97]]);
  const records = indexes.length + indexes.filter((index) => index % 10 === 0).length;
  // `raw` has a row for each record, also for those that came twice.
  expect((await ask(engine, 'SELECT count(*), count(DISTINCT (log_partition, log_offset)) FROM raw')).rows).toEqual([[records, records]]);
  const ledger = await database.query<{ kept: bigint; duplicate: bigint; dead: bigint }>(
    `select sum(kept)::bigint as kept, sum(duplicate)::bigint as duplicate, sum(dead)::bigint as dead from watershed.ledger
      where landing = 'posts' and from_offset is not null`);
  expect(ledger).toEqual([{ kept: BigInt(indexes.length), duplicate: BigInt(records - indexes.length), dead: 0n }]);
});

test('a topic that was made anew is refused as a foreign log, and nothing is deleted', async () => {
  const admin = new Admin({ clientId: 'test', bootstrapBrokers: [kafka.brokers] });
  await admin.deleteTopics({ topics: ['posts'] });
  await admin.close();
  await using fresh = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
  await fresh.ensureTopic('posts', partitions);
  const refused = await startWriter();
  expect(refused?.code).not.toBe(0);
  expect(refused?.said).toContain('foreign_lake');
  await using database = openDatabase(postgres.url, { max: 1 });
  expect(await database.query('select count(*) as n from public.iceberg_tables where iceberg_type is distinct from \'VIEW\'')).toEqual([{ n: 10n }]);
});
