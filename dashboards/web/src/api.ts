/** The server's HTTP API as the page uses it. The session cookie goes along by itself. */

export interface SqlResult {
  readonly columns: readonly { readonly name: string; readonly type: string }[];
  readonly rows: readonly (readonly Cell[])[];
  readonly rowCount: number;
  readonly elapsedMs?: number;
  readonly truncated?: boolean;
}

export type Cell = string | number | boolean | null | readonly Cell[] | { readonly [key: string]: Cell };

/** A table or view as `GET /api/tables` describes it. */
export interface TableInfo {
  readonly schema: string;
  readonly name: string;
  readonly comment: string;
  readonly columns: readonly { readonly name: string; readonly type: string; readonly comment: string }[];
}

export interface EventView {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly status: 'active' | 'paused' | 'archived';
  readonly sources: readonly string[];
  readonly rule: Readonly<Record<string, readonly string[] | undefined>>;
  readonly start: string | null;
  readonly end: string | null;
  readonly version: number;
}

/** What the server answered instead of data: RFC 9457 problem details. `status` 0 is a server that did not answer. */
export class ApiError extends Error {
  readonly status: number;
  readonly code: string;
  readonly hint: string | undefined;

  constructor(status: number, code: string, detail: string, hint?: string) {
    super(detail);
    this.status = status;
    this.code = code;
    this.hint = hint;
  }
}

export async function api<T>(path: string, options: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, { ...options, headers: { accept: 'application/json', ...options.headers } });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new ApiError(0, 'unavailable', 'Watershed does not answer.', 'Is it still running? This page tries again by itself.');
  }
  const body: unknown = await response.json().catch(() => undefined);
  if (response.ok) return body as T; // the shapes above are the server's OpenAPI description
  const problem = (typeof body === 'object' && body !== null ? body : {}) as Partial<Record<'code' | 'detail' | 'title' | 'hint', string>>;
  throw new ApiError(response.status, problem.code ?? 'internal', problem.detail ?? problem.title ?? response.statusText, problem.hint);
}

/** Runs one statement. `rows` is the most that come to the page. */
export function sql(
  statement: string, params: readonly (string | number | null)[] = [], signal?: AbortSignal, rows = 100_000,
): Promise<SqlResult> {
  return api<SqlResult>('/api/sql', {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ sql: statement, params, limits: { rows } }),
    ...(signal === undefined ? {} : { signal }),
  });
}

export async function listEvents(): Promise<readonly EventView[]> {
  const answer = await api<{ events: readonly EventView[] } | readonly EventView[]>('/api/events');
  return 'events' in answer ? answer.events : answer;
}
