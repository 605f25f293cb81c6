import { WatershedError } from '#core/errors.ts';
import type { Statement, Token } from './lexer.ts';

/** Who answers a statement that is not for the door itself. */
export type Target = 'engine' | 'catalogue';

// Functions that only PostgreSQL has and that ask about the catalogue or the server.
const catalogueFunctions = new Set([
  'current_setting',
  'set_config',
  'obj_description',
  'col_description',
  'shobj_description',
  'format_type',
  'quote_ident',
  'quote_literal',
  'quote_nullable',
  'parse_ident',
  'to_regclass',
  'to_regtype',
  'to_regnamespace',
  'to_regrole',
  'to_regproc',
  'has_table_privilege',
  'has_any_column_privilege',
  'has_column_privilege',
  'has_schema_privilege',
  'has_database_privilege',
  'has_function_privilege',
  'has_sequence_privilege',
  'inet_server_addr',
  'inet_server_port',
  'inet_client_addr',
  'inet_client_port',
  'array_upper',
  'array_lower',
  'current_schemas',
  'aclexplode',
  'generate_subscripts',
  'row_security_active',
]);

// Both have these: about the server they are PostgreSQL's, in a statement over the lake's tables the engine answers.
const serverFunctions = new Set(['version', 'current_database', 'current_schema', 'current_query']);
const serverWords = new Set(['current_catalog', 'current_role', 'current_schema', 'current_user', 'session_user']);

const catalogueTypes = new Set([
  'regclass',
  'regtype',
  'regproc',
  'regprocedure',
  'regnamespace',
  'regrole',
  'regoper',
  'regconfig',
]);

/**
 * Sends catalogue questions to the PostgreSQL beside us and all else to the engine, by the names a statement uses
 * (strings and comments aside). A wrong guess is an error, never a wrong answer: the engine's guard knows no
 * catalogue, and the catalogue's role may not read the (empty) shadow tables.
 */
export function targetOf(statement: Statement, isLakeTable: (name: string) => boolean): Target {
  const { tokens } = statement;
  let asksServer = false;
  let readsLake = false;
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index];
    if (token === undefined || (token.kind !== 'word' && token.kind !== 'quoted')) continue;
    const { text } = token;
    const called = isOperator(tokens[index + 1], '(');
    if (text === 'information_schema' || (text.startsWith('pg_') && text !== 'pg_typeof')) return 'catalogue';
    if (token.kind === 'word' && catalogueTypes.has(text) && isOperator(tokens[index - 1], ':')) return 'catalogue';
    if (called && catalogueFunctions.has(text)) return 'catalogue';
    if (called ? serverFunctions.has(text) : serverWords.has(text) && token.kind === 'word') asksServer = true;
    if (isLakeTable(text) && standsAsTable(tokens, index)) readsLake = true;
  }
  return asksServer && !readsLake ? 'catalogue' : 'engine';
}

/** In the place of a table: behind FROM, JOIN, TABLE, a comma or the dot of a schema. */
function standsAsTable(tokens: readonly Token[], index: number): boolean {
  const before = tokens[index - 1];
  if (before === undefined) return false;
  if (before.kind === 'word') return ['from', 'join', 'table', 'only', 'describe', 'summarize'].includes(before.text);
  return isOperator(before, ',') || isOperator(before, '.');
}

function isOperator(token: Token | undefined, text: string): boolean {
  return token?.kind === 'operator' && token.text === text;
}

// Columns that psql 15 and 16 ask for (`\\l`, `\\dO`) and that PostgreSQL 17 gave another name.
const renamed: ReadonlyMap<string, string> = new Map([
  ['daticulocale', 'datlocale'],
  ['colliculocale', 'colllocale'],
]);

/** The statement for the PostgreSQL beside us, which may be newer than the client. Positions stay as they are. */
export function modernised({ sql, tokens }: Statement): string {
  let out = sql;
  for (const { kind, text, start, end } of tokens) {
    const name = kind === 'word' ? renamed.get(text) : undefined;
    if (name !== undefined) out = out.slice(0, start) + name.padEnd(end - start) + out.slice(end);
  }
  return out;
}

/**
 * What may be forwarded to the PostgreSQL beside us: statements that read, calling no function with a side effect or
 * made to exhaust memory. `isDenied` knows those by name. PostgreSQL checks again by its privileges; this names the
 * reason.
 */
export function checkForwarded(statement: Statement, isDenied: (functionName: string) => boolean): void {
  const { tokens } = statement;
  const first = tokens.find((token) => !isOperator(token, '('))?.text ?? '';
  if (!['select', 'with', 'values', 'table', 'show', 'explain'].includes(first)) {
    throw refused(`${first.toUpperCase()} is not allowed on the catalogue`);
  }
  tokens.forEach((token, index) => {
    // An escaped name could be any name.
    if (/^u&"/i.test(token.text) && token.kind === 'quoted')
      throw refused('names with Unicode escapes are not allowed here');
    const isName = token.kind === 'word' || token.kind === 'quoted';
    if (!isName) return;
    if (
      token.kind === 'word' &&
      ['insert', 'update', 'delete', 'merge', 'into'].includes(token.text) &&
      !isOperator(tokens[index - 1], '.')
    ) {
      throw refused(`${token.text.toUpperCase()} is not allowed on the catalogue`);
    }
    if (isDenied(token.text) && (isOperator(tokens[index + 1], '(') || isOperator(tokens[index - 1], '.'))) {
      throw refused(`function ${token.text} is not allowed`);
    }
  });
}

function refused(message: string): WatershedError {
  return new WatershedError('statement_refused', message, {
    hint: 'the catalogue answers SELECT, without functions that change anything',
  });
}
