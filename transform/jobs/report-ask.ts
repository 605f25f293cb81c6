import { WatershedError } from '#core/errors.ts';
import type { Cell, Question, Rows } from '#dashboards/reports/layout.ts';

/** Asks the SQL door with the rights of `owner`. */
export type Ask = (owner: string, question: string | Question, signal: AbortSignal) => Promise<Rows>;

// What a person reads in a report, and what a spreadsheet still opens: the answer says where there was more.
const rowsMax = 10_000;
const bytesMax = 32 * 1024 ** 2;
const timeoutMs = 60_000;

/** Asks `POST /api/sql` of the server at `url`; `tokenOf` gives the token that stands for an owner. */
export function askOverHttp({ url, tokenOf }: { url: () => string; tokenOf: (owner: string) => Promise<string> }): Ask {
  return async (owner, question, signal) => {
    const { sql, params } = typeof question === 'string' ? { sql: question, params: [] } : question;
    const response = await fetch(`${url()}/api/sql`, {
      method: 'POST', signal, headers: { authorization: `Bearer ${await tokenOf(owner)}`, 'content-type': 'application/json' },
      body: JSON.stringify({ sql, params, limits: { rows: rowsMax, bytes: bytesMax, timeoutMs } }),
    }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw new WatershedError('unavailable', 'the SQL door does not answer', { cause });
    });
    const body: unknown = await response.json().catch(() => undefined);
    if (!response.ok) throw refusal(response.status, body);
    if (!isAnswer(body)) throw broken(body);
    return { columns: body.columns.map(({ name }) => name), rows: body.rows.map((row) => row.map(cellOf)), truncated: body.truncated === true };
  };
}

interface Answer {
  readonly columns: readonly { readonly name: string }[];
  readonly rows: readonly (readonly unknown[])[];
  readonly truncated?: unknown;
}

function isAnswer(body: unknown): body is Answer {
  return typeof body === 'object' && body !== null && 'columns' in body && Array.isArray(body.columns) && 'rows' in body && Array.isArray(body.rows)
    && !('error' in body);
}

/** Lists and structs are shown as JSON. */
function cellOf(value: unknown): Cell {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value;
  return JSON.stringify(value) ?? null;
}

function detailOf(body: unknown): string | undefined {
  return typeof body === 'object' && body !== null && 'detail' in body ? String(body.detail) : undefined;
}

/** The door had begun to answer and then could not go on. */
function broken(body: unknown): WatershedError {
  const error: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'error') : undefined;
  const code: unknown = typeof error === 'object' && error !== null ? Reflect.get(error, 'code') : undefined;
  return new WatershedError(code === 'statement_failed' ? 'statement_failed' : 'unavailable', `the SQL door broke off its answer: ${detailOf(error) ?? 'the connection ended'}`);
}

function refusal(status: number, body: unknown): WatershedError {
  const said: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, 'code') : undefined;
  // Too long or too large now may pass in a quieter minute.
  const passing = status >= 500 || status === 429 || said === 'limit_exceeded';
  const code = status === 401 ? 'unauthorized' : status === 403 ? 'forbidden' : passing ? 'unavailable' : 'statement_failed';
  return new WatershedError(code, `the SQL door refuses a question of the report: ${detailOf(body) ?? `status ${status}`}`);
}
