import { join } from 'node:path';
import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import { type EngineChild, startChild } from './child-process.ts';
import { createFairQueue } from './fair-queue.ts';
import type { ChildOptions } from './protocol.ts';
import { nothingKnown, type Past, pastAfter, sliceMs } from './slices.ts';

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
 * Children that run statements, one at a time each. One is kept warm; others are started when statements wait or have
 * been at work for a moment, and end when nobody has needed them for a while: an idle child costs some 100 MB, and a
 * new one is there in about a quarter of a second.
 *
 *     regular   up to `children`: a statement may take all the time its limits allow
 *     overtime  one more, for a statement that began to answer, or ran long unasked for, on the express child
 *     express   one beyond those: what waits is tried there for a slice of time. A statement that proves longer is sent
 *               back (it has shown no rows yet) and begins again later: a short one waits for some slices at most
 *
 * A statement that was sent back is tried once more with a longer slice when no new one waits. Then it waits for a
 * regular child, or has the express one while nobody else wants it.
 */
export interface ChildPool extends AsyncDisposable {
  /**
   * Waits for a turn: users take turns, each user's statements in order. `past` is that of its last lease. Rejects when
   * the signal is aborted.
   */
  acquire(request: { readonly user: string; readonly signal: AbortSignal; readonly past?: Past }): Promise<Lease>;
  readonly waiting: number;
}

/** A child for one statement. */
export interface Lease {
  readonly child: EngineChild;
  /** What is known of the statement when it was sent back. */
  past(): Past;
  /**
   * Called when the statement must make room; not after `begin` has resolved. `isSpent`: it had its processor time, and
   * is not only kept from it by a crowded machine.
   */
  onSendBack(callback: (isSpent: boolean) => void): void;
  /**
   * The statement has rows to show. Resolves when it may show them: then it is not sent back any more. `whole` is when
   * all of its answer lies here, so that the child is free anyway.
   */
  begin(whole: Promise<void>): Promise<void>;
  /** Gives the child back; one that has ended is replaced when it is needed. */
  release(): void;
}

interface Waiter {
  readonly past: Past;
  readonly give: (lease: Lease) => void;
  readonly fail: (error: unknown) => void;
}

interface Busy {
  readonly sinceMs: number;
  readonly past: Past;
  /** Whether it was sent back because its slice of processor time was used up, and not only time had passed. */
  isSpent: boolean;
  /** Processor time of the child when it was given out. */
  readonly cpuBeforeMs: Promise<number | undefined>;
  onExpress: boolean;
  sendBack: ((isSpent: boolean) => void) | undefined; // no more once it has begun to answer
  /** It has rows to show and waits for leave to. */
  mayStay: (() => void) | undefined;
}

interface Idle {
  readonly child: EngineChild;
  readonly sinceMs: number;
  looked: boolean;
}

/** After this long on the express child a statement gets the overtime place: nobody wanted the child meanwhile. */
const expressKeepMs = 5_000;
/** How often is looked whether somebody waits; and how often where nothing is at work. */
const tickMs = 25;
const idleTickMs = 1_000;
/** When every child has been at work for so long, another is started, so that it is there when somebody comes. */
const spareAfterMs = 200;
/** Children beyond the warm one end when they had nothing to do for so long. */
const idleKeepMs = 60_000;
/** A child that has done nothing for so long and still holds so much (a fresh one: 100 MB) gives way to a fresh one. */
const idleLookMs = 20_000;
const idleBytesMax = 192 * 2 ** 20;

/** `start` is there for tests. */
export function createChildPool(options: PoolOptions, start: typeof startChild = startChild): ChildPool {
  return new Pool(options, start);
}

