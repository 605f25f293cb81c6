/**
 * What one process of each program carries on this machine, and how that grows with partitions and processes. Everything
 * runs here, the log in PostgreSQL with fsync on; the network and the clients take their share of the same cores.
 * `node bench/scale.ts [posts] [seconds]` prints a line of JSON per figure and appends it to bench/results/scale.jsonl.
 */
import { execFileSync } from 'node:child_process';
import { appendFile, chmod } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { readConfig } from '#core/config.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { openFoundation, openQueue, type Foundation } from '#core/main.ts';
import { openTransform } from '#transform/main.ts';
import { openWarehouse, warehouseProgram, type Warehouse } from '#warehouse/main.ts';
import { askDoor, startProgram, type Program } from '#test/e2e/programs.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';

const posts = Number(process.argv[2] ?? 200_000);
const seconds = Number(process.argv[3] ?? 6);
const token = 'token-of-the-bench-0123456789';
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' }).trim();
const words = 'the river is rising near bridge please stay away from water road closed shelter open at school flood help need rescue'.split(' ');

async function report(figure: string, numbers: Record<string, unknown>): Promise<void> {
  const line = JSON.stringify({
    bench: 'scale', figure, ...numbers, at: new Date().toISOString(), commit, cores: availableParallelism(), cpu: cpus()[0]?.model, node: process.version,
  });
  console.log(line);
  await appendFile(join(import.meta.dirname, 'results', 'scale.jsonl'), `${line}\n`);
}

/** A record of topic `posts` of about 750 bytes, as the X API gives them; one of five events. */
function record(index: number): Buffer {
  const id = String(1_500_000_000_000_000_000n + BigInt(index) * 4_194_304n);
  const text = Array.from({ length: 24 }, (_, at) => words[(index * 7 + at * at * 13) % words.length]).join(' ');
  const created = new Date(1_646_000_000_000 + index * 20).toISOString();
  const post = { data: { id, text: `${text} #flood${index % 50} ${index}`, author_id: String(10_000 + index % 5000), created_at: created, lang: 'en',
    conversation_id: id, edit_history_tweet_ids: [id], possibly_sensitive: false,
    public_metrics: { retweet_count: index % 9, reply_count: 1, like_count: 3, quote_count: 0, bookmark_count: 0, impression_count: index % 977 },
    entities: { hashtags: [{ start: 1, end: 9, tag: `flood${index % 50}` }] } } };
  return encodeEnvelope({ source: 'x', format: 'x.v2', events: [{ id: `event-${index % 5}`, matched: ['flood'] }], receivedAt: created, account: '' },
    Buffer.from(JSON.stringify(post)));
}

interface Measured { readonly postsPerSecond: number; readonly cpuSecondsPerMillion: number; readonly residentMegabytes: number }

async function measured(count: number, work: () => Promise<void>): Promise<Measured> {
  const [cpu, begin] = [process.cpuUsage(), performance.now()];
  await work();
  const took = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  return {
    postsPerSecond: Math.round(count / took), cpuSecondsPerMillion: Math.round((user + system) / count),
    residentMegabytes: Math.round(process.memoryUsage.rss() / 1e6),
  };
}

async function fill({ log }: Foundation, partitions: number): Promise<void> {
  await Promise.all(Array.from({ length: partitions }, async (_, partition) => {
    for (let from = partition * 1000; from < posts; from += 1000 * partitions) {
      await log.append('posts', partition, Array.from({ length: Math.min(1000, posts - from) }, (__, index) => record(from + index)));
    }
  }));
}

/** The writer alone, from a full log to committed tables `posts` and `raw`. */
async function write(foundation: Foundation, warehouse: Warehouse): Promise<void> {
  const { database, clock } = foundation;
  const stop = new AbortController();
  const running = warehouseProgram(foundation, warehouse, { onCommit: () => undefined }).run(stop.signal);
  const landed = async (): Promise<number> => Number((await database.query<{ n: bigint }>(
    `select coalesce(min(n), 0)::bigint as n from (select sum(kept) as n from watershed.ledger where landing in ('posts', 'raw') group by landing) s`))[0]?.n ?? 0);
  while (await landed() < posts) await clock.sleep(20);
  stop.abort();
  await running;
}

/** The jobs alone, until every post is classified. */
async function classify(foundation: Foundation, warehouse: Warehouse): Promise<void> {
  await using queue = await openQueue(foundation);
  await using transform = await openTransform(foundation, warehouse, queue);
  const stop = new AbortController();
  const running = transform.service.run(stop.signal);
  const done = (): Promise<number> => foundation.metrics.value('watershed_classified_posts_total', {}).then((value) => Number(value ?? 0));
  transform.onCommit({ landing: 'posts', kept: posts });
  while (await done() < posts) await foundation.clock.sleep(50);
  stop.abort();
  await running;
}

const dashboard = `select date_trunc('hour', created_at) as hour, count(*), sum(likes) from lake.posts where event_id = 'event-EVENT' group by 1 order by 1`;

/** Sixteen clients ask without a pause, spread over the doors. */
async function askAll(doors: readonly Program[]): Promise<Record<string, number>> {
  const times: number[] = [];
  const until = performance.now() + seconds * 1000;
  await Promise.all(Array.from({ length: 16 }, async (_, client) => {
    for (let turn = 0; performance.now() < until; turn++) {
      const begin = performance.now();
      await askDoor(doors[client % doors.length]?.url ?? '', token, dashboard.replace('EVENT', String((client + turn) % 5)));
      times.push(performance.now() - begin);
    }
  }));
  const sorted = times.toSorted((a, b) => a - b);
  const at = (part: number): number => Math.round(sorted[Math.floor(sorted.length * part)] ?? 0);
  return {
    processes: doors.length, statementsPerSecond: Math.round(times.length / seconds), medianMs: at(0.5), p95Ms: at(0.95),
  };
}

async function measureLake(partitions: number, further: boolean): Promise<void> {
  const folder = await temporaryFolder('scale');
  await chmod(folder, 0o711); // the embedded server may run as another user
  const programs: Program[] = [];
  try {
    await using foundation = await openFoundation(readConfig({
      WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_SAMPLE: 'off', WATERSHED_LOG_PARTITIONS: String(partitions),
    }));
    const warehouse = await openWarehouse(foundation);
    await fill(foundation, partitions);
    await report('writer: log to tables posts and raw', { partitions, posts, ...await measured(posts, () => write(foundation, warehouse)) });
    if (!further) return;
    await report('jobs: tables to labels and counts', { posts, ...await measured(posts, () => classify(foundation, warehouse)) });
    const env = { DATABASE_URL: foundation.databaseUrl, WAREHOUSE_URI: foundation.store.uri, WATERSHED_ADMIN_TOKEN: token, WATERSHED_SAMPLE: 'off',
      WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_LOG_PARTITIONS: String(partitions) };
    for (const name of ['sql-1', 'sql-2']) {
      programs.push(await startProgram({ folder, program: 'sql', name, env }));
      await askAll(programs); // warms the children
      await report('doors: a count by hour of one event', { posts, clients: 16, ...await askAll(programs) });
    }
  } finally {
    await Promise.all(programs.map(({ process }) => process.stop()));
    await removeFolder(folder);
  }
}

await measureLake(1, false);
await measureLake(4, true);
