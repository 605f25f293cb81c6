import type { DuckDBConnection, DuckDBPreparedStatement } from '@duckdb/node-api';
import { WatershedError } from '#core/errors.ts';
import { judge, type Lake } from '../../../guard.ts';
import { type Explained, partExplain, tokens } from '../../../guard/lexer.ts';
import { isObject, type Json, type JsonObject, listOf, parseTree, textOf } from '../../../guard/tree.ts';
import { characterAt, Refusal, refusalError, refusedState, type TableUse } from '../../../guard/verdict.ts';
import type { Param } from '../../engine.ts';
import type { AskedTable, LakeNames } from '../protocol.ts';
import { createConstants } from './constants.ts';
import type { Place } from './errors.ts';

/** A statement that may run. */
export interface Judged {
  /** What is handed to DuckDB: the statement as sent, or with older snapshots called by a name of their own. */
  readonly sql: string;
  readonly place: Place;
  readonly tables: readonly AskedTable[];
  readonly introspects: boolean;
}

/** Parses a statement and judges it. Nothing is bound and no file is touched. */
export async function judgeStatement(
  connection: DuckDBConnection,
  sql: string,
  params: readonly Param[],
  names: LakeNames,
): Promise<Judged> {
  // DuckDB's parser would see the whole text, but what runs ends at the NUL.
  if (sql.includes('\0')) {
    throw new WatershedError('statement_refused', 'a statement cannot hold the character NUL', {
      hint: 'Write chr(0), or bind the text as a parameter.',
      context: { sqlstate: refusedState },
    });
  }
  const explained = asLakeTables(partExplain(sql));
  const bodyBytes = Buffer.byteLength(sql.slice(0, explained.start));
  const statement = await parse(connection, explained.body, sql, bodyBytes);
  const lake = lakeOf(names);
  try {
    const verdict = judge(statement, lake);
    const constants = createConstants(connection, params);
    const tables: AskedTable[] = [];
    for (const [index, use] of verdict.tables.entries()) tables.push(await asked(use, index, constants));
    const renamed = verdict.tables.some(mustRename);
    const body = renamed ? rename(explained.body, verdict.tables, tables) : explained.body;
    // What runs is what was judged: a text that we changed is parsed and judged anew.
    if (renamed) judge(await parse(connection, body, sql, bodyBytes), withSnapshots(lake, tables));
    return {
      sql: explained.prefix + body,
      tables,
      introspects: verdict.introspects,
      place: renamed ? () => undefined : placeIn(sql, explained, bodyBytes),
    };
  } catch (error) {
    throw error instanceof Refusal ? refusalError(error, sql, bodyBytes) : error;
  }
}

/** People see schema lake: a bare SHOW TABLES would name every table twice, once per schema of the search path. */
function asLakeTables(explained: Explained): Explained {
  const words = tokens(explained.body).map(({ start, end }) => explained.body.slice(start, end).toUpperCase());
  const bare = words.join(' ').replace(/( ;)+$/, '') === 'SHOW TABLES';
  return bare ? { ...explained, body: 'SHOW TABLES FROM lake' } : explained;
}

function placeIn(sql: string, { prefix }: Explained, bodyBytes: number): Place {
  return (offset) => (offset < prefix.length ? undefined : characterAt(sql, offset - prefix.length + bodyBytes));
}

function lakeOf(names: LakeNames): Lake {
  const bySchema = new Map(names.map(({ schema, names: list }) => [schema, new Set(list)]));
  return {
    schemas: names.map(({ schema }) => schema),
    has: (schema, name) => bySchema.get(schema)?.has(name) ?? false,
    names: names[0]?.names ?? [],
  };
}

function withSnapshots(lake: Lake, tables: readonly AskedTable[]): Lake {
  const added = new Set(tables.filter(({ travel }) => travel !== undefined).map(viewName));
  return { ...lake, has: (schema, name) => lake.has(schema, name) || added.has(name) };
}

/** What the statement calls a table: by its name, or `posts@1` for an older snapshot. */
export function viewName({ name, travel }: AskedTable): string {
  return travel === undefined ? name : `${name}@${travel.number}`;
}

const refused =
  'Allowed is one statement: SELECT, WITH, VALUES, TABLE, FROM, PIVOT, UNPIVOT, DESCRIBE, SUMMARIZE, ' +
  'SHOW TABLES or EXPLAIN, over the tables of schemas lake and store.';

/** Per connection, the statement that parses: preparing it anew took half of the time of a parse (0.3 of 0.6 ms). */
const parsers = new WeakMap<DuckDBConnection, Promise<DuckDBPreparedStatement>>();

