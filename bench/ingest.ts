/**
 * NDJSON archive → log → committed table, everything on this machine with fsync on: `node bench/ingest.ts [posts] [bytes]`.
 * Prints one JSON line with posts a second and where the time goes, and appends it to bench/results/ingest.jsonl.
 */
import { appendFile, chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { databasePlaces } from '#ingest/archive/place.ts';
import { loadArchive } from '#ingest/archive/load.ts';
import { readConfig } from '#core/config.ts';
import { createRegistry } from '#core/events/registry.ts';
import { openFoundation } from '#core/main.ts';
import { openWarehouse, warehouseProgram } from '#warehouse/main.ts';

const posts = Number(process.argv[2] ?? 500_000);
const bytesEach = Number(process.argv[3] ?? 1_000);
const folder = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
await chmod(folder, 0o711); // the embedded server may run as another user
const archive = join(folder, 'posts.ndjson');
await writeArchive(archive);
const config = readConfig({ WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_SAMPLE: 'off' });
{
  await using foundation = await openFoundation(config);
  const { database, log, clock, metrics } = foundation;
  const warehouse = await openWarehouse(foundation);
  const event = await createRegistry({ database, clock }).create({ name: 'Bench', sources: [], rule: {} }, 'bench');
  const stop = new AbortController();
  const cpuBefore = process.cpuUsage();
  const running = warehouseProgram(foundation, warehouse, { onCommit: () => undefined }).run(stop.signal);
  const startedAt = clock.monotonic();
  await loadArchive({ files: [archive], eventId: event.id, log, places: databasePlaces(database), clock, signal: stop.signal });
  const loadedMs = clock.monotonic() - startedAt;
  const allLanded = async (landing: string): Promise<number> => {
    const kept = async (): Promise<number> => Number((await database.query<{ n: bigint }>(
      'select coalesce(sum(kept), 0)::bigint as n from watershed.ledger where landing = $1', [landing]))[0]?.n ?? 0);
    while (await kept() < posts) await clock.sleep(20);
    return clock.monotonic() - startedAt;
  };
  const postsMs = await allLanded('posts');
  const cpu = process.cpuUsage(cpuBefore);
  const rawMs = await allLanded('raw');
  const seconds = async (name: string): Promise<number> => Number((await metrics.value(name, { landing: 'posts' }) ?? 0).toFixed(2));
  const result = {
    bench: 'ingest', at: new Date().toISOString(), cores: availableParallelism(), cpu: cpus()[0]?.model, posts,
    bytesPerPost: Math.round((await stat(archive)).size / posts),
    postsPerSecond: Math.round(posts / (postsMs / 1000)), appendedPerSecond: Math.round(posts / (loadedMs / 1000)),
    // In a backlog `posts` go first: until `raw` holds the last of them, too.
    withRawPerSecond: Math.round(posts / (rawMs / 1000)),
    wallSeconds: Number((postsMs / 1000).toFixed(2)), cpuSeconds: Number(((cpu.user + cpu.system) / 1e6).toFixed(2)),
    stageSeconds: {
      gathering: await seconds('watershed_gather_duration_seconds'), encoding: await seconds('watershed_encode_duration_seconds'),
      committing: await seconds('watershed_commit_duration_seconds'),
    },
    residentMegabytes: Math.round(process.memoryUsage.rss() / 1e6),
  };
  console.log(JSON.stringify(result));
  await mkdir(join(import.meta.dirname, 'results'), { recursive: true });
  await appendFile(join(import.meta.dirname, 'results', 'ingest.jsonl'), `${JSON.stringify(result)}\n`);
  stop.abort();
  await running;
}
await rm(folder, { recursive: true, force: true });

async function writeArchive(path: string): Promise<void> {
  const words = 'the river is rising near bridge please stay away from water road closed shelter open at school flood help'.split(' ');
  await writeFile(path, '');
  for (let from = 0; from < posts; from += 10_000) {
    const lines: string[] = [];
    for (let index = from; index < Math.min(posts, from + 10_000); index++) {
      const text = Array.from({ length: 24 }, (_, at) => words[(index * 7 + at * at * 13) % words.length]).join(' ');
      const post = { id: String(1_500_000_000_000_000_000n + BigInt(index) * 4_194_304n), text: `${text} #flood${index % 50} ${index}`,
        created_at: new Date(1_646_000_000_000 + index).toISOString(), author_id: String(10_000 + index % 5_000), lang: 'en',
        conversation_id: String(index), public_metrics: { retweet_count: index % 9, reply_count: 1, like_count: 3, quote_count: 0 },
        entities: { hashtags: [{ start: 1, end: 5, tag: `flood${index % 50}` }] }, source: '' };
      const line = JSON.stringify(post);
      post.source = 'x'.repeat(Math.max(0, bytesEach - line.length));
      lines.push(JSON.stringify(post));
    }
    await appendFile(path, `${lines.join('\n')}\n`);
  }
}
