import { DuckDBDataChunk } from '@duckdb/node-api';
import type { Clock } from '#core/clock.ts';
import { storeNamespace, tables as contract } from '#core/contract/tables.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import { chunkOf } from '../../encode/column.ts';
import { encoderFor } from '../../encode/registry.ts';
import { Sink } from '../../encode/sink.ts';
import type { Engine, Result, ResultColumn, ResultSummary, Statement, TableInfo } from '../engine.ts';
import { TrinoClient } from './client.ts';
import type { TrinoAddress, TrinoColumn, TrinoPage } from './client.ts';
import { checkStatement } from './guard.ts';
import type { Bounds } from './guard.ts';
import { bind, questionMarks, quote } from './parameters.ts';
import { cellTypeOf } from './types.ts';
import type { CellType } from './types.ts';

export interface TrinoEngineOptions extends TrinoAddress {
  /** Schemas that may be read; people see the first one. */
  readonly schemas: readonly string[];
  readonly clock: Clock;
}

/** Rows of a DuckDB chunk, at most its vector size. */
const chunkRows = 2048;
const sendBytes = 128 * 1024;
/** How long the lists of catalogs and schemas are believed. */
const boundsForMs = 60_000;
/** Headers carry statements to be described up to here; Trino takes 8 KiB of headers in all. */
const headerBytesMax = 6000;

/**
 * Runs statements on Trino. Rows are brought into DuckDB's chunks and encoded by the encoders of the other engine, so
 * columns and cells look the same on both; `type` of a column is DuckDB's name of it. The limits are kept here: Trino's
 * own session properties may be closed to our user.
 */
export function createTrinoEngine(options: TrinoEngineOptions): Engine {
  const client = new TrinoClient(options, options.clock);
  const boundsOf = cached(options.clock, (signal) => readBounds(client, options, signal));
  return {
    kind: 'trino',
    async run(statement) {
      const sql = checkStatement(statement.sql, boundsFor(statement, await boundsOf(statement.signal)));
      return startStatement(client, options.clock, { ...statement, sql });
    },
    async describe(statement) {
      const sql = checkStatement(statement.sql, boundsFor(statement, await boundsOf(statement.signal)));
      return describe(client, { ...statement, sql }).catch((error: unknown) => {
        throw placed(error, sql);
      });
    },
    tables: () => readTables(client, options),
    [Symbol.asyncDispose]: () => client[Symbol.asyncDispose](),
  };
}

async function startStatement(client: TrinoClient, clock: Clock, statement: Statement): Promise<Result> {
  const factory = await encoderFor(statement.encoding);
  if (factory === undefined)
    throw new WatershedError('unsupported', `rows cannot be encoded as ${statement.encoding} on Trino`);
  const limit = withTimeLimit(statement, clock);
  const pages = client.run({
    sql: bind(statement.sql, statement.params),
    onBehalfOf: statement.user,
    signal: limit.signal,
  });
  const begin = clock.monotonic();
  try {
    const { columns, first } = await firstPage(pages);
    const cells = columns.map(({ typeSignature }) => cellTypeOf(typeSignature));
    const named = columns.map(({ name }, index) => ({ name, type: typeAt(cells, index).type }));
    const summary = Promise.withResolvers<ResultSummary>();
    // Whoever does not ask for the summary must not be told of its failure as well.
    summary.promise.catch(() => undefined);
    const work: Pump = { cells, encoder: factory(named), limits: statement.limits };
    const chunks = async function* (): AsyncGenerator<Uint8Array> {
      try {
        const counts = yield* pump(work, first, pages);
        summary.resolve({ ...counts, elapsedMs: clock.monotonic() - begin });
      } catch (error) {
        const reason = placed(limit.explain(error), statement.sql);
        summary.reject(reason);
        throw reason;
      } finally {
        limit.clear();
        await pages.return(undefined);
      }
    };
    return {
      columns: named.map(({ name, type }) => ({ name, type: String(type) })),
      chunks: chunks(),
      summary: summary.promise,
    };
  } catch (error) {
    limit.clear();
    await pages.return(undefined);
    throw placed(limit.explain(error), statement.sql);
  }
}

