/**
 * The log in Postgres: posts of about 0.75 KB appended in batches of 1,000, durably (fsync on), and read back.
 * `node bench/log.ts [records]` prints one line of JSON a run; append it to bench/results/log.jsonl.
 */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom, systemClock } from '../core/clock.ts';
import { openDatabase } from '../core/database/database.ts';
import { openEmbedded } from '../core/database/embedded.ts';
import { migrate } from '../core/database/migrate.ts';
import type { Log } from '../core/log/log.ts';
import { createPostgresLog } from '../core/log/postgres.ts';
import { silentLogger } from '../core/logger.ts';

const records = Number(process.argv[2] ?? 400_000);
const batchSize = 1000;
const words = (
  'flood water bridge rescue closed road help need shelter river rain power north south family safe Calgary High River ' +
  'evacuation downtown Bow Elbow crews homes damage volunteers please retweet update police mayor crest sandbags'
).split(' ');

/** Posts as X delivers them in our envelope; texts and numbers differ, names repeat, as they do in the world. */
function makePosts(count: number): Buffer[] {
  const random = seededRandom(1);
  const integer = (below: number): number => Math.floor(random() * below);
  return Array.from({ length: count }, (_, index) => {
    const id = String(347_000_000_000_000_000n + BigInt(index) * 4_194_304n + BigInt(integer(4_194_304)));
    const at = new Date(1_371_700_000_000 + index * 37).toISOString();
    const text = Array.from({ length: 16 + integer(8) }, () => words[integer(words.length)]).join(' ');
    const data = {
      id, text: `${text} #abflood https://t.co/${id.slice(-10)}`, author_id: String(integer(1e9)), created_at: at, lang: 'en',
      conversation_id: id, edit_history_tweet_ids: [id], possibly_sensitive: false,
      public_metrics: {
        retweet_count: integer(100), reply_count: integer(9), like_count: integer(500), quote_count: 0, bookmark_count: 0,
        impression_count: integer(9999),
      },
      entities: { hashtags: [{ start: text.length + 1, end: text.length + 9, tag: 'abflood' }] },
    };
    const events = [{ id: 'alberta-floods', matched: ['abflood'] }];
    return Buffer.from(JSON.stringify({ v: 1, source: 'x', events, receivedAt: at, account: 'main', post: { data } }));
  });
}

interface Measured {
  readonly perSecond: number;
  readonly cpuSecondsPerMillion: { readonly node: number; readonly postgres: number };
}

async function measure(dataDir: string, count: number, work: () => Promise<void>): Promise<Measured> {
  const [cpu, server, begin] = [process.cpuUsage(), await serverCpuSeconds(dataDir), performance.now()];
  await work();
  const seconds = (performance.now() - begin) / 1000;
  const used = process.cpuUsage(cpu);
  const perMillion = (value: number): number => +((value * 1e6) / count).toFixed(2);
  return {
    perSecond: Math.round(count / seconds),
    cpuSecondsPerMillion: {
      node: perMillion((used.user + used.system) / 1e6),
      postgres: perMillion((await serverCpuSeconds(dataDir)) - server),
    },
  };
}

/** Of the server and all its children that live, from /proc (100 ticks a second). */
async function serverCpuSeconds(dataDir: string): Promise<number> {
  const pid = (await readFile(join(dataDir, 'postgres', 'postmaster.pid'), 'utf8')).split('\n')[0] ?? '';
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  const ticks = await Promise.all([pid, ...children.trim().split(' ')].map(async (one) => {
    const stat = await readFile(`/proc/${one}/stat`, 'utf8').catch(() => '');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
  }));
  return ticks.reduce((sum, value) => sum + value, 0) / 100;
}

async function appendAll(log: Log, posts: readonly Buffer[], appenders: number): Promise<void> {
  await Promise.all(Array.from({ length: appenders }, async (_, partition) => {
    for (let at = partition * batchSize; at < posts.length; at += batchSize * appenders) {
      await log.append('posts', partition, posts.slice(at, at + batchSize));
    }
  }));
}

async function readAll(log: Log, partition: number): Promise<void> {
  const { earliest, next } = await log.bounds('posts', partition);
  for (let from = earliest; from < next;) {
    const chunks = await log.read('posts', partition, from, { maxBytes: 16 * 1024 ** 2, waitMs: 0 });
    for (const { baseOffset, count } of chunks) from = baseOffset + BigInt(count);
  }
}

async function run(appenders: number, posts: readonly Buffer[]): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'watershed-bench-log-'));
  try {
    await rm(dataDir, { recursive: true });
    await using embedded = await openEmbedded({ dataDir, logger: silentLogger, clock: systemClock });
    await using database = openDatabase(embedded.url, { max: 8 });
    await migrate(database);
    await using log = createPostgresLog(database, systemClock);
    await log.ensureTopic('posts', appenders);
    await log.append('posts', 0, posts.slice(0, 1));
    const append = await measure(dataDir, posts.length, () => appendAll(log, posts, appenders));
    const read = await measure(dataDir, posts.length, async () => {
      for (let partition = 0; partition < appenders; partition++) await readAll(log, partition);
    });
    const [size] = await database.query<{ bytes: number }>(
      `select sum(pg_total_relation_size(oid))::float8 as bytes from pg_class where relname like 'log\\_posts\\_%' and relkind = 'r'`);
    console.log(JSON.stringify({
      bench: 'log', at: new Date().toISOString(), node: process.version, cores: cpus().length, records: posts.length,
      bytesPerRecord: Math.round(posts.reduce((sum, post) => sum + post.length, 0) / posts.length), appenders, append, read,
      diskBytesPerRecord: Math.round((size?.bytes ?? 0) / posts.length), residentMiB: Math.round(process.memoryUsage.rss() / 2 ** 20),
    }));
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

const posts = makePosts(records);
for (const appenders of [1, 4]) await run(appenders, posts);
