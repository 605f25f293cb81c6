import type { Job, Queue, QueueStats } from './queue.ts';

export interface QueueSubject {
  readonly queue: Queue;
  /** Another handle on the same jobs, as another process would have; the suite disposes it. */
  another(): Promise<Queue>;
  dispose(): Promise<void>;
}

const runId = Math.random().toString(36).slice(2, 8);
let queueNumber = 0;

async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + 15_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`in vain waited until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** The contract of core/queue/queue.ts. `open` gives a queue whose first retry comes after 50 ms; it is called once. */
export function queueSuite(name: string, open: () => Promise<QueueSubject>): void {
  describe(`${name} as a queue`, () => {
    let subject: QueueSubject;
    beforeAll(async () => {
      subject = await open();
    }, 120_000);
    afterAll(() => subject?.dispose());
    const use = (): Used => ({ queue: subject.queue, subject, name: `suite-${runId}-${++queueNumber}` });
    describe('jobs', () => jobTests(use));
    describe('failures', () => failureTests(use));
    describe('history', () => historyTests(use));
    describe('several handlers', () => sharingTests(use));
    describe('schedules', () => scheduleTests(use));
  });
}

interface Used {
  readonly queue: Queue;
  readonly subject: QueueSubject;
  /** A queue that no other test uses. */
  readonly name: string;
}
type Use = () => Used;

function jobTests(use: Use): void {
  test('a job that was enqueued before there was a handler is handled, with its payload', async () => {
    const { queue, name } = use();
    const payload = { table: 'posts', range: [1, 2], text: 'Überflutung 🌊', nothing: null };
    await queue.enqueue(name, { id: 'merge', payload });
    expect(await queue.stats(name)).toMatchObject({ waiting: 1, active: 0, completed: 0, failed: 0, lastFailure: undefined });
    const seen: Job[] = [];
    await using _worker = await queue.work(name, { concurrency: 1 }, async (job) => void seen.push(job));
    await until('it was handled', () => seen.length === 1);
    expect(seen[0]).toMatchObject({ id: 'merge', payload, attempt: 1 });
    expect(seen[0]?.signal.aborted).toBe(false);
    await until('it is counted', async () => (await queue.stats(name)).completed === 1);
  });

  test('the same id is not queued twice while it waits or runs, and may come again afterwards', async () => {
    const { queue, name } = use();
    const seen: unknown[] = [];
    const gate = Promise.withResolvers<void>();
    await queue.enqueue(name, { id: 'a', payload: 1 });
    await queue.enqueue(name, { id: 'a', payload: 2 });
    expect((await queue.stats(name)).waiting).toBe(1);
    await using _worker = await queue.work(name, { concurrency: 1 }, async ({ payload }) => {
      seen.push(payload);
      if (seen.length === 1) await gate.promise;
    });
    await until('it runs', () => seen.length === 1);
    await queue.enqueue(name, { id: 'a', payload: 3 });
    gate.resolve();
    await until('it is done', async () => (await queue.stats(name)).completed === 1);
    expect(await queue.stats(name)).toMatchObject({ waiting: 0, active: 0 });
    await queue.enqueue(name, { id: 'a', payload: 4 });
    await until('it came again', () => seen.length === 2);
    expect(seen).toEqual([1, 4]);
  });

  test('a delayed job waits its time', async () => {
    const { queue, name } = use();
    const before = performance.now();
    const handled = Promise.withResolvers<number>();
    await using _worker = await queue.work(name, { concurrency: 1 }, async () => handled.resolve(performance.now()));
    await queue.enqueue(name, { id: 'later', payload: {}, delayMs: 300 });
    expect((await queue.stats(name)).delayed).toBe(1);
    expect((await handled.promise) - before).toBeGreaterThan(290);
  });

  test('closing a handler waits for what is running, and leaves the rest', async () => {
    const { queue, name } = use();
    const gate = Promise.withResolvers<void>();
    const [started, finished]: string[][] = [[], []];
    const worker = await queue.work(name, { concurrency: 1 }, async ({ id }) => {
      started?.push(id);
      await gate.promise;
      finished?.push(id);
    });
    await queue.enqueue(name, { id: 'running', payload: {} });
    await until('it runs', () => started?.length === 1);
    await queue.enqueue(name, { id: 'rest', payload: {} });
    const closing = worker[Symbol.asyncDispose]();
    gate.resolve();
    await closing;
    expect(finished).toEqual(['running']);
    expect(await queue.stats(name)).toMatchObject({ waiting: 1, active: 0 });
  });

  test('progress can be told', async () => {
    const { queue, name } = use();
    const told = Promise.withResolvers<void>();
    await using _worker = await queue.work(name, { concurrency: 1 }, async (job) => {
      await job.progress(50);
      await job.progress({ done: 3, of: 'posts' });
      told.resolve();
    });
    await queue.enqueue(name, { id: 'a', payload: {} });
    await told.promise;
  });
}

function failureTests(use: Use): void {
  test('a job whose handler throws is tried again, later each time, and counts its attempts', async () => {
    const { queue, name } = use();
    const attempts: { attempt: number; at: number }[] = [];
    await using _worker = await queue.work(name, { concurrency: 1 }, async ({ attempt }) => {
      attempts.push({ attempt, at: performance.now() });
      if (attempt < 3) throw new Error('not yet');
    });
    await queue.enqueue(name, { id: 'a', payload: {} });
    await until('it is done', async () => (await queue.stats(name)).completed === 1);
    expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3]);
    const [first = 0, second = 0, third = 0] = attempts.map(({ at }) => at);
    expect(second - first).toBeGreaterThan(45);
    expect(third - second).toBeGreaterThan(95);
  });

  test('after its attempts a job has failed, is kept with its reason, and its id is free again', async () => {
    const { queue, name } = use();
    let calls = 0;
    await using _worker = await queue.work(name, { concurrency: 1 }, async () => {
      calls++;
      if (calls <= 2) throw new Error(`broken ${calls}`);
    });
    const before = Date.now();
    await queue.enqueue(name, { id: 'bad', payload: {}, attempts: 2 });
    await until('it has failed', async () => (await queue.stats(name)).failed === 1);
    const { lastFailure } = await queue.stats(name);
    expect(lastFailure).toMatchObject({ id: 'bad', reason: 'broken 2' });
    expect(Date.parse(lastFailure?.at ?? '')).toBeGreaterThan(before - 2000);
    await queue.enqueue(name, { id: 'bad', payload: {} });
    await until('it came again', () => calls === 3);
  });
}

function historyTests(use: Use): void {
  test('what ran, runs and waits is listed, with attempts, progress, duration and the last error', async () => {
    const { queue, name } = use();
    const gate = Promise.withResolvers<void>();
    await using _worker = await queue.work(name, { concurrency: 1 }, async (job) => {
      await job.progress({ posts: 7 });
      if (job.id === 'bad') throw new Error(`broken ${job.attempt}`);
      if (job.id === 'long') await gate.promise;
    });
    await queue.enqueue(name, { id: 'good', payload: {} });
    await until('one is done', async () => (await queue.stats(name)).completed === 1);
    await queue.enqueue(name, { id: 'bad', payload: {}, attempts: 2 });
    await until('one has failed', async () => (await queue.stats(name)).failed === 1);
    await queue.enqueue(name, { id: 'long', payload: {} });
    await until('one runs and has told', async () => (await queue.recent(name, 9)).some(({ state, progress }) => state === 'active' && progress !== 0));
    await queue.enqueue(name, { id: 'next', payload: {} });
    const records = await queue.recent(name, 9);
    const of = (id: string): unknown => records.find((record) => record.id === id);
    expect(records).toHaveLength(4);
    expect(of('good')).toMatchObject({ state: 'completed', attempts: 1, progress: { posts: 7 }, durationMs: expect.any(Number), error: undefined });
    expect(of('bad')).toMatchObject({ state: 'failed', attempts: 2, error: 'broken 2', finishedAt: expect.stringMatching(/^\d{4}-.*Z$/) });
    expect(of('long')).toMatchObject({ state: 'active', attempts: 1, progress: { posts: 7 }, finishedAt: undefined });
    expect(of('next')).toMatchObject({ state: 'waiting', attempts: 0, startedAt: undefined });
    gate.resolve();
  });

  test('failed jobs are put back, all at once, with what they were asked for', async () => {
    const { queue, name } = use();
    let broken = true;
    const done: unknown[] = [];
    await using _worker = await queue.work(name, { concurrency: 2 }, async ({ payload }) => {
      if (broken) throw new Error('broken');
      done.push(payload);
    });
    for (const n of [1, 2, 3]) await queue.enqueue(name, { id: `job-${n}`, payload: n, attempts: 1 });
    await until('all have failed', async () => (await queue.stats(name)).failed === 3);
    broken = false;
    expect(await queue.retryFailed(name)).toBe(3);
    await until('all are done', () => done.length === 3);
    expect(done.toSorted()).toEqual([1, 2, 3]);
    await until('none counts as failed', async () => (await queue.stats(name)).failed === 0);
    expect(await queue.retryFailed(name)).toBe(0);
  });
}

function sharingTests(use: Use): void {
  test('handlers of two handles share the jobs, each of which is done once', async () => {
    const { queue, name, subject } = use();
    await using other = await subject.another();
    const done: string[] = [];
    const by = new Set<string>();
    const handle = (who: string) => async ({ id }: Job): Promise<void> => {
      by.add(who);
      done.push(id);
      await new Promise((resolve) => setTimeout(resolve, 5));
    };
    await using _one = await queue.work(name, { concurrency: 2 }, handle('one'));
    await using _two = await other.work(name, { concurrency: 2 }, handle('two'));
    const ids = Array.from({ length: 60 }, (_, index) => `job-${index}`);
    for (const id of ids) await queue.enqueue(name, { id, payload: {} });
    await until('all are done', async () => (await queue.stats(name)).completed === 60);
    expect(done.toSorted()).toEqual(ids.toSorted());
    expect([...by].toSorted()).toEqual(['one', 'two']);
  });

  test('no more than `concurrency` run at once', async () => {
    const { queue, name } = use();
    let [running, most] = [0, 0];
    await using _worker = await queue.work(name, { concurrency: 3 }, async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setTimeout(resolve, 20));
      running--;
    });
    for (let index = 0; index < 12; index++) await queue.enqueue(name, { id: String(index), payload: {} });
    await until('all are done', async () => (await queue.stats(name)).completed === 12);
    expect(most).toBe(3);
  });
}

function scheduleTests(use: Use): void {
  test('a schedule enqueues again and again until it is taken away', async () => {
    const { queue, name } = use();
    const seen: Job[] = [];
    await using _worker = await queue.work(name, { concurrency: 1 }, async (job) => void seen.push(job));
    await queue.schedule(name, 'tick', { everyMs: 100 }, { id: 'tick', payload: { n: 1 } });
    await until('it ran three times', () => seen.length >= 3);
    expect(seen[0]).toMatchObject({ id: 'tick', payload: { n: 1 }, attempt: 1 });
    await queue.unschedule(name, 'tick');
    await until('nothing is due', async () => isIdle(await queue.stats(name)));
    const count = seen.length;
    await new Promise((resolve) => setTimeout(resolve, 350));
    expect(seen).toHaveLength(count);
  });

  test('the same id again replaces a schedule', async () => {
    const { queue, name } = use();
    const seen: unknown[] = [];
    await using _worker = await queue.work(name, { concurrency: 1 }, async ({ payload }) => void seen.push(payload));
    await queue.schedule(name, 'report', { everyMs: 3_600_000 }, { id: 'report', payload: 'old' });
    await queue.schedule(name, 'report', { everyMs: 100 }, { id: 'report', payload: 'new' });
    await until('the new one ran twice', () => seen.filter((payload) => payload === 'new').length >= 2);
    expect((await queue.stats(name)).delayed).toBeLessThanOrEqual(1);
    await queue.unschedule(name, 'report');
  });

  test('a schedule may be a cron expression in a time zone; taking away what is not there is no error', async () => {
    const { queue, name } = use();
    const seen: Job[] = [];
    await using _worker = await queue.work(name, { concurrency: 1 }, async (job) => void seen.push(job));
    await queue.schedule(name, 'second', { cron: '* * * * * *', timeZone: 'Europe/Prague' }, { id: 'second', payload: {} });
    await until('it ran', () => seen.length >= 1);
    await queue.unschedule(name, 'second');
    await queue.unschedule(name, 'never was');
  });
}

function isIdle({ waiting, active, delayed }: QueueStats): boolean {
  return waiting + active + delayed === 0;
}
