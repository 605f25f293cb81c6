import { useEffect, useState } from 'preact/hooks';
import { ApiError } from './api.ts';

export interface Loaded<T> {
  readonly data: T | undefined;
  readonly error: ApiError | undefined;
}

/**
 * Loads now, when `key` changes, and every `everyMs` while the page is seen. Old data stay while new ones come or fail.
 */
export function useLoad<T>(key: string, load: (signal: AbortSignal) => Promise<T>, everyMs: number): Loaded<T> {
  const [state, setState] = useState<{ key: string } & Loaded<T>>({ key, data: undefined, error: undefined });
  useEffect(() => {
    const stop = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const turn = async (): Promise<void> => {
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
      if (!stop.signal.aborted) timer = setTimeout(() => void turn(), everyMs);
    };
    void turn();
    return () => {
      stop.abort();
      clearTimeout(timer);
    };
  }, [key]);
  return state.key === key ? state : { data: undefined, error: undefined };
}
