import { api, ApiError, type Cell } from './api.ts';

/** A result that is still coming, or whole. `rows` grows in place; `version` tells that it did. */
export interface Answer {
  readonly sql: string;
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly Cell[])[];
  readonly version: number;
  readonly done: boolean;
  readonly truncated: boolean;
  readonly elapsedMs: number;
  readonly error: ApiError | undefined;
}

type Message =
  | { readonly kind: 'columns'; readonly columns: Answer['columns'] }
  | { readonly kind: 'rows'; readonly rows: Answer['rows'] }
  | { readonly kind: 'done'; readonly truncated: boolean; readonly elapsedMs?: number }
  | { readonly kind: 'failed'; readonly status: number; readonly problem: { readonly code?: string; readonly detail?: string; readonly title?: string; readonly hint?: string } };

let spare: Worker | undefined;

/** Makes the next statement's worker while there is time. */
export function prepare(): void {
  spare ??= new Worker(new URL('./rows.worker.ts', import.meta.url), { type: 'module' });
}

function takeWorker(): Worker {
  prepare();
  const worker = spare;
  spare = undefined;
  return worker ?? new Worker(new URL('./rows.worker.ts', import.meta.url), { type: 'module' });
}

/**
 * Runs one statement in a worker and tells of its rows as they come; at most `rowsMax`. The returned function cancels,
 * here and on the server.
 */
export function ask(
  sql: string, params: readonly (string | number | null)[], rowsMax: number, tell: (answer: Answer) => void,
): () => void {
  const worker = takeWorker();
  const startedAt = performance.now();
  const rows: (readonly Cell[])[] = [];
  let answer: Answer = { sql, columns: [], rows, version: 0, done: false, truncated: false, elapsedMs: 0, error: undefined };
  const put = (more: Partial<Answer>): void => {
    if (answer.done) return;
    answer = { ...answer, ...more, version: answer.version + 1, elapsedMs: more.elapsedMs ?? performance.now() - startedAt };
    if (answer.done) {
      worker.terminate();
      prepare();
    }
    tell(answer);
  };
  worker.addEventListener('message', ({ data }: MessageEvent<Message>) => {
    if (data.kind === 'columns') return put({ columns: data.columns });
    if (data.kind === 'rows') {
      for (const row of data.rows) rows.push(row);
      return put({});
    }
    if (data.kind === 'done') return put({ done: true, truncated: data.truncated });
    const { code = 'internal', detail, title, hint } = data.problem;
    return put({ done: true, error: new ApiError(data.status, code, detail ?? title ?? 'The statement failed.', hint) });
  });
  // The worker itself could not be fetched: without a session or a server there is none. Which it is, the server says.
  worker.addEventListener('error', () => void api('/api/session').then(
    () => put({ done: true, error: new ApiError(0, 'internal', 'The page is older than the server.', 'Reload it.') }),
    (error: unknown) => put({ done: true, error: error instanceof ApiError ? error : new ApiError(0, 'internal', String(error)) })));
  worker.postMessage({ sql, params, rowsMax });
  return () => {
    if (answer.done) return;
    worker.terminate(); // its request ends with it, and the server stops the statement
    put({ done: true, error: new ApiError(0, 'cancelled', 'Cancelled.') });
  };
}
