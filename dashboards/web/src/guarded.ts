import { useState } from 'preact/hooks';
import { ApiError } from './api.ts';

export interface Guarded {
  readonly busy: boolean;
  readonly error: ApiError | undefined;
  /** Does it, and keeps why it could not be done; true where it was done. */
  readonly attempt: (work: () => Promise<unknown>) => Promise<boolean>;
}

/** For what a person presses: one thing at a time, and its failure is shown. */
export function useGuarded(): Guarded {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState<ApiError>();
  const attempt = async (work: () => Promise<unknown>): Promise<boolean> => {
    setBusy(true);
    setError(undefined);
    try {
      await work();
      return true;
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown)));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, error, attempt };
}
