import type { Clock } from '../clock.ts';
import { WatershedError, isWatershedError } from '../errors.ts';
import type { Database } from './database.ts';

export interface LeaseOptions {
  /** A standby takes over this long after the holder last said that it lives, at the latest. Default 8 s. */
  readonly ttlMs?: number;
  readonly clock: Clock;
  /** Gives up waiting. */
  readonly signal?: AbortSignal;
  /**
   * Holds on while the database cannot be reached, when nobody can say who holds the lease. Only right where
   * everything done under the lease is a commit that checks the epoch. Otherwise the lease counts as lost after
   * `ttlMs` without an answer.
   */
  readonly holdThroughOutage?: boolean;
}

/** Held, and renewed in the background, until it is disposed or lost. */
export interface Lease extends AsyncDisposable {
  readonly name: string;
  /** Grows with every acquisition, by whomever. A commit under the lease checks it (invariant 6). */
  readonly epoch: bigint;
  /** Aborted with a `fenced` error when the lease is lost. */
  readonly signal: AbortSignal;
  /** Resolves when `stop` is aborted, rejects with `fenced` when the lease is lost before. */
  keep(stop: AbortSignal): Promise<void>;
}

const ttlMsDefault = 8_000;
const renewalsPerTtl = 4; // three may fail before the lease does
const standbyPollMs = 1_000; // how soon a lease that was given back is noticed

/**
 * Waits until the lease is free and takes it. `holder` names this process for people who look at the table. All times
 * are by the database's clock, so that machines need not agree. Rejects with the signal's reason, or `unavailable`.
 */
export async function acquireLease(
  database: Database,
  name: string,
  holder: string,
  options: LeaseOptions,
): Promise<Lease> {
  const { clock, signal } = options;
  const ttlMs = options.ttlMs ?? ttlMsDefault;
  for (let reached = false; ;) {
    signal?.throwIfAborted();
    const askedAt = clock.monotonic();
    try {
      const epoch = await take(database, name, holder, ttlMs);
      if (epoch !== undefined)
        return hold(database, { name, holder, epoch, ttlMs, heldUntil: askedAt + ttlMs }, options);
      reached = true;
      await clock.sleep(Math.min(standbyPollMs, await remainingMs(database, name)), signal);
    } catch (error) {
      // A standby outlives a restart of the database; who never reached it is told.
      if (!reached || !isWatershedError(error, 'unavailable')) throw error;
      await clock.sleep(standbyPollMs, signal);
    }
  }
}

/**
 * Runs `work` under the lease: waits for it, stops the work by its signal when the lease is lost, gives it back at
 * the end.
 */
export async function withLease<Result>(
  database: Database,
  name: string,
  holder: string,
  options: LeaseOptions,
  work: (signal: AbortSignal, epoch: bigint) => Promise<Result>,
): Promise<Result> {
  await using lease = await acquireLease(database, name, holder, options);
  const signal = options.signal === undefined ? lease.signal : AbortSignal.any([options.signal, lease.signal]);
  return await work(signal, lease.epoch);
}

/**
 * Frees every lease. Only right for a database that this process has just started and nobody else uses: whoever held
 * one there is dead, and after a crash the work goes on at once instead of after the time of a lease.
 */
export async function freeAllLeases(database: Database): Promise<void> {
  await database.execute(
    'update watershed.lease set expires_at = clock_timestamp() where expires_at > clock_timestamp()');
}

async function take(database: Database, name: string, holder: string, ttlMs: number): Promise<bigint | undefined> {
  const [row] = await database.query<{ epoch: bigint }>(
    `insert into watershed.lease as held (name, holder, epoch, expires_at)
     values ($1, $2, 1, clock_timestamp() + $3 * interval '1 millisecond')
     on conflict (name) do update
        set holder = excluded.holder, epoch = held.epoch + 1, expires_at = excluded.expires_at
      where held.expires_at <= clock_timestamp()
     returning epoch`,
    [name, holder, ttlMs],
  );
  return row?.epoch;
}

