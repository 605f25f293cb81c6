import { jest } from '@jest/globals';
import { openAuth } from '#core/auth/auth.ts';
import { systemClock } from '#core/clock.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { openPostgresQueue } from '#core/queue/postgres.ts';
import type { Queue } from '#core/queue/queue.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { roomyLimits, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import { jobRoutes } from './jobs.ts';
import { createHttpServer, type HttpServer } from './server.ts';

jest.setTimeout(60_000);

const adminToken = 'the-admin-token-of-this-test';
let postgres: TestPostgres;
let database: Database;
let lake: SqlLake;
let server: HttpServer;
let queue: Queue;
let reader: string;

beforeAll(async () => {
  postgres = await startPostgres();
  lake = await sqlLake();
  const url = await postgres.createDatabase();
  database = openDatabase(url, { max: 4, clock: systemClock });
  await migrate(database);
  const auth = openAuth({ database, adminToken, clock: systemClock });
  const admin = await auth.tokens.verify(adminToken, 'here');
  if (admin === undefined) throw new Error('no admin');
  reader = await auth.tokens.create('ann', 'read', admin);
  queue = await openPostgresQueue(url, { backoffMs: 10 });
  server = await createHttpServer({
    engine: lake.engine(), auth, limits: roomyLimits, metrics: createMetrics(), logger: silentLogger, clock: systemClock, database,
    plugins: [jobRoutes({ queue, names: ['classify', 'upkeep'] })],
  });
}, 600_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await queue[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await postgres.stop();
});

async function send(method: 'GET' | 'POST' | 'PUT', url: string, token: string | undefined = adminToken): Promise<{ status: number; type: string; body: string }> {
  const response = await server.app.inject({ method, url, headers: { host: 'localhost', ...(token === '' ? {} : { authorization: `Bearer ${token}` }) } });
  return { status: response.statusCode, type: String(response.headers['content-type']), body: response.body };
}

async function until(met: () => Promise<boolean>): Promise<void> {
  while (!(await met())) await new Promise((resolve) => setTimeout(resolve, 20));
}

test('a job that keeps failing is set aside with its reason, shown, and put back by who may', async () => {
  let broken = true;
  await using _worker = await queue.work('classify', { concurrency: 1 }, async (job) => {
    await job.progress({ posts: 12 });
    if (broken) throw new Error('the model is not whole');
  });
  await queue.enqueue('classify', { id: 'classify-0', payload: {}, attempts: 2 });
  await until(async () => (await queue.stats('classify')).failed === 1);
  const { status, body } = await send('GET', '/api/jobs', reader);
  expect(status).toBe(200);
  expect(JSON.parse(body)).toMatchObject({ jobs: [
    { name: 'classify', failed: 1, lastFailure: { id: 'classify-0', reason: 'the model is not whole' }, recent: [
      { id: 'classify-0', state: 'failed', attempts: 2, progress: { posts: 12 }, durationMs: expect.any(Number), error: 'the model is not whole' }] },
    { name: 'upkeep', failed: 0, recent: [] },
  ] });
  expect((await send('POST', '/api/jobs/classify/retry', reader)).status).toBe(403);
  expect((await send('POST', '/api/jobs/nothing/retry')).status).toBe(404);
  broken = false;
  expect(await send('POST', '/api/jobs/classify/retry')).toMatchObject({ status: 200, body: '{"retried":1}' });
  await until(async () => (await queue.stats('classify')).completed === 1);
  expect(await queue.stats('classify')).toMatchObject({ failed: 0, lastFailure: undefined });
});

test('BullMQ\'s board stands behind the token, on PostgreSQL', async () => {
  expect((await send('GET', '/jobs/board', '')).status).toBe(401);
  expect((await send('GET', '/jobs/board/api/queues', '')).status).toBe(401);
  const page = await send('GET', '/jobs/board', reader);
  expect(page).toMatchObject({ status: 200, type: expect.stringContaining('text/html'), body: expect.stringContaining('<base href="/jobs/board/"') });
  const [, script] = /src="(static\/js\/main[^"]+)"/.exec(page.body) ?? [];
  expect(await send('GET', `/jobs/board/${script}`, reader)).toMatchObject({ status: 200, type: expect.stringContaining('javascript') });
  await queue.enqueue('upkeep', { id: 'upkeep-0', payload: { n: 1 } });
  const listed = await send('GET', '/jobs/board/api/queues?activeQueue=upkeep&page=1&jobsPerPage=10', reader);
  expect(JSON.parse(listed.body)).toMatchObject({ queues: expect.arrayContaining([
    expect.objectContaining({ name: 'upkeep', counts: expect.objectContaining({ waiting: 1 }) })]) });
  expect((await send('PUT', '/jobs/board/api/queues/upkeep/pause', reader)).status).toBe(403);
  expect((await send('PUT', '/jobs/board/api/queues/upkeep/pause')).status).toBe(200);
  expect((await send('PUT', '/jobs/board/api/queues/upkeep/resume')).status).toBe(200);
});
