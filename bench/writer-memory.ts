/**
 * The writer's memory over many posts of a hundred event-days in every batch: `node bench/writer-memory.ts [posts]` (ten million take
 * some minutes). The log is in this process's memory and holds at most 200,000 posts; resident memory is taken twenty times on the way,
 * and one JSON line goes to bench/results/writer-memory.jsonl. What is bounded by configuration: DuckDB by WATERSHED_MEMORY_BYTES, batches
 * by WATERSHED_BATCH_BYTES.
 */
import { appendFile, chmod, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock, systemRandom } from '#core/clock.ts';
import { readConfig } from '#core/config.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { acquireLease } from '#core/database/lease.ts';
import { createMemoryLog } from '#core/log/memory.ts';
import { silentLogger } from '#core/logger.ts';
import { openFoundation } from '#core/main.ts';
import { openDuck } from '#warehouse/duck.ts';
import { postsLanding } from '#warehouse/landings/posts.ts';
import { openWarehouse } from '#warehouse/main.ts';
import { createWriter } from '#warehouse/writer.ts';

const posts = Number(process.argv[2] ?? 10_000_000);
const [events, days, perBatch, aheadMax] = [10, 10, 5_000, 200_000];
const clock = systemClock;
const folder = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
await chmod(folder, 0o711); // the embedded server may run as another user
await using stack = new AsyncDisposableStack();
stack.defer(() => rm(folder, { recursive: true, force: true }));
const config = readConfig({ WATERSHED_DATA_DIR: folder, WATERSHED_SAMPLE: 'off' });
const foundation = stack.use(await openFoundation(config));
const { catalog, cache } = await openWarehouse(foundation);
const lease = stack.use(await acquireLease(foundation.database, 'warehouse', 'bench', { clock, holdThroughOutage: true }));
const duck = stack.use(await openDuck({ staging: join(folder, 'staging'), memoryBytes: config.WATERSHED_MEMORY_BYTES, threads: availableParallelism() }));
const log = createMemoryLog();
await log.ensureTopic('posts', 1);
let landed = 0;
const stop = new AbortController();
const writer = createWriter({
  landing: postsLanding, log, catalog, store: foundation.store, cache, duck, clock, random: systemRandom, logger: silentLogger, metrics: foundation.metrics,
  epoch: { lease: 'warehouse', epoch: lease.epoch }, batchBytes: config.WATERSHED_BATCH_BYTES, intervalMs: config.WATERSHED_COMMIT_INTERVAL_MS,
  onCommit: ({ records }) => { landed += records; }, onLost: async () => undefined, crashPoint: () => undefined,
}).run(stop.signal);
writer.catch((error: unknown) => console.error(error));

const startedAt = clock.monotonic();
const residentMiB: number[] = [];
for (let from = 0; from < posts; from += perBatch) {
  while (from - landed > aheadMax) await clock.sleep(5);
  await log.append('posts', 0, Array.from({ length: perBatch }, (_, index) => post(from + index)));
  await log.trim('posts', 0, BigInt(landed));
  if ((from + perBatch) % (posts / 20) === 0) residentMiB.push(Math.round(process.memoryUsage.rss() / 2 ** 20));
}
while (landed < posts) await clock.sleep(20);
const result = {
  bench: 'writer-memory', at: new Date().toISOString(), node: process.version, cores: availableParallelism(), cpu: cpus()[0]?.model, posts,
  eventDaysPerBatch: events * days, memoryBytes: config.WATERSHED_MEMORY_BYTES, batchBytes: config.WATERSHED_BATCH_BYTES,
  seconds: Math.round((clock.monotonic() - startedAt) / 1000), residentMiB,
};
console.log(JSON.stringify(result));
await mkdir(join(import.meta.dirname, 'results'), { recursive: true });
await appendFile(join(import.meta.dirname, 'results/writer-memory.jsonl'), `${JSON.stringify(result)}\n`);
stop.abort();
await writer;

/** Ids grow with time within each day, as those of X do; every hundred posts touch every event on every day. */
function post(index: number): Uint8Array {
  const at = 1_646_000_000_000 + (index % days) * 86_400_000 + Math.floor(index / 100) * 4;
  const id = (BigInt(at - 1_288_834_974_657) << 22n) + BigInt(index % 4_000_000);
  return encodeEnvelope({
    source: 'x', format: 'crisislex', events: [{ id: `event-${Math.floor(index / days) % events}`, matched: ['flood'] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '',
  }, Buffer.from(JSON.stringify({ id: String(id), text: `water is rising at bridge ${index % 977}, street ${index % 7919}, please send help to house ${index}` })));
}