/** Trino tells line and column in what it was given; doors want a place in what was sent, in characters from 1. */
function placed(error: unknown, sql: string): unknown {
  if (!isWatershedError(error)) return error;
  const { line, column, ...context } = error.context;
  if (typeof line !== 'number' || typeof column !== 'number') return error;
  const marked = questionMarks(sql);
  const lines = marked.sql.split('\n');
  const before = lines.slice(0, line - 1).reduce((sum, text) => sum + text.length + 1, 0);
  // Trino counts code points, strings here have UTF-16 units.
  const at = marked.original(
    before +
      Array.from(lines[line - 1] ?? '')
        .slice(0, column - 1)
        .join('').length,
  );
  return new WatershedError(error.code, error.message, {
    cause: error.cause,
    context: { ...context, position: Array.from(sql.slice(0, at)).length + 1 },
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

interface Pump {
  readonly cells: readonly CellType[];
  readonly encoder: ReturnType<NonNullable<Awaited<ReturnType<typeof encoderFor>>>>;
  readonly limits: Statement['limits'];
}

/** Encodes page after page; leaves between two rows when a limit is reached. */
async function* pump(
  { cells, encoder, limits }: Pump,
  first: TrinoPage['rows'],
  pages: AsyncGenerator<TrinoPage>,
): AsyncGenerator<Uint8Array, Omit<ResultSummary, 'elapsedMs'>> {
  const sink = new Sink();
  const types = cells.map(({ type }) => type);
  let [rows, bytes, truncated] = [0, 0, false];
  encoder.begin?.(sink);
  for await (const chunk of rowChunks(first, pages)) {
    if (rows >= limits.rowsMax || bytes + sink.length >= limits.bytesMax) {
      truncated = true;
      break;
    }
    const wanted = Math.min(chunk.length, limits.rowsMax - rows);
    const data = DuckDBDataChunk.create(types, chunk.length);
    data.setRows(chunk.map((row) => cells.map((cell, index) => cell.value(row[index]))));
    const next = encoder.rows(chunkOf(data, types), 0, wanted, sink, limits.bytesMax - bytes);
    rows += next;
    truncated = next < chunk.length;
    if (sink.length >= sendBytes || bytes === 0) {
      bytes += sink.length;
      yield sink.take();
    }
    if (truncated) break;
  }
  encoder.end?.(sink);
  bytes += sink.length;
  if (sink.length > 0) yield sink.take();
  return { rows, bytes, truncated };
}

async function* rowChunks(
  first: TrinoPage['rows'],
  pages: AsyncGenerator<TrinoPage>,
): AsyncGenerator<TrinoPage['rows']> {
  const cut = function* (rows: TrinoPage['rows']): Generator<TrinoPage['rows']> {
    for (let at = 0; at < rows.length; at += chunkRows) yield rows.slice(at, at + chunkRows);
  };
  yield* cut(first);
  for (let page = await pages.next(); page.done !== true; page = await pages.next()) yield* cut(page.value.rows);
}

function typeAt(cells: readonly CellType[], index: number): CellType {
  const found = cells[index];
  if (found === undefined) throw new WatershedError('internal', `there is no column ${index}`);
  return found;
}

/** The columns, which come with a page of their own or with the first rows. */
async function firstPage(
  pages: AsyncGenerator<TrinoPage>,
): Promise<{ columns: readonly TrinoColumn[]; first: TrinoPage['rows'] }> {
  const page = await pages.next();
  if (page.done === true) return { columns: [], first: [] };
  return { columns: page.value.columns ?? [], first: page.value.rows };
}

/** A signal that also ends when the statement's time is over, and the error that this is then. */
function withTimeLimit(
  statement: Statement,
  clock: Clock,
): { signal: AbortSignal; clear: () => void; explain: (error: unknown) => unknown } {
  const { timeoutMs } = statement.limits;
  const stop = new AbortController();
  let late = false;
  const clear = clock.timer(timeoutMs, () => {
    late = true;
    stop.abort(
      new WatershedError('limit_exceeded', `the statement ran longer than ${timeoutMs} ms`, {
        hint: 'Ask for less, or raise WATERSHED_SQL_TIMEOUT_MS.',
        context: { sqlstate: '57014' },
      }),
    );
  });
  const signal = AbortSignal.any([stop.signal, statement.signal]);
  return {
    signal,
    clear,
    explain(error) {
      if (late && signal.reason === stop.signal.reason) return stop.signal.reason;
      if (!statement.signal.aborted || isWatershedError(error, 'limit_exceeded')) return error;
      return new WatershedError('cancelled', 'the statement was cancelled', {
        cause: error,
        context: { sqlstate: '57014' },
      });
    },
  };
}

async function describe(
  client: TrinoClient,
  statement: Statement,
): Promise<{ columns: readonly ResultColumn[]; parameters: readonly string[] }> {
  const { sql, order } = questionMarks(statement.sql);
  const count = Math.max(0, ...order);
  if (!/^[\s(]*(select|with|values|table)\b/i.test(sql) || encodeURIComponent(sql).length > headerBytesMax) {
    return {
      columns: await columnsByRunning(client, statement),
      parameters: Array.from({ length: count }, () => 'UNKNOWN'),
    };
  }
  const ask = (what: string): Promise<readonly (readonly unknown[])[]> =>
    rowsOf(client, `DESCRIBE ${what} asked`, statement, { asked: sql });
  const input = order.length === 0 ? [] : await ask('INPUT');
  const parameters = Array.from({ length: count }, (_, index) => {
    const mark = order.indexOf(index + 1);
    const type = input.find(([position]) => Number(position) === mark)?.[1];
    return typeof type === 'string' && type !== 'unknown' ? engineType(type) : 'UNKNOWN';
  });
  const output = await ask('OUTPUT');
  // Name, catalog, schema, table, type, size, aliased.
  return { columns: output.map((row) => ({ name: String(row[0]), type: engineType(String(row[4])) })), parameters };
}

/** For what cannot be described in a header: the statement is begun, and cancelled as soon as its columns are known. */
async function columnsByRunning(client: TrinoClient, statement: Statement): Promise<ResultColumn[]> {
  const nulls = questionMarks(statement.sql).order.map(() => null);
  const params = Array.from(
    { length: Math.max(nulls.length, statement.params.length) },
    (_, index) => statement.params[index] ?? null,
  );
  const pages = client.run({ sql: bind(statement.sql, params), onBehalfOf: statement.user, signal: statement.signal });
  try {
    const { columns } = await firstPage(pages);
    return columns.map(({ name, typeSignature }) => ({ name, type: String(cellTypeOf(typeSignature).type) }));
  } finally {
    await pages.return(undefined);
  }
}

async function rowsOf(
  client: TrinoClient,
  sql: string,
  on: { readonly user: string; readonly signal: AbortSignal },
  prepared: Record<string, string> = {},
): Promise<readonly (readonly unknown[])[]> {
  const rows: (readonly unknown[])[] = [];
  for await (const page of client.run({ sql, onBehalfOf: on.user, signal: on.signal, prepared }))
    rows.push(...page.rows);
  return rows;
}

const engineTypes: readonly (readonly [RegExp, string])[] = [
  [/^(varchar|char|json).*$/, 'VARCHAR'],
  [/^timestamp\(?[789]?1?[0-2]?\)? with time zone$/, 'TIMESTAMP WITH TIME ZONE'],
  [/^timestamp(\([0-6]\))?$/, 'TIMESTAMP'],
  [/^timestamp\(.*\)$/, 'TIMESTAMP_NS'],
  [/^time(\(\d+\))?$/, 'TIME'],
  [/^real$/, 'FLOAT'],
  [/^varbinary$/, 'BLOB'],
  [/^interval.*$/, 'INTERVAL'],
];

/** DuckDB's name of a type that Trino wrote out, such as `array(varchar(5))`. */
function engineType(written: string): string {
  const element = /^array\((.*)\)$/.exec(written)?.[1];
  if (element !== undefined) return `${engineType(element)}[]`;
  if (/^timestamp\(\d+\) with time zone$/.test(written)) return 'TIMESTAMP WITH TIME ZONE';
  return engineTypes.find(([pattern]) => pattern.test(written))?.[1] ?? written.toUpperCase();
}

async function readBounds(
  client: TrinoClient,
  { catalog, schemas }: TrinoEngineOptions,
  signal: AbortSignal,
): Promise<Bounds> {
  const names = async (sql: string): Promise<string[]> =>
    (await rowsOf(client, sql, { user: 'watershed', signal })).map(([name]) => String(name));
  const [catalogs, found] = [
    await names('SHOW CATALOGS'),
    await names(`SHOW SCHEMAS FROM "${catalog.replaceAll('"', '""')}"`),
  ];
  return {
    catalog,
    schemas,
    catalogs,
    otherSchemas: found.filter((name) => !schemas.includes(name) && name !== 'information_schema'),
  };
}

function boundsFor({ mayReadStore }: Statement, bounds: Bounds): Bounds {
  if (mayReadStore === true) return bounds;
  return {
    ...bounds,
    schemas: bounds.schemas.filter((name) => name !== storeNamespace),
    otherSchemas: [...bounds.otherSchemas, storeNamespace],
  };
}

/** The views people see, with what the lake's contract says of them. */
async function readTables(client: TrinoClient, { catalog, schema }: TrinoEngineOptions): Promise<TableInfo[]> {
  const signal = AbortSignal.timeout(60_000);
  const sql = `SELECT table_name, column_name, data_type FROM "${catalog}".information_schema.columns
    WHERE table_schema = ${quote(schema)} ORDER BY table_name, ordinal_position`;
  const byTable = Map.groupBy(await rowsOf(client, sql, { user: 'watershed', signal }), ([table]) => String(table));
  return [...byTable].map(([name, columns]) => {
    const known = Object.values(contract).find((table) => table.name === name);
    return {
      schema,
      name,
      comment: known?.comment ?? '',
      columns: columns.map(([, column, type]) => ({
        name: String(column),
        type: engineType(String(type)),
        comment: known?.columns.find((one) => one.name === column)?.doc ?? '',
      })),
    };
  });
}

/** The value of `read`, kept for a while; callers at once share one reading. */
function cached<T>(clock: Clock, read: (signal: AbortSignal) => Promise<T>): (signal: AbortSignal) => Promise<T> {
  let kept: { readonly at: number; readonly value: Promise<T> } | undefined;
  return async (signal) => {
    if (kept === undefined || clock.monotonic() - kept.at > boundsForMs) {
      const entry = { at: clock.monotonic(), value: read(signal) };
      kept = entry;
      entry.value.catch(() => {
        if (kept === entry) kept = undefined;
      });
    }
    return kept.value;
  };
}
