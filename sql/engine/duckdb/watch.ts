import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import type { EngineChild } from './child-process.ts';
import { cancelledError } from './pool.ts';

export interface WatchOptions {
  readonly clock: Clock;
  /** The longest time a child gets to end a statement after it was told to. */
  readonly graceMs: number;
  /** A child that grows larger is killed. */
  readonly residentBytesMax: number;
}

/** Watches over one statement of one child: stops it when it is cancelled, takes too long or grows too large. */
export interface Watch {
  /** Why the statement was stopped; undefined while it was not. */
  readonly reason: WatershedError | undefined;
  /** Resolves when there is a reason. */
  readonly stopped: Promise<void>;
  /** Stops the statement. The child is killed where it does not obey within the grace. */
  stop(reason: WatershedError, graceMs?: number): void;
  /** Ends the watch: the statement is over. */
  end(): void;
}

/** How often a child's size is looked at: at some GB/s it grows by some hundred MB in between. */
const residentIntervalMs = 100;

export function watchStatement(
  child: EngineChild,
  timeoutMs: number,
  signal: AbortSignal,
  options: WatchOptions,
): Watch {
  const { clock, graceMs, residentBytesMax } = options;
  let reason: WatershedError | undefined;
  let over = false;
  const cancels: (() => void)[] = [];
  let cancelLook = (): void => undefined;
  const stopped = Promise.withResolvers<void>();
  const stop = (why: WatershedError, itsGraceMs = graceMs): void => {
    if (reason !== undefined || over) return;
    reason = why;
    stopped.resolve();
    child.send({ type: 'cancel' });
    cancels.push(clock.timer(itsGraceMs, () => child.kill()));
  };
  cancels.push(clock.timer(timeoutMs, () => stop(timeoutError(timeoutMs))));
  const abort = (): void => stop(cancelledError());
  signal.addEventListener('abort', abort, { once: true });
  if (signal.aborted) abort();

  const look = (): void => {
    cancelLook = clock.timer(residentIntervalMs, () => {
      void child.residentBytes().then((bytes) => {
        if (over || bytes === undefined) return;
        if (bytes <= residentBytesMax) return look();
        reason ??= memoryError(residentBytesMax);
        stopped.resolve();
        child.kill();
      });
    });
  };
  look();

  return {
    get reason() {
      return reason;
    },
    stopped: stopped.promise,
    stop,
    end() {
      over = true;
      signal.removeEventListener('abort', abort);
      cancelLook();
      for (const cancel of cancels) cancel();
    },
  };
}

function timeoutError(timeoutMs: number): WatershedError {
  return new WatershedError('limit_exceeded', `the statement took longer than ${timeoutMs / 1000} s`, {
    hint: 'Ask for less (a condition on event_id and created_at leaves out whole files), or raise WATERSHED_SQL_TIMEOUT_MS.',
    context: { sqlstate: '57014', timeoutMs },
  });
}

function memoryError(bytesMax: number): WatershedError {
  return new WatershedError(
    'limit_exceeded',
    `the statement took more than ${Math.round(bytesMax / 2 ** 20)} MiB of memory`,
    {
      hint: 'Ask for fewer rows or groups, or raise WATERSHED_MEMORY_BYTES.',
      context: { sqlstate: '53200', bytesMax },
    },
  );
}
