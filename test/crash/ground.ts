/** What the crash tests share: a log with posts of which the test knows each, the writer to be killed, and the count of what is in the tables. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom, systemClock } from '#core/clock.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { catalogName, storeNamespace } from '#core/contract/tables.ts';
import { openDatabase, type Database } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { createKafkaLog } from '#core/log/kafka/kafka.ts';
import type { Log } from '#core/log/log.ts';
import { createPostgresLog } from '#core/log/postgres.ts';
import { openFileStore } from '#core/store/file.ts';
import { openS3Store } from '#core/store/s3/s3.ts';
import type { Store } from '#core/store/store.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { literal, openDuck, rowsOf } from '#warehouse/duck.ts';
import { createTableCache, loadMetadata, storeKey } from '#warehouse/table/files.ts';
import { planScan } from '#warehouse/table/scan.ts';

/** The engines of a lake: the database's own log and a folder unless told otherwise. */
export interface Engines {
  /** Address of an empty database. */
  readonly database: string;
  readonly kafka?: { readonly brokers: string; readonly copies: number };
  readonly s3?: { readonly uri: string; readonly endpoint: string; readonly region: string; readonly accessKey: string; readonly secretKey: string };
}

export interface WriterOrder extends Engines {
  readonly folder: string;
  readonly point: string;
  readonly nth: number;
  readonly does: 'die' | 'tell';
}

interface Parts extends AsyncDisposable {
  readonly log: Log;
  readonly store: Store;
}

