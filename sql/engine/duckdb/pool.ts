import { join } from 'node:path';
import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import { type EngineChild, startChild } from './child-process.ts';
import { createFairQueue, type FairQueue } from './fair-queue.ts';
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

/**
 * Children that run statements, one at a time each, started before they are needed.
 *
 * Beside the `children` regular ones there is an express child while there is work: what waits and has not yet shown to
 * be long is tried there for a moment. A statement that proves long there is sent back (it has shown no rows yet) and
 * begins again on a regular child, so that a short one never waits behind long ones for more than such moments.
 */
export interface ChildPool extends AsyncDisposable {
  /** Waits for a turn: users take turns, each user's statements in order. Rejects when the signal is aborted. */
  acquire(request: { readonly user: string; readonly signal: AbortSignal; readonly isLong: boolean }): Promise<Lease>;
  readonly waiting: number;
}

/** A child for one statement. */
export interface Lease {
  readonly child: EngineChild;
  /** Called when the statement must make room, unless it has begun to answer by then. */
  onSendBack(callback: () => void): void;
  /** The statement has begun to answer: it stays. */
  begun(): void;
  /** Gives the child back; one that has ended is replaced. */
  release(): void;
}

interface Waiter {
  readonly give: (lease: Lease) => void;
  readonly fail: (error: unknown) => void;
}

interface Busy {
  readonly sinceMs: number;
  /** Processor time of the child when it was given out. */
  readonly cpuBeforeMs: Promise<number | undefined>;
  readonly onExpress: boolean;
  sendBack: (() => void) | undefined; // no more once it has begun to answer
}

/**
 * A statement gets this much of the express child's time, once another one waits for it: processor time, so that a
 * short one on a crowded machine is not taken for a long one, and at most the second number of time that passes.
 */
const expressSliceMs = { cpu: 150, passed: 1_000 } as const;
/** After this long a statement on the express child may stay: nobody wanted the child in the meantime. */
const expressKeepMs = 5_000;
/** How often is looked whether somebody waits. */
const tickMs = 50;
/** The express child is ended when there was no work for it for so long. */
const expressIdleMs = 60_000;
/** A child that has done nothing for so long and still holds so much is replaced by a fresh one. */
const idleCheckMs = 30_000;
const idleBytesMax = 256 * 2 ** 20;

export function createChildPool(options: PoolOptions): ChildPool {
  return new Pool(options);
}

class Pool implements ChildPool {
  readonly #options: PoolOptions;
  readonly #all = new Set<EngineChild>();
  readonly #idle: EngineChild[] = [];
  readonly #busy = new Map<EngineChild, Busy>();
  readonly #short: FairQueue<Waiter> = createFairQueue();
  readonly #long: FairQueue<Waiter> = createFairQueue();
  readonly #starts = new Set<Promise<void>>();
  #starting = 0;
  #number = 0;
  #failures = 0;
  #closed = false;
  #ticking = false;
  #lastCrowdedMs = Number.NEGATIVE_INFINITY;

  constructor(options: PoolOptions) {
    this.#options = options;
    this.#fill();
  }

  get waiting(): number {
    return this.#short.size + this.#long.size;
  }

