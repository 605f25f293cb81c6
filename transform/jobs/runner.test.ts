import Type from 'typebox';
import { manualClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { createMemoryQueue } from '#core/queue/memory.ts';
import type { JobDefinition } from './job.ts';
import { createRunner } from './runner.ts';

const Payload = Type.Object({ n: Type.Optional(Type.Integer()) }, { additionalProperties: false });
type Work = JobDefinition<typeof Payload>['run'];

function setUp(run: Work, more: Partial<JobDefinition<typeof Payload>> = {}) {
  const clock = manualClock();
  const metrics = createMetrics();
  const job: JobDefinition<typeof Payload> = {
    name: 'count',
    description: 'Counts',
    payload: Payload,
    concurrency: 1,
    attempts: 2,
    run,
    ...more,
  };
  const queue = createMemoryQueue(clock);
  const runner = createRunner({ queue, jobs: [job], clock, metrics, logger: silentLogger });
  const stop = new AbortController();
  const running = runner.service.run(stop.signal);
  return {
    clock,
    metrics,
    queue,
    runner,
    stop,
    async end() {
      stop.abort();
      await running;
      await queue[Symbol.asyncDispose]();
    },
  };
}

const settled = async (met: () => boolean): Promise<void> => {
  while (!met()) await new Promise((resolve) => setImmediate(resolve));
};

test('runs a job for a hint, and tells how it went', async () => {
  const seen: unknown[] = [];
  const { runner, metrics, end } = setUp(async (payload, { progress }) => {
    await progress({ posts: 3 });
    seen.push(payload);
  });
  runner.hint('count');
  await settled(() => seen.length === 1);
  await end();
  const [status] = await runner.status();
  expect(status).toMatchObject({
    name: 'count',
    completed: 1,
    failed: 0,
    lastRun: { outcome: 'done', attempt: 1, progress: { posts: 3 } },
  });
  expect(await metrics.value('watershed_job_runs_total', { job: 'count', outcome: 'done' })).toBe(1);
});

test('a hint that comes while the job runs makes it run again', async () => {
  const gate = Promise.withResolvers<void>();
  let runs = 0;
  const { runner, end } = setUp(async () => {
    if (++runs === 1) await gate.promise;
  });
  runner.hint('count');
  await settled(() => runs === 1);
  runner.hint('count');
  runner.hint('count');
  gate.resolve();
  await settled(() => runs === 2);
  await end();
  expect(runs).toBe(2);
});

test('sets a job that keeps failing aside with its reason, and goes on with others', async () => {
  const done: unknown[] = [];
  const { runner, clock, metrics, queue, end } = setUp(async (payload) => {
    if (payload.n === 1) throw new Error('the disk is full');
    done.push(payload.n);
  });
  await runner.request('count', { n: 1 });
  await runner.request('count', { n: 2 });
  await settled(() => done.length === 1);
  await clock.advance(60_000);
  while ((await queue.stats('count')).failed === 0) await clock.advance(1000);
  const [status] = await runner.status();
  expect(status).toMatchObject({ failed: 1, lastFailure: { reason: expect.stringContaining('the disk is full') } });
  expect(await metrics.value('watershed_job_runs_total', { job: 'count', outcome: 'failed' })).toBe(2);
  await end();
});

test('refuses a job that does not exist and a payload of another shape', async () => {
  const { runner, end } = setUp(async () => undefined);
  await expect(runner.request('nothing')).rejects.toMatchObject({ code: 'not_found' });
  await expect(runner.request('count', { n: 'one' })).rejects.toMatchObject({ code: 'bad_request' });
  await end();
});

test('runs on its schedule without being asked', async () => {
  let runs = 0;
  const { clock, end } = setUp(
    async () => {
      runs++;
    },
    { schedule: { when: { everyMs: 5_000 }, payload: {} } },
  );
  while (runs < 2) await clock.advance(1000);
  await end();
  expect(runs).toBeGreaterThanOrEqual(2);
});

test('being stopped ends a running job without a failure', async () => {
  let started = false;
  const { runner, end } = setUp(async (_payload, { signal }) => {
    started = true;
    await new Promise((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(signal.reason), { once: true }),
    );
  });
  runner.hint('count');
  await settled(() => started);
  await end();
  expect((await runner.status())[0]?.failed).toBe(0);
});
