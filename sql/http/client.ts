import { WatershedError } from '#core/errors.ts';
import type { Param, ResultColumn } from '../engine/engine.ts';
import { parseLossless } from './lossless.ts';
import { isErrorCode } from './problems.ts';

/** A value of a result. Integers that a number does not hold are bigint; lists and structs hold values again. */
export type SqlValue =
  | string
  | number
  | bigint
  | boolean
  | null
  | readonly SqlValue[]
  | { readonly [key: string]: SqlValue };

export interface SqlAnswer {
  readonly columns: readonly ResultColumn[];
  readonly rows: readonly (readonly SqlValue[])[];
  readonly rowCount: number;
  readonly truncated: boolean;
  readonly elapsedMs: number;
}

export interface SqlClient {
  /** Runs one statement and gives its rows; rejects with the server's own error. */
  query(sql: string, params?: readonly Param[], options?: QueryOptions): Promise<SqlAnswer>;
  /**
   * The bytes of a result in another format, as they come. A result that breaks off errors the stream with the server's
   * reason, which also stands at the end of the bytes.
   */
  stream(
    sql: string,
    format: 'ndjson' | 'csv' | 'arrow' | 'parquet' | 'json',
    params?: readonly Param[],
    options?: QueryOptions,
  ): Promise<ReadableStream<Uint8Array>>;
}

export interface QueryOptions {
  readonly limits?: { readonly timeoutMs?: number; readonly rows?: number; readonly bytes?: number };
  readonly signal?: AbortSignal;
}

/** A client of `POST /api/sql`, for Node and browsers. `token` is not needed where a session's cookie goes along. */
export function createSqlClient(options: { url: string; token?: string; fetch?: typeof fetch }): SqlClient {
  const send = options.fetch ?? fetch;
  const ask = async (
    sql: string,
    format: string,
    params: readonly Param[],
    { limits, signal }: QueryOptions,
  ): Promise<Response> => {
    const response = await send(`${options.url}/api/sql?format=${format}`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        ...(options.token === undefined ? {} : { authorization: `Bearer ${options.token}` }),
      },
      body: bodyOf({ sql, params, ...(limits === undefined ? {} : { limits }) }),
      ...(signal === undefined ? {} : { signal }),
    });
    if (!response.ok) throw problemError(parseOr(await response.text()), response.status);
    return response;
  };
  return {
    async query(sql, params = [], more = {}) {
      const text = await wholeText(await ask(sql, 'json', params, more));
      const answer = parseLossless(text);
      if (isAnswer(answer)) return answer;
      throw problemError(
        typeof answer === 'object' && answer !== null && 'error' in answer ? answer.error : undefined,
        200,
      );
    },
    async stream(sql, format, params = [], more = {}) {
      const { body } = await ask(sql, format, params, more);
      if (body === null) throw new WatershedError('unavailable', 'the server sent no body');
      return withReason(body);
    },
  };
}

/** The text of an answer, also of one that the server broke off: then the reason stands at its end. */
async function wholeText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let text = '';
  try {
    if (response.body !== null)
      for await (const piece of response.body) text += decoder.decode(piece, { stream: true });
  } catch (cause) {
    if (!/"error":\{.*\}\}\n?$/s.test(text))
      throw new WatershedError('unavailable', 'the connection broke before the answer was whole', { cause });
  }
  return text;
}

/** A reason is a few hundred bytes, and the last of the answer. */
const reasonBytesMax = 16 * 1024;

/** Passes a body on; one that the server broke off ends with the error that its last line tells. */
function withReason(body: ReadableStream<Uint8Array>): ReadableStream<Uint8Array> {
  const reader = body.getReader();
  let last: readonly Uint8Array[] = [];
  return new ReadableStream({
    async pull(controller) {
      try {
        const { done, value } = await reader.read();
        if (done) return controller.close();
        last = lastPieces([...last, value]);
        controller.enqueue(value);
      } catch (cause) {
        controller.error(isAborted(cause) ? cause : brokenOff(last, cause));
      }
    },
    cancel: async (reason) => await reader.cancel(reason),
  });
}

function lastPieces(pieces: readonly Uint8Array[]): readonly Uint8Array[] {
  let from = pieces.length - 1;
  for (let bytes = pieces[from]?.length ?? 0; from > 0 && bytes < reasonBytesMax; bytes += pieces[from]?.length ?? 0) from -= 1;
  return pieces.slice(from);
}

function isAborted(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

/** How every reason begins (`Problem`); in a text of a row the quotes would be escaped. */
const reasonStart = '"error":{"type":"about:blank"';

function brokenOff(last: readonly Uint8Array[], cause: unknown): WatershedError {
  const decoder = new TextDecoder();
  const text = last.map((piece) => decoder.decode(piece, { stream: true })).join('').trimEnd();
  const start = text.lastIndexOf(reasonStart);
  const answer = start < 0 ? undefined : parseOr(`{${text.slice(start)}`);
  if (typeof answer === 'object' && answer !== null && 'error' in answer) return problemError(answer.error, 200);
  return new WatershedError('unavailable', 'the connection broke before the answer was whole', { cause });
}

/** JSON with bigint as whole numbers. */
function bodyOf(value: { sql: string; params: readonly Param[]; limits?: QueryOptions['limits'] }): string {
  const params = value.params.map((param) => (typeof param === 'bigint' ? param.toString() : JSON.stringify(param)));
  const { sql, limits } = value;
  return `{"sql":${JSON.stringify(sql)},"params":[${params.join(',')}]${limits === undefined ? '' : `,"limits":${JSON.stringify(limits)}`}}`;
}

function isAnswer(value: unknown): value is SqlAnswer {
  return typeof value === 'object' && value !== null && 'rows' in value && 'rowCount' in value && 'columns' in value;
}

function parseOr(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function problemError(problem: unknown, status: number): WatershedError {
  const field = (name: string): unknown =>
    typeof problem === 'object' && problem !== null ? Reflect.get(problem, name) : undefined;
  const text = (name: string): string | undefined => {
    const value = field(name);
    return typeof value === 'string' ? value : undefined;
  };
  const code = text('code');
  const hint = text('hint');
  const sqlstate = text('sqlstate');
  const position = field('position');
  return new WatershedError(
    isErrorCode(code) ? code : 'unavailable',
    text('detail') ?? `the server answered ${status}`,
    {
      ...(hint === undefined ? {} : { hint }),
      context: {
        ...(sqlstate === undefined ? {} : { sqlstate }),
        ...(typeof position === 'number' ? { position } : {}),
      },
    },
  );
}
