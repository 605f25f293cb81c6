import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Field } from './backend.ts';
import { type Command, parseCommand } from './commands.ts';
import { characters, parameterCount, splitStatements, type Statement } from './lexer.ts';
import { type Target, targetOf } from './router.ts';

/** A statement and who answers it. */
export interface Planned {
  readonly statement: Statement;
  /** Set where the door answers itself. */
  readonly command: Command | undefined;
  /** The query to run: the statement itself, or the one within DECLARE or COPY. Undefined where there is none. */
  readonly query: Query | undefined;
}

export interface Query {
  readonly statement: Statement;
  readonly target: Target;
  /** Where it begins in what the client sent, in characters. */
  readonly offset: number;
}

/** Parameter types and columns, in PostgreSQL's OIDs and in the engine's names. */
export interface Description {
  readonly parameters: readonly { readonly oid: number; readonly engineType: string }[];
  readonly fields: readonly Field[] | undefined;
}

/** Throws `bad_request` (42601) or `unsupported` for a door statement that is none. */
export function plan(statement: Statement, isLakeTable: (name: string) => boolean): Planned {
  const command = commandOf(statement);
  if (command === undefined) {
    const query = { statement, target: targetOf(statement, isLakeTable), offset: statement.startCharacter };
    return { statement, command, query };
  }
  if (command.kind !== 'declare' && command.kind !== 'copy') return { statement, command, query: undefined };
  const start = command.kind === 'declare' ? command.inner : command.queryStart;
  const text = command.kind === 'declare' ? statement.sql.slice(start) : command.query;
  const [inner, another] = splitStatements(text);
  if (inner === undefined || another !== undefined || inner.tokens.length === 0) throw syntaxError();
  const offset = statement.startCharacter + characters(statement.sql.slice(0, start));
  return { statement, command, query: { statement: inner, target: targetOf(inner, isLakeTable), offset } };
}

/** Positions in errors of the door's own parser are in units of the statement: here they become the client's. */
function commandOf(statement: Statement): Command | undefined {
  try {
    return parseCommand(statement);
  } catch (error) {
    if (!isWatershedError(error) || typeof error.context['position'] !== 'number') throw error;
    const position = statement.startCharacter + characters(statement.sql.slice(0, error.context['position'] - 1)) + 1;
    throw new WatershedError(error.code, error.message, { context: { ...error.context, position } });
  }
}

function syntaxError(): WatershedError {
  return new WatershedError('bad_request', 'syntax error: one query is expected', { context: { sqlstate: '42601' } });
}

export function parametersIn(planned: Planned): number {
  const statement = planned.command?.kind === 'config' ? planned.statement : planned.query?.statement;
  return statement === undefined ? 0 : parameterCount(statement.tokens);
}

/** The command tag of a query, given the rows that were sent. */
export function queryTag(query: Query, rows: number): string {
  return firstWord(query.statement) === 'explain' ? 'EXPLAIN' : `SELECT ${rows}`;
}

/** What form of plan an EXPLAIN gives; undefined for other statements. */
export function explainsAs({ tokens }: Statement): 'text' | 'json' | undefined {
  if (tokens[0]?.text !== 'explain' || tokens[0].kind !== 'word') return undefined;
  const format = tokens.findIndex(({ kind, text }) => kind === 'word' && text === 'format');
  const options = tokens[1]?.text === '(' ? tokens.findIndex(({ text }) => text === ')') : 0;
  return format > 0 && format < options && tokens[format + 1]?.text === 'json' ? 'json' : 'text';
}

export function firstWord(statement: Statement): string {
  return statement.tokens.find((token) => token.kind === 'word')?.text ?? '';
}
