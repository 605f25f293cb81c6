/**
 * How soon a post can be asked for: a thousand posts a second are appended, the program `warehouse` (a process of its own) lands them, and a
 * statement asks ten times a second how far the table is: `node bench/freshness.ts [embedded|kafka] [seconds]`; embedded is the log in
 * PostgreSQL and files in a folder, kafka is Kafka and S3. Prints the time from append to visible (p50, p99, of the last record before a
 * silence) and the share of a core that the writer takes, and appends both to bench/results/freshness.jsonl. The statement's own interval of
 * 100 ms is part of the figure.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { readConfig } from '#core/config.ts';
import { openEmbedded } from '#core/database/embedded.ts';
import { silentLogger } from '#core/logger.ts';
import { openFoundation } from '#core/main.ts';
import { createDuckEngine } from '#sql/engine/duckdb/engine.ts';
import { startKafka } from '#test/services/kafka.ts';
import { startS3 } from '#test/services/s3.ts';
import { ask } from '#test/sql-lake.ts';
import { openWarehouse } from '#warehouse/main.ts';
import { tweets } from './tweets.ts';

const engines = process.argv[2] === 'kafka' ? 'kafka' : 'embedded';
const seconds = Number(process.argv[3] ?? 60);
const [postsPerSecond, appendsPerSecond] = [1_000, 20];
const clock = systemClock;
const folder = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
await chmod(folder, 0o711); // the embedded server may run as another user
await using stack = new AsyncDisposableStack();
stack.defer(() => rm(folder, { recursive: true, force: true }));
const postgres = stack.use(await openEmbedded({ dataDir: join(folder, 'database'), logger: silentLogger, clock }));
const where = engines === 'kafka' ? await distant() : { WAREHOUSE_URI: `file://${join(folder, 'lake')}` };
const environment = (name: string): Record<string, string> => ({
  WATERSHED_DATA_DIR: join(folder, name), WATERSHED_SAMPLE: 'off', DATABASE_URL: postgres.url, ...where,
});
const foundation = stack.use(await openFoundation(readConfig(environment('reader'))));
const { catalog, cache } = await openWarehouse(foundation);
const engine = stack.use(createDuckEngine({
  catalog, store: foundation.store, cache, children: 1, memoryBytes: 2 ** 29, threads: 1, readable: [join(folder, engines === 'kafka' ? 'reader/cache' : 'lake')],
  tempDir: join(folder, 'temp'), tempBytesMax: 2 ** 30, clock, logger: silentLogger,
}));
const writer = spawn(process.execPath, [join(import.meta.dirname, '../test/e2e/writer-process.ts')],
  { stdio: ['ignore', 'pipe', 'inherit'], env: { PATH: process.env['PATH'], ...environment('writer') } });
stack.defer(async () => {
  writer.kill('SIGTERM');
  await once(writer, 'exit');
});
await once(writer.stdout, 'data');

const waiting: { offset: bigint; atMs: number }[] = [];
const latencies: number[] = [];
let last = -1n;
const batches = tweets(1e7, 0);
let batch: readonly Uint8Array[] = [];
let appending = true;
await append(2); // so that everything is warm
await watch();
latencies.length = 0;
const [cpuBefore, startedAt, commitsBefore] = [await cpuMsOf(writer.pid ?? 0), clock.monotonic(), await commits()];
appending = true;
const done = append(seconds);
await watch();
await done;
const silence = latencies.at(-1) ?? 0;
const wallMs = clock.monotonic() - startedAt;
latencies.sort((a, b) => a - b);
const at = (share: number): number => Math.round(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0);
const result = {
  bench: 'freshness', engines, at: new Date().toISOString(), node: process.version, cores: availableParallelism(), cpu: cpus()[0]?.model, seconds, postsPerSecond,
  p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1), lastBeforeSilenceMs: Math.round(silence), commits: await commits() - commitsBefore,
  writerShareOfCore: Math.round((await cpuMsOf(writer.pid ?? 0) - cpuBefore) / wallMs * 1000) / 1000,
};
console.log(JSON.stringify(result));
await mkdir(join(import.meta.dirname, 'results'), { recursive: true });
await appendFile(join(import.meta.dirname, 'results/freshness.jsonl'), `${JSON.stringify(result)}\n`);

async function distant(): Promise<Record<string, string>> {
  const [kafka, s3] = [stack.use(await startKafka()), stack.use(await startS3())];
  return {
    KAFKA_BROKERS: kafka.brokers, WAREHOUSE_URI: `s3://${s3.bucket}/lake`, WAREHOUSE_S3_ENDPOINT: s3.endpoint, WAREHOUSE_S3_PATH_STYLE: 'on',
    WAREHOUSE_S3_ACCESS_KEY: s3.accessKey, WAREHOUSE_S3_SECRET_KEY: s3.secretKey,
  };
}

/** Appends to partition 0 at an even pace. */
async function append(forSeconds: number): Promise<void> {
  const each = postsPerSecond / appendsPerSecond;
  const from = clock.monotonic();
  for (let turn = 0; turn < forSeconds * appendsPerSecond; turn++) {
    if (batch.length < each) batch = batches.next().value ?? [];
    const offset = await foundation.log.append('posts', 0, batch.slice(0, each));
    batch = batch.slice(each);
    last = offset + BigInt(each) - 1n;
    waiting.push({ offset: last, atMs: clock.monotonic() });
    await clock.sleep(Math.max(0, from + (turn + 1) * 1000 / appendsPerSecond - clock.monotonic()));
  }
  appending = false;
}

/** Asks the table until everything that was appended is visible. */
async function watch(): Promise<void> {
  while (appending || waiting.length > 0) {
    const { rows } = await ask(engine, 'select max(log_offset) from store.posts');
    const visible = BigInt(String(rows[0]?.[0] ?? -1));
    const now = clock.monotonic();
    while (waiting[0] !== undefined && waiting[0].offset <= visible) latencies.push(now - (waiting.shift()?.atMs ?? now));
    await clock.sleep(100);
  }
}

async function commits(): Promise<number> {
  const [row] = await foundation.database.query<{ n: bigint }>("select count(*)::bigint as n from watershed.ledger where landing = 'posts' and from_offset is not null");
  return Number(row?.n);
}

/** What a process has used of the CPU: fields 14 and 15 of /proc/PID/stat, in hundredths of a second (proc(5)). */
async function cpuMsOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
