import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { join } from 'node:path';
import { seededRandom, systemClock } from '#core/clock.ts';
import { catalogName } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { openJobsLake, type JobsLake } from '#test/jobs-lake.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startPostgres();
}, 60_000);

afterAll(async () => {
  await postgres.stop();
});

const points = ['read', 'classified', 'encoded', 'placed', 'manifest-written', 'manifest-list-written', 'metadata-written', 'committed',
  'found', 'counted'];

async function runJobs(url: string, folder: string, point: string, nth: number): Promise<NodeJS.Signals | number | null> {
  const child = spawn(process.execPath, [join(import.meta.dirname, 'jobs-process.ts'), url, folder, point, String(nth)], {
    stdio: ['ignore', 'ignore', 'inherit'], env: { PATH: process.env['PATH'] },
  });
  const [code, signal] = await once(child, 'exit') as [number | null, NodeJS.Signals | null];
  return signal ?? code;
}

interface Post {
  readonly event: string;
  readonly id: string;
  readonly minute: number;
  readonly wet: boolean;
}

function makePosts(random: () => number, from: number, count: number): Post[] {
  return Array.from({ length: count }, (_, index) => ({
    event: random() < 0.5 ? 'flood' : 'quake', id: String(from + index), minute: Math.floor(random() * 300), wet: random() < 0.5,
  }));
}

const at = (minute: number): string => new Date(Date.UTC(2026, 0, 2, 22, minute)).toISOString();

async function land(lake: JobsLake, offset: number, posts: readonly Post[]): Promise<void> {
  await lake.land('posts', 0, offset, posts.map(({ event, id, minute, wet }) => ({
    event_id: event, source: 'x', post_id: id, created_at: at(minute), author_id: `author ${id}`, text: wet ? 'water' : 'dry',
  })));
}

/** What must be there, told from the posts alone: in the order of the log, the nth post of its event has the score 1 − 1 / (n + 1). */
function expectedLabels(posts: readonly Post[]): string[] {
  const seen = new Map<string, number>();
  return posts.map(({ event, id, wet }) => {
    const nth = (seen.get(event) ?? 0) + 1;
    seen.set(event, nth);
    return `${event}/${id} ${wet ? 'relevant' : 'not_relevant'} ${(1 - 1 / (nth + 1)).toFixed(6)}`;
  });
}

function countBy<T>(items: readonly T[], key: (item: T) => string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const item of items) counts[key(item)] = (counts[key(item)] ?? 0) + 1;
  return counts;
}

test.each([1, 2])('killed at every crash point in turn, every post has one label and is counted once (seed %i)', async (seed) => {
  const url = await postgres.createDatabase();
  await using database = openDatabase(url, { max: 4, clock: systemClock });
  await migrate(database);
  await using lake = await openJobsLake('log-1', openPostgresCatalog(database, { catalogName }));
  await chmod(lake.folder, 0o711);
  const random = seededRandom(seed);
  const posts: Post[] = [];
  const exits: unknown[] = [];
  for (const point of points) {
    const more = makePosts(random, posts.length, 5 + Math.floor(random() * 20));
    await land(lake, posts.length, more);
    posts.push(...more);
    // Some points are passed once by each of the jobs and tables: the kill goes to any of them.
    exits.push(await runJobs(url, lake.folder, point, 1 + Math.floor(random() * 2)));
  }
  expect(exits.filter((exit) => exit === 'SIGKILL').length).toBeGreaterThanOrEqual(6);
  expect(exits.every((exit) => exit === 'SIGKILL' || exit === 0)).toBe(true);
  expect(await runJobs(url, lake.folder, 'never', 1)).toBe(0);

  const labels = await lake.rows('classifications', 'log_partition, log_offset');
  expect(labels.map((row) => `${String(row['event_id'])}/${String(row['post_id'])} ${String(row['label'])} ${Number(row['score']).toFixed(6)}`))
    .toEqual(expectedLabels(posts));
  const minuteOf = (row: Readonly<Record<string, unknown>>): string => new Date(String(row['minute'])).toISOString();
  const counted = await lake.rows('activity', 'event_id, minute');
  expect(Object.fromEntries(counted.map((row) => [`${String(row['event_id'])} ${minuteOf(row)}`, Number(row['posts'])])))
    .toEqual(countBy(posts, ({ event, minute }) => `${event} ${at(minute)}`));
  const labelled = await lake.rows('activity_labels', 'event_id, minute, label');
  expect(Object.fromEntries(labelled.map((row) => [`${String(row['event_id'])} ${minuteOf(row)} ${String(row['label'])}`, Number(row['posts'])])))
    .toEqual(countBy(posts, ({ event, minute, wet }) => `${event} ${at(minute)} ${wet ? 'relevant' : 'not_relevant'}`));
}, 240_000);