class Pool implements ChildPool {
  readonly #options: PoolOptions;
  readonly #startChild: typeof startChild;
  readonly #all = new Set<EngineChild>();
  readonly #idle: Idle[] = [];
  readonly #busy = new Map<EngineChild, Busy>();
  /** By level. */
  readonly #queues = [
    createFairQueue<Waiter>(),
    createFairQueue<Waiter>(),
    createFairQueue<Waiter>(),
    createFairQueue<Waiter>(),
  ] as const;
  readonly #starts = new Set<Promise<void>>();
  #starting = 0;
  #number = 0;
  #failures = 0;
  #mayStartMs = Number.NEGATIVE_INFINITY;
  #closed = false;
  #tickDueMs = Number.POSITIVE_INFINITY;
  #cancelTick: (() => void) | undefined;

  constructor(options: PoolOptions, start: typeof startChild) {
    this.#options = options;
    this.#startChild = start;
    this.#start();
  }

  get waiting(): number {
    return this.#queues.reduce((sum, { size }) => sum + size, 0);
  }

  async acquire({ user, signal, past = nothingKnown }: Parameters<ChildPool['acquire']>[0]): Promise<Lease> {
    const queue = this.#queues[past.level];
    return await new Promise<Lease>((resolve, reject) => {
      if (this.#closed) return reject(stoppingError());
      if (signal.aborted) return reject(cancelledError());
      const settle = (): void => signal.removeEventListener('abort', abort);
      const waiter: Waiter = {
        past,
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
      this.#grow();
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
    const [fresh, tried, long, stubborn] = this.#queues;
    while (this.#idle.length > 0) {
      const express = this.#regularBusy() >= this.#options.children;
      const waiter = express
        ? (fresh.next() ?? tried.next() ?? long.next())
        : (stubborn.next() ?? long.next() ?? tried.next() ?? fresh.next());
      if (waiter === undefined) return;
      // The one that worked last: the others may end.
      const idle = this.#idle.pop();
      if (idle !== undefined) waiter.give(this.#lease(idle.child, express, waiter.past));
    }
  }

  #regularBusy(): number {
    return [...this.#busy.values()].filter(({ onExpress }) => !onExpress).length;
  }

  #lease(child: EngineChild, onExpress: boolean, past: Past): Lease {
    const busy: Busy = {
      sinceMs: this.#options.clock.monotonic(),
      past,
      isSpent: false,
      cpuBeforeMs: onExpress ? child.cpuMs() : Promise.resolve(undefined),
      onExpress,
      sendBack: undefined,
      mayStay: undefined,
    };
    this.#busy.set(child, busy);
    this.#tick();
    return {
      child,
      past: () => pastAfter(busy.past, busy.isSpent, child.alive),
      onSendBack(callback) {
        busy.sendBack = callback;
      },
      begin: async (whole) => {
        if (busy.onExpress && !this.#promote(busy)) {
          const stays = Promise.withResolvers<void>();
          busy.mayStay = stays.resolve;
          await Promise.race([whole, stays.promise]);
        }
        busy.sendBack = undefined;
      },
      release: () => {
        if (this.#busy.get(child) !== busy) return;
        this.#busy.delete(child);
        if (!child.alive) return;
        if (this.#closed) return child.kill();
        this.#add(child);
      },
    };
  }

  #add(child: EngineChild): void {
    this.#idle.push({ child, sinceMs: this.#options.clock.monotonic(), looked: false });
    this.#hand();
    this.#tick();
  }

  /**
   * Makes a regular statement of one on the express child, where there is room; then another child is the express one.
   * For the overtime place that child must be there already: nobody shall wait for its start.
   */
  #promote(busy: Busy): boolean {
    const beyond = this.#regularBusy() - this.#options.children;
    if (beyond > 0 || (beyond === 0 && this.#idle.length === 0)) return false;
    busy.onExpress = false;
    busy.mayStay?.();
    return true;
  }

  /** Looks again and again, as long as anything runs, waits, or idles beside the warm child. */
  #tick(): void {
    const { clock } = this.#options;
    const dueMs = clock.monotonic() + (this.#busy.size + this.waiting > 0 ? tickMs : idleTickMs);
    if (this.#closed || dueMs >= this.#tickDueMs) return;
    this.#cancelTick?.();
    this.#tickDueMs = dueMs;
    this.#cancelTick = clock.timer(dueMs - clock.monotonic(), () => {
      this.#tickDueMs = Number.POSITIVE_INFINITY;
      if (this.#closed) return;
      const nowMs = clock.monotonic();
      this.#freeExpress(nowMs);
      this.#hand();
      this.#grow();
      this.#shrink(nowMs);
      const settled = this.#all.size <= 1 && this.#idle.every(({ looked }) => looked);
      if (this.#busy.size + this.waiting > 0 || !settled) this.#tick();
    });
  }

  #freeExpress(nowMs: number): void {
    const [fresh, tried] = this.#queues;
    for (const [child, busy] of this.#busy) {
      if (!busy.onExpress) continue;
      const slice = sliceMs(busy.past, Math.max(1, fresh.size));
      const ranMs = nowMs - busy.sinceMs;
      if ((busy.mayStay !== undefined || ranMs >= expressKeepMs) && this.#promote(busy)) continue;
      const wanted = fresh.size + tried.size > 0 || busy.mayStay !== undefined;
      if (wanted && ranMs >= Math.min(slice.cpu, slice.passed) / 2) void this.#sendBackIfLong(child, busy, ranMs, slice);
    }
  }

  async #sendBackIfLong(
    child: EngineChild,
    busy: Busy,
    ranMs: number,
    slice: { readonly cpu: number; readonly passed: number },
  ): Promise<void> {
    const [before, now] = await Promise.all([busy.cpuBeforeMs, child.cpuMs()]);
    const cpuMs = before === undefined || now === undefined ? ranMs : now - before;
    if (!busy.onExpress || (cpuMs < slice.cpu && ranMs < slice.passed)) return;
    busy.isSpent = cpuMs >= slice.cpu;
    const { sendBack } = busy;
    busy.sendBack = undefined;
    if (this.#busy.get(child) === busy) sendBack?.(busy.isSpent);
  }

  /** Starts what is missing: for those who wait, or so that somebody who comes need not wait for a start. */
  #grow(): void {
    const { children, clock } = this.#options;
    const nowMs = clock.monotonic();
    if (nowMs < this.#mayStartMs) return;
    const long = [...this.#busy.values()].filter(({ sinceMs }) => nowMs - sinceMs >= spareAfterMs);
    const most = children + (long.length > children ? 2 : 1);
    const crowded = long.length === this.#all.size;
    const wanted = Math.min(most, this.#busy.size + Math.max(this.waiting, crowded ? 1 : 0));
    while (!this.#closed && this.#all.size + this.#starting < Math.max(1, wanted)) this.#start();
  }

  #shrink(nowMs: number): void {
    const [oldest] = this.#idle;
    if (oldest !== undefined && this.#all.size > 1 && nowMs - oldest.sinceMs >= idleKeepMs) {
      this.#idle.shift();
      oldest.child.kill();
    }
    for (const idle of this.#idle) {
      if (idle.looked || nowMs - idle.sinceMs < idleLookMs) continue;
      idle.looked = true;
      void this.#replaceIfLarge(idle);
    }
  }

  /** Memory that a large statement has left behind goes back to the system. */
  async #replaceIfLarge(idle: Idle): Promise<void> {
    const bytes = await idle.child.residentBytes();
    const index = this.#idle.indexOf(idle);
    if (index === -1 || bytes === undefined || bytes <= idleBytesMax) return;
    this.#idle.splice(index, 1);
    idle.child.kill();
  }

  #start(): void {
    this.#starting += 1;
    const started = this.#startChild(childOptions(this.#options, this.#number++), this.#options.clock)
      .finally(() => this.#starting--)
      .then(
        async (child) => await this.#started(child),
        (error: unknown) => this.#failed(error),
      );
    this.#starts.add(started);
    void started.then(() => this.#starts.delete(started));
  }

  async #started(child: EngineChild): Promise<void> {
    this.#failures = 0;
    if (this.#closed) {
      child.kill();
      return await child.ended;
    }
    this.#all.add(child);
    void child.ended.then(() => {
      this.#all.delete(child);
      const index = this.#idle.findIndex((idle) => idle.child === child);
      if (index !== -1) this.#idle.splice(index, 1);
      this.#grow();
    });
    this.#add(child);
  }

  #failed(error: unknown): void {
    this.#failures += 1;
    const { logger, clock } = this.#options;
    logger.error('sql_child_failed_to_start', { error });
    // Whoever waits is told where no child is left that could answer; the next try comes later and later, up to half a
    // minute.
    if (this.#all.size === 0) this.#failAll(error);
    const pauseMs = Math.min(30_000, 500 * 2 ** this.#failures);
    this.#mayStartMs = clock.monotonic() + pauseMs;
    clock.timer(pauseMs, () => this.#grow());
  }

  #failAll(error: unknown): void {
    for (const queue of this.#queues) {
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
