import { join } from 'node:path';
import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import { type EngineChild, startChild } from './child-process.ts';
import { createFairQueue } from './fair-queue.ts';
import type { ChildOptions } from './protocol.ts';

export interface PoolOptions {
  /** Statements that run at once. */
  readonly children: number;
  /** DuckDB's own limit, per child. */
  readonly memoryBytes: number;
  readonly threads: number;
  readonly readable: readonly string[];
  /** Folder in which each child gets one for what it spills. */
  readonly tempDir: string;
  readonly tempBytesMax: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** Children that run statements, one at a time each, started before they are needed. */
export interface ChildPool extends AsyncDisposable {
  /** Waits for a turn: users take turns, each user's statements in order. Rejects when the signal is aborted. */
  acquire(user: string, signal: AbortSignal): Promise<EngineChild>;
  /** Gives a child back; one that has ended, or is to be ended, is replaced. */
  release(child: EngineChild): void;
  readonly waiting: number;
}

interface Waiter {
  readonly give: (child: EngineChild) => void;
  readonly fail: (error: unknown) => void;
}

export function createChildPool(options: PoolOptions): ChildPool {
  const { clock, logger } = options;
  const idle: EngineChild[] = [];
  const all = new Set<EngineChild>();
  const queue = createFairQueue<Waiter>();
  let starting = 0;
  let number = 0;
  let closed = false;
  let failures = 0;

  const hand = (): void => {
    while (idle.length > 0 && queue.size > 0) {
      const child = idle.pop();
      if (child !== undefined && child.alive) queue.next()?.give(child);
    }
  };
  const fill = (): void => {
    while (!closed && all.size + starting < options.children) {
      starting += 1;
      void startOne();
    }
  };
  const startOne = async (): Promise<void> => {
    try {
      const child = await startChild(childOptions(options, number++), clock);
      starting -= 1;
      failures = 0;
      if (closed) return child.kill();
      all.add(child);
      void child.ended.then(() => {
        all.delete(child);
        fill();
      });
      idle.push(child);
      hand();
    } catch (error) {
      starting -= 1;
      failures += 1;
      logger.error('sql_child_failed_to_start', { error });
      // Whoever waits is told; the next try comes later and later, up to half a minute.
      while (queue.size > 0) queue.next()?.fail(error);
      clock.timer(Math.min(30_000, 500 * 2 ** failures), fill);
    }
  };
  fill();

  return {
    get waiting() {
      return queue.size;
    },
    acquire: async (user, signal) => await new Promise<EngineChild>((resolve, reject) => {
      if (closed) return reject(new WatershedError('unavailable', 'the SQL engine is stopping'));
      if (signal.aborted) return reject(cancelledError());
      const waiter: Waiter = {
        give(child) {
          signal.removeEventListener('abort', abort);
          resolve(child);
        },
        fail(error) {
          signal.removeEventListener('abort', abort);
          reject(error);
        },
      };
      const abort = (): void => {
        if (queue.remove(user, waiter)) reject(cancelledError());
      };
      signal.addEventListener('abort', abort, { once: true });
      queue.add(user, waiter);
      hand();
    }),
    release(child) {
      if (!child.alive) return;
      if (closed) return child.kill();
      idle.push(child);
      hand();
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      while (queue.size > 0) queue.next()?.fail(new WatershedError('unavailable', 'the SQL engine is stopping'));
      const ends = [...all].map(async (child) => {
        child.kill();
        await child.ended;
      });
      await Promise.all(ends);
    },
  };
}

export function cancelledError(): WatershedError {
  return new WatershedError('cancelled', 'the statement was cancelled', { context: { sqlstate: '57014' } });
}

function childOptions(options: PoolOptions, number: number): ChildOptions {
  const { memoryBytes, threads, readable, tempDir, tempBytesMax } = options;
  return { memoryBytes, threads, readable, tempDir: join(tempDir, `sql-${number}`), tempBytesMax };
}