  async acquire({ user, signal, isLong }: { user: string; signal: AbortSignal; isLong: boolean }): Promise<Lease> {
    const queue = isLong ? this.#long : this.#short;
    return await new Promise<Lease>((resolve, reject) => {
      if (this.#closed) return reject(stoppingError());
      if (signal.aborted) return reject(cancelledError());
      const settle = (): void => signal.removeEventListener('abort', abort);
      const waiter: Waiter = {
        give(lease) {
          settle();
          resolve(lease);
        },
        fail(error) {
          settle();
          reject(error);
        },
      };
      const abort = (): void => {
        if (queue.remove(user, waiter)) reject(cancelledError());
      };
      signal.addEventListener('abort', abort, { once: true });
      queue.add(user, waiter);
      this.#hand();
      this.#tick();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    this.#failAll(stoppingError());
    await Promise.all(
      [...this.#all].map(async (child) => {
        child.kill();
        await child.ended;
      }),
    );
    await Promise.all(this.#starts);
  }

  /** Gives idle children to those who wait. */
  #hand(): void {
    while (this.#idle.length > 0) {
      // The last child that is free is the express one, once there are more than the regular number.
      const express = this.#regularBusy() >= this.#options.children;
      const waiter = express ? this.#short.next() : (this.#long.next() ?? this.#short.next());
      if (waiter === undefined) return;
      const child = this.#idle.pop();
      if (child !== undefined) waiter.give(this.#lease(child, express));
    }
  }

  #regularBusy(): number {
    return [...this.#busy.values()].filter(({ onExpress }) => !onExpress).length;
  }

  #lease(child: EngineChild, onExpress: boolean): Lease {
    const sinceMs = this.#options.clock.monotonic();
    const busy: Busy = {
      sinceMs,
      cpuBeforeMs: onExpress ? child.cpuMs() : Promise.resolve(undefined),
      onExpress,
      sendBack: undefined,
    };
    this.#busy.set(child, busy);
    this.#tick();
    return {
      child,
      onSendBack(callback) {
        busy.sendBack = callback;
      },
      begun() {
        busy.sendBack = undefined;
      },
      release: () => {
        if (this.#busy.get(child) !== busy) return;
        this.#busy.delete(child);
        if (!child.alive) return;
        if (this.#closed) return child.kill();
        this.#idle.push(child);
        this.#hand();
        this.#options.clock.timer(idleCheckMs, () => void this.#replaceIfLarge(child));
      },
    };
  }

  /** Memory that a large statement has left behind goes back to the system. */
  async #replaceIfLarge(child: EngineChild): Promise<void> {
    if (!this.#idle.includes(child)) return;
    const bytes = await child.residentBytes();
    const index = this.#idle.indexOf(child);
    if (index === -1 || bytes === undefined || bytes <= idleBytesMax) return;
    this.#idle.splice(index, 1);
    child.kill();
  }

  /**
   * Looks again and again, as long as anything runs or waits: is an express child wanted, must it be freed, or is it
   * idle?
   */
  #tick(): void {
    if (this.#ticking || this.#closed) return;
    this.#ticking = true;
    this.#options.clock.timer(tickMs, () => {
      this.#ticking = false;
      const nowMs = this.#options.clock.monotonic();
      this.#freeExpress(nowMs);
      const { children } = this.#options;
      const crowded = this.#regularBusy() >= children;
      if (crowded) this.#lastCrowdedMs = nowMs;
      if (crowded && this.#all.size + this.#starting <= this.#regularBusy()) this.#start();
      const surplus = this.#all.size > children && nowMs - this.#lastCrowdedMs > expressIdleMs;
      if (surplus) this.#idle.pop()?.kill();
      if (this.#busy.size > 0 || this.waiting > 0 || this.#all.size > children) this.#tick();
    });
  }

  #freeExpress(nowMs: number): void {
    for (const [child, busy] of this.#busy) {
      if (!busy.onExpress) continue;
      const ranMs = nowMs - busy.sinceMs;
      if (busy.sendBack === undefined || ranMs >= expressKeepMs) {
        // It stays, as a regular one: another express child may be started in its place.
        this.#busy.set(child, Object.assign(busy, { onExpress: false }));
      } else if (this.#short.size > 0 && ranMs >= expressSliceMs.cpu) {
        void this.#sendBackIfLong(child, busy, ranMs);
      }
    }
  }

  async #sendBackIfLong(child: EngineChild, busy: Busy, ranMs: number): Promise<void> {
    const [before, now] = await Promise.all([busy.cpuBeforeMs, child.cpuMs()]);
    const cpuMs = before === undefined || now === undefined ? ranMs : now - before;
    if (cpuMs < expressSliceMs.cpu && ranMs < expressSliceMs.passed) return;
    const { sendBack } = busy;
    busy.sendBack = undefined;
    if (this.#busy.get(child) === busy) sendBack?.();
  }

  #fill(): void {
    while (!this.#closed && this.#all.size + this.#starting < this.#options.children) this.#start();
  }

  #start(): void {
    // However many statements stay on what was the express child, there is an end to processes.
    if (this.#closed || this.#all.size + this.#starting >= this.#options.children + 2) return;
    this.#starting += 1;
    const started = startChild(childOptions(this.#options, this.#number++), this.#options.clock)
      .finally(() => this.#starting--)
      .then(
        async (child) => await this.#add(child),
        (error: unknown) => this.#failed(error),
      );
    this.#starts.add(started);
    void started.then(() => this.#starts.delete(started));
  }

  async #add(child: EngineChild): Promise<void> {
    this.#failures = 0;
    if (this.#closed) {
      child.kill();
      return await child.ended;
    }
    this.#all.add(child);
    void child.ended.then(() => {
      this.#all.delete(child);
      const index = this.#idle.indexOf(child);
      if (index !== -1) this.#idle.splice(index, 1);
      this.#fill();
    });
    this.#idle.push(child);
    this.#hand();
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    this.#options.logger.error('sql_child_failed_to_start', { error });
    // Whoever waits is told where no child is left that could answer; the next try comes later and later, up to half a
    // minute.
    if (this.#all.size === 0) this.#failAll(error);
    this.#options.clock.timer(Math.min(30_000, 500 * 2 ** this.#failures), () => this.#fill());
  }

  #failAll(error: unknown): void {
    for (const queue of [this.#short, this.#long]) {
      for (let waiter = queue.next(); waiter !== undefined; waiter = queue.next()) waiter.fail(error);
    }
  }
}

export function cancelledError(): WatershedError {
  return new WatershedError('cancelled', 'the statement was cancelled', { context: { sqlstate: '57014' } });
}

function stoppingError(): WatershedError {
  return new WatershedError('unavailable', 'the SQL engine is stopping', { context: { sqlstate: '57P01' } });
}

function childOptions(options: PoolOptions, number: number): ChildOptions {
  const { memoryBytes, threads, readable, tempDir, tempBytesMax } = options;
  return { memoryBytes, threads, readable, tempDir: join(tempDir, `sql-${number}`), tempBytesMax };
}
