import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom, systemClock } from '#core/clock.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { catalogName, storeNamespace } from '#core/contract/tables.ts';
import { openDatabase, type Database } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import type { Log } from '#core/log/log.ts';
import { createPostgresLog } from '#core/log/postgres.ts';
import { openFileStore } from '#core/store/file.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { literal, openDuck, rowsOf } from '#warehouse/duck.ts';
import { createTableCache, loadMetadata, storeKey } from '#warehouse/table/files.ts';
import { planScan } from '#warehouse/table/scan.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);

afterAll(async () => {
  await postgres.stop();
});

const points = ['gathered', 'encoded', 'placed', 'manifest-written', 'manifest-list-written', 'metadata-written', 'committed'];

/** What was appended, told by the test alone: the post at each offset, and the offsets that hold no post. */
interface Appended {
  readonly posts: ReadonlyMap<string, string>;
  readonly dead: ReadonlySet<string>;
}

async function appendPosts(log: Log, seed: number): Promise<Appended> {
  const random = seededRandom(seed);
  const posts = new Map<string, string>();
  const dead = new Set<string>();
  const seen: string[] = [];
  for (let batch = 0; batch < 12; batch++) {
    const partition = Math.floor(random() * 2);
    const ids: (string | undefined)[] = [];
    const records = Array.from({ length: 5 + Math.floor(random() * 20) }, () => {
      const chance = random();
      if (chance < 0.1) {
        ids.push(undefined);
        return Buffer.from(chance < 0.05 ? 'no envelope' : envelope('{"id":"12","text":"cut'));
      }
      const repeated = chance < 0.25 ? seen[Math.floor(random() * seen.length)] : undefined;
      const id = repeated ?? String(1_400_000_000_000_000_000n + BigInt(Math.floor(random() * 1e15)));
      ids.push(id);
      seen.push(id);
      return envelope(JSON.stringify({ id, text: `post ${id}` }));
    });
    const base = await log.append('posts', partition, records);
    ids.forEach((id, index) => {
      const place = `${partition}/${base + BigInt(index)}`;
      if (id === undefined) dead.add(place);
      else posts.set(place, id);
    });
  }
  return { posts, dead };
}

function envelope(post: string): Buffer {
  return encodeEnvelope({ source: 'x', format: 'crisislex', events: [{ id: 'flood', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '' },
    Buffer.from(post));
}

async function runWriter(url: string, folder: string, point: string, nth: number): Promise<NodeJS.Signals | number | null> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'writer-process.ts'), url, folder, point, String(nth)],
    { stdio: ['ignore', 'ignore', 'inherit'], env: { PATH: process.env['PATH'] } });
  const [code, signal]: [number | null, NodeJS.Signals | null] = await once(child, 'exit') as [number | null, NodeJS.Signals | null];
  return signal ?? code;
}

async function offsetsIn(database: Database, folder: string, table: string): Promise<string[]> {
  const store = await openFileStore(join(folder, 'lake'));
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

/** Every post is in the table once, every other record in quarantine once, and the ledger counts what is there. */
async function expectEachOnce(database: Database, folder: string, appended: Appended): Promise<void> {
  const rows = await offsetsIn(database, folder, 'posts');
  const ids = rows.map((place) => appended.posts.get(place));
  const different = new Set(appended.posts.values());
  expect(ids.toSorted()).toEqual([...different].toSorted());
  expect((await offsetsIn(database, folder, 'quarantine')).toSorted()).toEqual([...appended.dead].toSorted());
  const [ledger] = await database.query<{ kept: bigint; duplicate: bigint; dead: bigint }>(
    'select sum(kept)::bigint as kept, sum(duplicate)::bigint as duplicate, sum(dead)::bigint as dead from watershed.ledger');
  expect(ledger).toEqual({
    kept: BigInt(different.size), duplicate: BigInt(appended.posts.size - different.size), dead: BigInt(appended.dead.size),
  });
}

test.each([1, 2, 3])('killed at every crash point in turn, each record has one fate (seed %i)', async (seed) => {
  const folder = await mkdtemp(join(tmpdir(), 'watershed-crash-'));
  await chmod(folder, 0o711);
  const url = await postgres.createDatabase();
  await using database = openDatabase(url, { max: 4, clock: systemClock });
  await migrate(database);
  await using log = createPostgresLog(database, systemClock);
  await log.ensureTopic('posts', 2);
  const appended = await appendPosts(log, seed);
  const random = seededRandom(seed * 1_000);
  const exits: unknown[] = [];
  for (const point of points) exits.push(await runWriter(url, folder, point, 1 + Math.floor(random() * 2)));
  // Each run was killed, unless an earlier one had landed everything: at least the early points must have been reached.
  expect(exits.filter((exit) => exit === 'SIGKILL').length).toBeGreaterThanOrEqual(4);
  expect(exits.every((exit) => exit === 'SIGKILL' || exit === 0)).toBe(true);
  expect(await runWriter(url, folder, 'never', 1)).toBe(0);

  await expectEachOnce(database, folder, appended);
  await rm(folder, { recursive: true });
}, 240_000);

test('two writers at once: the one whose lease was taken is fenced, nothing is lost or doubled', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'watershed-crash-'));
  await chmod(folder, 0o711);
  const url = await postgres.createDatabase();
  await using database = openDatabase(url, { max: 4, clock: systemClock });
  await migrate(database);
  await using log = createPostgresLog(database, systemClock);
  await log.ensureTopic('posts', 2);
  const appended = await appendPosts(log, 9);
  const first = runWriter(url, folder, 'never', 1);
  // The second takes the lease by force while the first is at work: its next commit must find a newer epoch.
  await database.execute("update watershed.lease set expires_at = now() - interval '1 hour'");
  const second = runWriter(url, folder, 'never', 1);
  const exits = await Promise.all([first, second]);
  if (!exits.includes(0)) expect(await runWriter(url, folder, 'never', 1)).toBe(0);
  await expectEachOnce(database, folder, appended);
  await rm(folder, { recursive: true });
}, 120_000);