/** The one SELECT-like statement of a text, parsed by DuckDB. */
async function parse(connection: DuckDBConnection, body: string, sql: string, bodyBytes: number): Promise<JsonObject> {
  const preparing = parsers.get(connection) ?? connection.prepare('SELECT json_serialize_sql($1::VARCHAR)');
  parsers.set(connection, preparing);
  const parser = await preparing;
  parser.bindVarchar(1, body);
  const result = await parser.runAndReadAll();
  const tree = treeOf(String(result.getRows()[0]?.[0]), body, sql, bodyBytes);
  if (!isObject(tree)) throw new WatershedError('internal', 'the parse tree is no object');
  if (tree['error'] === true) throw parseFailure(tree, sql, bodyBytes);
  const statements = listOf(tree, 'statements').filter(isObject);
  const [first] = statements;
  if (first === undefined)
    throw new WatershedError('statement_failed', 'the statement is empty', { context: { sqlstate: '42601' } });
  if (statements.length > 1)
    throw new WatershedError('statement_refused', 'only one statement at a time can be run', {
      hint: 'Send the statements one after another.',
      context: { sqlstate: refusedState },
    });
  return first;
}

function treeOf(text: string, body: string, sql: string, bodyBytes: number): Json {
  try {
    return parseTree(text);
  } catch (cause) {
    // DuckDB writes a number that no double holds as a bare Infinity, which is no JSON.
    const isLarge = (number: string): boolean => !Number.isFinite(Number(number.replaceAll('_', '')));
    const large = tokens(body).find(({ kind, start, end }) => kind === 'number' && isLarge(body.slice(start, end)));
    const number = large === undefined ? 'a number' : `"${body.slice(large.start, large.end)}"`;
    const at = large === undefined ? undefined : bodyBytes + Buffer.byteLength(body.slice(0, large.start));
    throw new WatershedError('statement_failed', `${number} is out of range for type double precision`, {
      cause,
      context: { sqlstate: '22003', ...(at === undefined ? {} : { position: characterAt(sql, at) }) },
    });
  }
}

function parseFailure(tree: JsonObject, sql: string, bodyBytes: number): WatershedError {
  const message = textOf(tree, 'error_message');
  if (textOf(tree, 'error_type') === 'parser') {
    const position = textOf(tree, 'position');
    return new WatershedError('statement_failed', message, {
      context: {
        sqlstate: '42601',
        ...(position === '' ? {} : { position: characterAt(sql, Number(position) + bodyBytes) }),
      },
    });
  }
  if (/only select statements/i.test(message)) {
    const pivot = /\bPIVOT/i.test(sql) ? 'Inside of other statements PIVOT wants its values: ON column IN (…). ' : '';
    return new WatershedError(
      'statement_refused',
      'this kind of statement is not allowed: nothing here can be changed',
      {
        hint: pivot + refused,
        context: { sqlstate: refusedState },
      },
    );
  }
  return new WatershedError('statement_failed', message, { context: { sqlstate: '42601' } });
}

async function asked(use: TableUse, index: number, constants: ReturnType<typeof createConstants>): Promise<AskedTable> {
  const filter = await constants.filter(use.filters);
  return {
    schema: use.schema,
    name: use.name,
    ...(filter === undefined ? {} : { filter }),
    ...(use.travel === undefined ? {} : { travel: { number: index + 1, ...(await constants.snapshot(use.travel)) } }),
  };
}

function mustRename({ travel, database }: TableUse): boolean {
  return travel !== undefined || database !== '';
}

/**
 * Calls tables by the names their views have: `posts AT (VERSION => 7)` becomes `lake."posts@1" AS "posts"`, and
 * `lake.lake.posts` becomes `lake."posts"`.
 */
function rename(body: string, uses: readonly TableUse[], tables: readonly AskedTable[]): string {
  const bytes = Buffer.from(body);
  const edits: { start: number; end: number; text: string }[] = [];
  uses.forEach((use, index) => {
    const table = tables[index];
    if (!mustRename(use) || table === undefined) return;
    if (use.location === undefined)
      throw new Refusal(`give ${use.name} an alias and a line of its own: its place was not found`);
    const start = bytes.subarray(0, use.location).toString().length;
    edits.push(...editsOf(body, start, use, table));
  });
  let text = body;
  for (const { start, end, text: put } of edits.sort((a, b) => b.start - a.start))
    text = text.slice(0, start) + put + text.slice(end);
  return text;
}

function editsOf(
  body: string,
  start: number,
  use: TableUse,
  table: AskedTable,
): { start: number; end: number; text: string }[] {
  const list = tokens(body.slice(start)).map((token) => ({
    ...token,
    start: token.start + start,
    end: token.end + start,
  }));
  const textAt = (index: number): string => {
    const token = list[index];
    return token === undefined ? '' : body.slice(token.start, token.end);
  };
  let next = 1;
  while (textAt(next) === '.') next += 2;
  const nameEnd = list[next - 1]?.end ?? start;
  const alias = use.hasAlias ? '' : ` AS ${quoteName(use.name)}`;
  const name = { start, end: nameEnd, text: `${use.schema}.${quoteName(viewName(table))}${alias}` };
  if (use.travel === undefined) return [name];
  while (next < list.length && !(textAt(next).toUpperCase() === 'AT' && textAt(next + 1) === '(')) next += 1;
  const open = next + 1;
  let depth = 0;
  for (next = open; next < list.length; next++) {
    depth += textAt(next) === '(' ? 1 : textAt(next) === ')' ? -1 : 0;
    if (depth === 0) break;
  }
  return [name, { start: list[open - 1]?.start ?? nameEnd, end: list[next]?.end ?? body.length, text: '' }];
}

export function quoteName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}