/** Log and store of the engines. `name` keeps what processes write beside each other apart. */
export async function openParts(engines: Engines & { readonly folder: string }, database: Database, name: string): Promise<Parts> {
  await using stack = new AsyncDisposableStack();
  const { kafka, s3, folder } = engines;
  const clock = systemClock;
  const log = stack.use(kafka === undefined ? createPostgresLog(database, clock)
    : createKafkaLog({ brokers: kafka.brokers, replication: kafka.copies, clock, retryForMs: 60_000 }));
  const store = s3 === undefined ? await openFileStore(join(folder, 'lake')) : stack.use(await openS3Store({
    uri: s3.uri, endpoint: s3.endpoint, region: s3.region, pathStyle: true, keys: s3, clock, timeoutMs: 1_000,
    cache: { folder: join(folder, `cache-${name}`), bytesMax: 1e9 },
  }));
  const owned = stack.move();
  return { log, store, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export interface Ground extends Parts {
  readonly engines: Engines;
  readonly folder: string;
  readonly database: Database;
  /** Starts the writer. */
  writer(point?: string, nth?: number, does?: WriterOrder['does']): Writer;
}

export interface Writer {
  readonly child: ChildProcess;
  /** The signal it died by, or its exit code. */
  readonly ended: Promise<NodeJS.Signals | number | null>;
  /** Resolves when it passes its point for the nth time; rejects when it ends before. */
  readonly reached: Promise<void>;
  /** What it wrote to standard error so far. */
  said(): string;
}

/** A new lake on the engines, with topic `posts` in two partitions. */
export async function openGround(engines: Engines): Promise<Ground> {
  await using stack = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), 'watershed-crash-'));
  stack.defer(() => rm(folder, { recursive: true, force: true, maxRetries: 5 }));
  await chmod(folder, 0o711);
  const database = stack.use(openDatabase(engines.database, { max: 4, clock: systemClock }));
  await migrate(database);
  const { log, store } = stack.use(await openParts({ ...engines, folder }, database, 'test'));
  await log.ensureTopic('posts', 2);
  const writers: Writer[] = [];
  stack.defer(() => writers.forEach(({ child }) => child.kill('SIGKILL')));
  const owned = stack.move();
  return {
    engines, log, store, folder, database,
    writer(point = 'never', nth = 1, does = 'die') {
      const writer = startWriter({ ...engines, folder, point, nth, does });
      writers.push(writer);
      return writer;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function startWriter(order: WriterOrder): Writer {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer-process.ts'), JSON.stringify(order)],
    { stdio: ['ignore', 'pipe', 'pipe'], env: { PATH: process.env['PATH'] } });
  let said = '';
  child.stderr.on('data', (data: Buffer) => (said += data.toString()));
  const ended = once(child, 'close').then((how) => {
    const [code, signal] = how as [number | null, NodeJS.Signals | null];
    return signal ?? code;
  });
  const reached = Promise.race([
    once(child.stdout, 'data').then(() => undefined),
    ended.then((how) => { throw new Error(`the writer ended (${how}) before it came there:\n${said}`); }),
  ]);
  reached.catch(() => undefined);
  return { child, ended, reached, said: () => said };
}

/** What was appended, told by the test alone: the post at each offset, the offsets that hold no post, and those with a body of their own. */
export interface Appended {
  readonly posts: ReadonlyMap<string, string>;
  readonly dead: ReadonlySet<string>;
  readonly raw: ReadonlySet<string>;
}

/**
 * Appends batches of posts, some of them twice, with records between that are none. `onBatch` is told after each batch. The
 * seed decides everything.
 */
export async function appendPosts(log: Log, seed: number, batches = 12, onBatch?: (batch: number) => Promise<void>): Promise<Appended> {
  const random = seededRandom(seed);
  const posts = new Map<string, string>();
  const dead = new Set<string>();
  const raw = new Set<string>();
  const seen: string[] = [];
  for (let batch = 0; batch < batches; batch++) {
    const partition = Math.floor(random() * 2);
    const fates: { id?: string; body: boolean }[] = [];
    const records = Array.from({ length: 5 + Math.floor(random() * 20) }, () => {
      const chance = random();
      if (chance < 0.1) {
        fates.push({ body: chance >= 0.05 });
        return Buffer.from(chance < 0.05 ? 'no envelope' : envelope('{"id":"12","text":"cut'));
      }
      const repeated = chance < 0.25 ? seen[Math.floor(random() * seen.length)] : undefined;
      const id = repeated ?? String(1_400_000_000_000_000_000n + BigInt(Math.floor(random() * 1e15)));
      fates.push({ id, body: true });
      seen.push(id);
      return envelope(JSON.stringify({ id, text: `post ${id}` }));
    });
    const base = await log.append('posts', partition, records);
    fates.forEach(({ id, body }, index) => {
      const place = `${partition}/${base + BigInt(index)}`;
      if (id === undefined) dead.add(place);
      else posts.set(place, id);
      if (body) raw.add(place);
    });
    await onBatch?.(batch);
  }
  return { posts, dead, raw };
}

function envelope(post: string): Buffer {
  return encodeEnvelope({ source: 'x', format: 'crisislex', events: [{ id: 'flood', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '' },
    Buffer.from(post));
}

async function offsetsIn({ database, folder, store }: Ground, table: string): Promise<string[]> {
  const catalog = openPostgresCatalog(database, { catalogName });
  const cache = createTableCache();
  const location = await catalog.load({ namespace: storeNamespace, name: table });
  const metadata = await loadMetadata(store, cache, location ?? '');
  const plan = await planScan({ store, metadata, cache });
  if (plan.files.length === 0) return [];
  await using duck = await openDuck({ staging: join(folder, 'read'), memoryBytes: 400e6, threads: 1 });
  const paths = await Promise.all(plan.files.map(({ path }) => store.localPath(storeKey(store, path))));
  const connection = await duck.connect();
  const rows = await rowsOf(connection, `select log_partition as p, log_offset as o from read_parquet([${paths.map(literal).join(', ')}])`);
  connection.closeSync();
  return rows.map((row) => `${String(row['p'])}/${String(row['o'])}`);
}

/** Every post is in `posts` once, every other record in `quarantine` once, every body in `raw` once, and the ledger counts what is there. */
export async function expectEachOnce(ground: Ground, appended: Appended): Promise<void> {
  const ids = (await offsetsIn(ground, 'posts')).map((place) => appended.posts.get(place));
  const different = new Set(appended.posts.values());
  expect(ids.toSorted()).toEqual([...different].toSorted());
  expect((await offsetsIn(ground, 'quarantine')).toSorted()).toEqual([...appended.dead].toSorted());
  expect((await offsetsIn(ground, 'raw')).toSorted()).toEqual([...appended.raw].toSorted());
  const records = appended.posts.size + appended.dead.size;
  const ledger = await ground.database.query(`select landing, sum(kept)::bigint as kept, sum(duplicate)::bigint as duplicate, sum(dead)::bigint as dead
    from watershed.ledger where from_offset is not null group by landing order by landing`);
  expect(ledger).toEqual([
    { landing: 'posts', kept: BigInt(different.size), duplicate: BigInt(appended.posts.size - different.size), dead: BigInt(appended.dead.size) },
    { landing: 'raw', kept: BigInt(appended.raw.size), duplicate: 0n, dead: BigInt(records - appended.raw.size) },
  ]);
}

/** What recovery owes at each stands at `CrashPoint`. */
export const crashPoints = ['gathered', 'encoded', 'placed', 'manifest-written', 'manifest-list-written', 'metadata-written', 'committed'];

/** Kills the writer at every crash point in turn, then lets one land the rest. */
export async function dieAtEveryPoint(ground: Ground, seed: number): Promise<void> {
  const random = seededRandom(seed * 1_000);
  const exits: unknown[] = [];
  for (const point of crashPoints) exits.push(await ground.writer(point, 1 + Math.floor(random() * 2)).ended);
  // Each run was killed, unless an earlier one had landed everything: at least the early points must have been reached.
  expect(exits.filter((exit) => exit === 'SIGKILL').length).toBeGreaterThanOrEqual(4);
  expect(exits.every((exit) => exit === 'SIGKILL' || exit === 0)).toBe(true);
  await finish(ground);
}

/** A writer that nobody disturbs lands what is left. */
export async function finish(ground: Ground): Promise<void> {
  const writer = ground.writer();
  expect({ ended: await writer.ended, said: writer.said() }).toMatchObject({ ended: 0 });
}
