/** One part of bench/kafka-to-table.ts in a process of its own: `node kafka-to-table-part.ts ORDER`. Prints what it took as JSON. */
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { once } from 'node:events';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '#core/clock.ts';
import { readConfig } from '#core/config.ts';
import { acquireLease } from '#core/database/lease.ts';
import { createKafkaLog } from '#core/log/kafka/kafka.ts';
import type { LogChunk } from '#core/log/log.ts';
import { silentLogger } from '#core/logger.ts';
import { openFoundation } from '#core/main.ts';
import { createMetrics } from '#core/metrics.ts';
import { runTogether } from '#core/service.ts';
import { literal, openDuck } from '#warehouse/duck.ts';
import { postsLanding } from '#warehouse/landings/posts.ts';
import { rawLanding } from '#warehouse/landings/raw.ts';
import { openWarehouse } from '#warehouse/main.ts';
import { withParts } from '#warehouse/normalise/projection.ts';
import { xV2 } from '#warehouse/normalise/x-v2.ts';
import { shareReads } from '#warehouse/share.ts';
import { createWriter } from '#warehouse/writer.ts';

const order = JSON.parse(process.argv[2] ?? '') as { part: string; brokers: string; posts: number; folder: string; landings: string };
const clock = systemClock;
await mkdir(order.folder, { recursive: true });
const parts: Readonly<Record<string, () => Promise<object>>> = { drain, duckdb, writer };
process.stdout.write(JSON.stringify(await parts[order.part]?.()));

/** Wall and CPU time of some work of this process. */
async function timed(work: () => Promise<void>): Promise<{ wallMs: number; cpuMs: number; residentBytes: number }> {
  const [wall, cpu] = [clock.monotonic(), process.cpuUsage()];
  await work();
  const used = process.cpuUsage(cpu);
  return { wallMs: clock.monotonic() - wall, cpuMs: (used.user + used.system) / 1000, residentBytes: process.resourceUsage().maxRSS * 1024 };
}

async function readAll(take: (chunk: LogChunk, partition: number) => Promise<void> | undefined): Promise<void> {
  await using log = createKafkaLog({ brokers: order.brokers, replication: 1, clock });
  await Promise.all(Array.from({ length: await log.partitions('posts') }, async (_, partition) => {
    const { next } = await log.bounds('posts', partition);
    for (let from = 0n; from < next;) {
      for (const chunk of await log.read('posts', partition, from, { maxBytes: 8 * 2 ** 20, waitMs: 1000 })) {
        await take(chunk, partition);
        from = chunk.baseOffset + BigInt(chunk.count);
      }
    }
  }));
}

function drain(): Promise<object> {
  return timed(() => readAll(() => undefined));
}

/** The same columns by the same expressions as the writer's, from one NDJSON file into one zstd Parquet file. */
async function duckdb(): Promise<object> {
  const path = join(order.folder, 'posts.ndjson');
  const file = createWriteStream(path);
  await readAll(async (chunk) => {
    if (!file.write(chunk.lines)) await once(file, 'drain');
  });
  file.end();
  await once(file, 'finish');
  await using duck = await openDuck({ staging: join(order.folder, 'staging'), memoryBytes: 2e9, threads: availableParallelism() });
  const connection = await duck.connect();
  const fields = Object.entries(xV2.select).map(([name, expression]) => `${expression} as ${name}`);
  const columns = `{events: 'STRUCT(id VARCHAR, matched VARCHAR[])[]', receivedAt: 'VARCHAR', post: ${literal(xV2.postType)}}`;
  const result = await timed(async () => {
    await connection.run(`copy (select events[1].id as event_id, events[1].matched as matched, receivedAt::timestamptz as collected_at, ${fields.join(', ')}
      from ${withParts(xV2, `read_ndjson(${literal(path)}, columns = ${columns})`)})
      to ${literal(join(order.folder, 'one.parquet'))} (format parquet, compression zstd, parquet_version v1, row_group_size 122880)`);
  });
  connection.closeSync();
  return result;
}

/** The writer as warehouse/main.ts wires it, with the given landings, until all is committed. */
async function writer(): Promise<object> {
  const config = readConfig({ WATERSHED_DATA_DIR: order.folder, WATERSHED_SAMPLE: 'off', KAFKA_BROKERS: order.brokers });
  await using foundation = await openFoundation(config);
  const { database, log, store } = foundation;
  const { catalog, cache } = await openWarehouse(foundation);
  await using lease = await acquireLease(database, 'warehouse', 'bench', { clock, holdThroughOutage: true });
  await using duck = await openDuck({ staging: join(order.folder, 'staging'), memoryBytes: config.WATERSHED_MEMORY_BYTES, threads: availableParallelism() });
  const landings = [postsLanding, rawLanding].filter(({ name }) => order.landings.split(',').includes(name));
  const metrics = createMetrics();
  const shared = { ...log, read: shareReads(log, config.WATERSHED_BATCH_BYTES).read };
  const stop = new AbortController();
  const left = new Map(landings.map(({ name }) => [name, order.posts]));
  let commits = 0;
  const result = await timed(() => runTogether(landings.map((landing) => createWriter({
    landing, log: landings.length === 1 ? log : shared, catalog, store, cache, duck, clock, random: systemRandom, logger: silentLogger, metrics,
    epoch: { lease: 'warehouse', epoch: lease.epoch }, batchBytes: config.WATERSHED_BATCH_BYTES, intervalMs: config.WATERSHED_COMMIT_INTERVAL_MS,
    onCommit({ landing: name, records }) {
      commits++;
      left.set(name, (left.get(name) ?? 0) - records);
      if ([...left.values()].every((count) => count <= 0)) stop.abort();
    },
    onLost: async () => undefined, crashPoint: () => undefined,
  })), stop.signal));
  const [count] = await database.query<{ n: bigint }>("select coalesce(sum(kept), 0)::bigint as n from watershed.ledger where landing = 'posts'");
  if (Number(count?.n) !== order.posts) throw new Error(`${count?.n} of ${order.posts} posts were kept`);
  const seconds = async (stage: string): Promise<number> => {
    const each = await Promise.all(landings.map(({ name }) => metrics.value(`watershed_${stage}_duration_seconds`, { landing: name })));
    return each.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  };
  const [gather, encode, commit] = [await seconds('gather'), await seconds('encode'), await seconds('commit')];
  const share = (stage: number): number => Math.round(stage / (gather + encode + commit) * 100) / 100;
  return { ...result, commits, stageShare: { gather: share(gather), encode: share(encode), commit: share(commit) } };
}
