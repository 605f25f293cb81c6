import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError } from './api.ts';

export interface Loaded<T> {
  readonly data: T | undefined;
  readonly error: ApiError | undefined;
}

/** Between two loads of the same thing, also when somebody says that there is something new. */
const pauseMs = 1_000;

/**
 * Loads now, when `key` changes, every `everyMs` while the page is seen, and soon after `nudge` changes. Old data stay
 * while new ones come or fail.
 */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs: number, nudge = 0): Loaded<T> {
  const [state, setState] = useState<{ key: string } & Loaded<T>>({ key, data: undefined, error: undefined });
  const again = useRef<() => void>(undefined);
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let busy = false;
    let endedAt = -pauseMs;
    let nudged = false;
    const turn = async (): Promise<void> => {
      clearTimeout(timer);
      busy = true;
      nudged = false;
      if (!document.hidden) {
        try {
          const data = await load(stop.signal);
          if (!stop.signal.aborted) setState({ key, data, error: undefined });
        } catch (error) {
          if (stop.signal.aborted) return;
          const problem = error instanceof ApiError ? error : new ApiError(0, 'internal', String(error));
          setState((before) => ({ key, data: before.key === key ? before.data : undefined, error: problem }));
        }
      }
      if (stop.signal.aborted) return;
      busy = false;
      endedAt = performance.now();
      timer = setTimeout(() => void turn(), nudged ? pauseMs : everyMs);
    };
    const hurry = (): void => {
      nudged = true;
      if (busy) return;
      clearTimeout(timer);
      timer = setTimeout(() => void turn(), Math.max(0, endedAt + pauseMs - performance.now()));
    };
    // Who comes back to the page sees what is, not what was.
    const seen = (): void => { if (!document.hidden) hurry(); };
    again.current = hurry;
    document.addEventListener('visibilitychange', seen);
    void turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
      document.removeEventListener('visibilitychange', seen);
    };
  }, [key]);
  const first = useRef(true);
  useEffect(() => {
    if (!first.current) again.current?.();
    first.current = false;
  }, [nudge]);
  return state.key === key ? state : { data: undefined, error: undefined };
}
