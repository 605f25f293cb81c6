import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import { can, requireCan } from '#core/auth/access.ts';
import { WatershedError } from '#core/errors.ts';
import type { Encoding, Result } from '../engine/engine.ts';
import { tokens } from '../guard/lexer.ts';
import { bodyOf, streamOf, toldBody } from './bodies.ts';
import { formats } from './formats.ts';
import { principalOf } from './identity.ts';
import { type RowValue, rowsOf, textOf } from './rows.ts';
import { acceptLosslessJson, cancelWhenLeft, limitsOf, type SqlRoutesOptions } from './sql-routes.ts';
import { xlsxOf, xlsxRowsMax } from './xlsx.ts';

const Body = Type.Object({
  sql: Type.String({ minLength: 1, maxLength: 1_000_000, description: 'One statement that only reads' }),
  format: Type.Union(['csv', 'csv-raw', 'xlsx', 'parquet', 'ndjson', 'ids'].map((name) => Type.Literal(name)), {
    description: 'csv is safe to open in a spreadsheet: text that it would take for a formula gets an apostrophe in front. csv-raw has the texts as they are. '
      + 'ids are the different values of column post_id, one a line.',
  }),
}, { additionalProperties: false });

interface Kind {
  readonly encoding: Encoding;
  readonly file: string;
  readonly contentType: string;
  /** Undefined where the engine's own encoding is the file. */
  readonly body?: (result: Result) => AsyncGenerator<Uint8Array>;
}

const text = { csv: 'text/csv; charset=utf-8; header=present', plain: 'text/plain; charset=utf-8' } as const;
const kinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['csv', { encoding: 'json', file: 'watershed.csv', contentType: text.csv, body: safeCsv }],
  ['csv-raw', { encoding: 'csv', file: 'watershed.csv', contentType: text.csv }],
  ['ndjson', { encoding: 'ndjson', file: 'watershed.ndjson', contentType: 'application/x-ndjson; charset=utf-8' }],
  ['parquet', { encoding: 'parquet', file: 'watershed.parquet', contentType: 'application/vnd.apache.parquet' }],
  ['ids', { encoding: 'json', file: 'post-ids.txt', contentType: text.plain, body: idLines }],
  ['xlsx', {
    encoding: 'json', file: 'watershed.xlsx', contentType: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
    body: (result) => xlsxOf(result.columns, rowsOf(result.chunks)),
  }],
]);

/** `POST /api/downloads`: a statement's whole result as a file for people. Breaks off where the server's limits cut it. */
export function downloadRoutes(options: SqlRoutesOptions): (app: FastifyInstance) => Promise<void> {
  return async (app) => {
    acceptLosslessJson(app);
    app.post<{ Body: Static<typeof Body> }>('/api/downloads', {
      schema: { summary: 'Run one statement and answer with a file: CSV, XLSX, Parquet, NDJSON or post ids', body: Body },
    }, async (request, reply) => {
      const principal = principalOf(request);
      requireCan(principal, 'query');
      const { sql, format } = request.body;
      const kind = kinds.get(String(format));
      if (kind === undefined) throw new WatershedError('bad_request', `there is no format ${String(format)}`);
      const most = limitsOf({ sql }, options.limits);
      const result = await options.engine.run({
        sql: format === 'ids' ? idsSql(sql) : sql, params: [], user: principal.name, mayReadStore: can(principal, 'read_store'), encoding: kind.encoding, signal: cancelWhenLeft(reply, options.stopping),
        // One row too many tells a sheet that it is full.
        limits: format === 'xlsx' ? { ...most, rowsMax: Math.min(most.rowsMax, xlsxRowsMax + 1) } : most,
      }).catch(format === 'ids' ? withoutIds : undefined);
      const plain = formats.find(({ encoding }) => encoding === kind.encoding);
      const body = kind.body === undefined && plain !== undefined
        ? await bodyOf(result, plain, false, options.logger, options.pace)
        : toldBody(await begun(whole(result, kind)), 'file', options.logger);
      return await reply.type(kind.contentType).header('cache-control', 'no-store')
        .header('content-disposition', `attachment; filename="${kind.file}"`).send(streamOf(body, reply.raw));
    });
  };
}

/** Waits for the first piece, so that what fails before it is still answered with a status of its own. */
async function begun(body: AsyncGenerator<Uint8Array>): Promise<AsyncGenerator<Uint8Array>> {
  const first = await body.next();
  return (async function* rest() {
    try {
      if (first.done !== true) yield first.value;
      yield* body;
    } finally {
      await body.return(undefined);
    }
  })();
}

async function* whole(result: Result, kind: Kind): AsyncGenerator<Uint8Array> {
  if (kind.body !== undefined) yield* kind.body(result);
  const { truncated } = await result.summary;
  if (truncated) throw new WatershedError('limit_exceeded', "the result is larger than the server's limits; the file was cut short");
}

/** The statement as a subquery; a semicolon at its end would not stand there. */
function idsSql(sql: string): string {
  const list = tokens(sql);
  const last = list.at(-1);
  const end = last !== undefined && sql.slice(last.start, last.end) === ';' ? last.start : sql.length;
  return `select distinct post_id from (\n${sql.slice(0, end)}\n) as asked where post_id is not null order by 1`;
}

function withoutIds(error: unknown): never {
  throw new WatershedError('statement_failed', 'this statement gives no post ids', {
    cause: error, hint: 'Post ids are the values of a column named post_id: select it, and check that the statement runs by itself.',
  });
}

async function* idLines(result: Result): AsyncGenerator<Uint8Array> {
  for await (const [id] of rowsOf(result.chunks)) yield Buffer.from(`${textOf(id ?? null)}\n`);
}

async function* safeCsv(result: Result): AsyncGenerator<Uint8Array> {
  // The mark by which spreadsheets know UTF-8.
  yield Buffer.from(`\uFEFF${result.columns.map(({ name }) => safeCell(name)).join(',')}\r\n`);
  for await (const row of rowsOf(result.chunks)) yield Buffer.from(`${row.map(safeCell).join(',')}\r\n`);
}

/**
 * Spreadsheets run what begins with one of these as a formula, also after white space and in quotes (OWASP, "CSV
 * Injection"): an apostrophe in front makes it text. Numbers are written as they are.
 */
function safeCell(value: RowValue): string {
  if (value === null) return '';
  const cell = textOf(value);
  const isNumber = typeof value === 'number' || typeof value === 'bigint';
  const isFormula = /^[\s\u0000-\u001F\uFEFF\u200B-\u200F\u202A-\u202E]*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20|%]/u.test(cell) || /^[\t\r\n]/.test(cell);
  const safe = !isNumber && isFormula ? `'${cell}` : cell;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