async function remainingMs(database: Database, name: string): Promise<number> {
  const [row] = await database.query<{ left: number }>(
    `select ceil(extract(epoch from expires_at - clock_timestamp()) * 1000)::float8 as left
       from watershed.lease where name = $1`,
    [name],
  );
  return Math.max(1, row?.left ?? 1);
}

interface Held {
  readonly name: string;
  readonly holder: string;
  readonly epoch: bigint;
  readonly ttlMs: number;
  /** By the monotonic clock of this process; never later than what the database has. */
  readonly heldUntil: number;
}

function hold(database: Database, held: Held, options: LeaseOptions): Lease {
  const { name, epoch } = held;
  const lost = new AbortController();
  const stopped = new AbortController();
  const renewing = renewUntil(stopped.signal, database, held, options).catch((error: unknown) => {
    if (!stopped.signal.aborted) lost.abort(error);
  });
  return {
    name,
    epoch,
    signal: lost.signal,
    async keep(stop) {
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      const onLost = (): void => reject(lost.signal.reason);
      stop.addEventListener('abort', () => resolve(), { once: true });
      lost.signal.addEventListener('abort', onLost, { once: true });
      if (lost.signal.aborted) onLost();
      if (stop.aborted) resolve();
      return promise.finally(() => lost.signal.removeEventListener('abort', onLost));
    },
    async [Symbol.asyncDispose]() {
      if (stopped.signal.aborted) return;
      stopped.abort();
      await renewing;
      if (!lost.signal.aborted) await giveBack(database, name, epoch);
    },
  };
}

async function renewUntil(stop: AbortSignal, database: Database, held: Held, options: LeaseOptions): Promise<never> {
  const { name, holder, epoch, ttlMs } = held;
  const { clock } = options;
  let { heldUntil } = held;
  for (;;) {
    await clock.sleep(ttlMs / renewalsPerTtl, stop);
    const askedAt = clock.monotonic();
    try {
      const renewed = await beforeDeadline(
        clock,
        heldUntil,
        options,
        database.execute(
          `update watershed.lease set expires_at = clock_timestamp() + $4 * interval '1 millisecond'
          where name = $1 and holder = $2 and epoch = $3`,
          [name, holder, epoch, ttlMs],
        ),
      );
      if (renewed === 0) throw fenced(name, epoch, 'another process took it');
      heldUntil = askedAt + ttlMs;
    } catch (error) {
      if (!isWatershedError(error, 'unavailable')) throw error;
      if (options.holdThroughOutage !== true && clock.monotonic() >= heldUntil) {
        throw fenced(name, epoch, `the database has not answered for ${ttlMs} ms`, error);
      }
    }
  }
}

/** A statement that hangs must not keep a lease that has run out. */
async function beforeDeadline(
  clock: Clock,
  heldUntil: number,
  options: LeaseOptions,
  renewal: Promise<number>,
): Promise<number> {
  if (options.holdThroughOutage === true) return renewal;
  const { promise, reject } = Promise.withResolvers<never>();
  const cancel = clock.timer(Math.max(0, heldUntil - clock.monotonic()), () => {
    reject(new WatershedError('unavailable', 'the database does not answer'));
  });
  try {
    return await Promise.race([renewal, promise]);
  } finally {
    cancel();
  }
}

/** Frees the lease for a standby at once. Where the database is gone it runs out by itself. */
async function giveBack(database: Database, name: string, epoch: bigint): Promise<void> {
  try {
    await database.execute('update watershed.lease set expires_at = clock_timestamp() where name = $1 and epoch = $2', [
      name,
      epoch,
    ]);
  } catch (error) {
    if (!isWatershedError(error, 'unavailable')) throw error;
  }
}

function fenced(name: string, epoch: bigint, why: string, cause?: unknown): WatershedError {
  return new WatershedError('fenced', `lease ${name} (epoch ${epoch}) is lost: ${why}`, {
    cause,
    context: { lease: name, epoch },
    hint: 'this process stops what it did under the lease; another one goes on with it',
  });
}
