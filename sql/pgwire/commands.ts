import { WatershedError } from '#core/errors.ts';
import { type ConfigItem, configItems } from './config-select.ts';
import { type CopyOptions, copyOptions } from './copy-options.ts';
import { Cursor } from './cursor.ts';
import type { Statement } from './lexer.ts';

/** What a statement asks of the door itself; undefined from `parseCommand` means it is for an engine. */
export type Command =
  | { readonly kind: 'begin' | 'commit' | 'rollback'; readonly tag: string; readonly chain: boolean }
  | { readonly kind: 'savepoint' | 'release' | 'rollbackTo'; readonly name: string }
  | { readonly kind: 'set'; readonly name: string; readonly value: string | undefined; readonly local: boolean }
  | { readonly kind: 'show' | 'reset'; readonly name: string }
  | { readonly kind: 'discard'; readonly what: string }
  | { readonly kind: 'deallocate' | 'close'; readonly name: string | undefined }
  | { readonly kind: 'accepted'; readonly tag: string }
  | { readonly kind: 'config'; readonly items: readonly ConfigItem[] }
  | { readonly kind: 'sleep'; readonly seconds: number }
  | { readonly kind: 'declare'; readonly name: string; readonly hold: boolean; readonly inner: number }
  | { readonly kind: 'fetch'; readonly name: string; readonly count: number; readonly move: boolean }
  | { readonly kind: 'copy'; readonly query: string; readonly queryStart: number; readonly options: CopyOptions };

/**
 * Recognises the statements that the door answers itself, by their tokens. Throws `unsupported` for what PostgreSQL
 * knows and we do not, `bad_request` (SQLSTATE 42601) for what is no such statement.
 */
export function parseCommand(statement: Statement): Command | undefined {
  const cursor = new Cursor(statement);
  const first = cursor.take();
  switch (first) {
    case 'select': {
      const seconds = sleepSeconds(statement);
      if (seconds !== undefined) return { kind: 'sleep', seconds };
      const items = configItems(statement);
      return items && { kind: 'config', items };
    }
    case 'begin':
    case 'start':
      return { kind: 'begin', tag: first === 'begin' ? 'BEGIN' : 'START TRANSACTION', chain: false };
    case 'commit':
    case 'end':
      return { kind: 'commit', tag: 'COMMIT', chain: endsWith(statement, 'and', 'chain') };
    case 'rollback':
    case 'abort':
      return rollback(cursor, statement);
    case 'savepoint':
      return { kind: 'savepoint', name: cursor.name() };
    case 'release':
      cursor.skip('savepoint');
      return { kind: 'release', name: cursor.name() };
    case 'set':
      return set(cursor);
    case 'show':
      return show(cursor);
    case 'reset':
      return reset(cursor);
    case 'discard':
      return { kind: 'discard', what: cursor.take() ?? '' };
    case 'deallocate':
      cursor.skip('prepare');
      return { kind: 'deallocate', name: cursor.skip('all') ? undefined : cursor.name() };
    case 'close':
      return { kind: 'close', name: cursor.skip('all') ? undefined : cursor.name() };
    case 'unlisten':
      return { kind: 'accepted', tag: 'UNLISTEN' };
    case 'declare':
      return declare(cursor);
    case 'fetch':
    case 'move':
      return fetch(cursor, first === 'move');
    case 'copy':
      return copy(cursor, statement);
    case 'listen':
    case 'notify':
    case 'prepare':
    case 'execute':
    case 'lock':
    case 'do':
    case 'call':
      throw new WatershedError('unsupported', `${first.toUpperCase()} is not supported`, {
        hint: 'this door answers SELECT, EXPLAIN, DESCRIBE, SUMMARIZE, SHOW, cursors and COPY … TO STDOUT',
      });
    default:
      return undefined;
  }
}

/** `SELECT pg_sleep(2)`: what people try a cancel or a time limit with. Neither engine may be made to wait. */
function sleepSeconds({ tokens }: Statement): number | undefined {
  const words = tokens.map(({ kind, text }) => (kind === 'string' ? stringOf(text) : text));
  const at = words[1] === 'pg_catalog' ? 3 : 1;
  if (words[at] !== 'pg_sleep' || words[at + 1] !== '(' || words[at + 3] !== ')' || tokens.length !== at + 4)
    return undefined;
  const seconds = Number(words[at + 2]);
  return Number.isFinite(seconds) && seconds >= 0 ? seconds : undefined;
}

function stringOf(text: string): string {
  return text.slice(text.indexOf("'") + 1, -1);
}

function endsWith(statement: Statement, ...words: string[]): boolean {
  const last = statement.tokens.slice(-words.length);
  return words.every((expected, index) => last[index]?.text === expected);
}

function rollback(cursor: Cursor, statement: Statement): Command {
  cursor.skip('work', 'transaction');
  if (!cursor.skip('to')) return { kind: 'rollback', tag: 'ROLLBACK', chain: endsWith(statement, 'and', 'chain') };
  cursor.skip('savepoint');
  return { kind: 'rollbackTo', name: cursor.name() };
}

function settingName(cursor: Cursor): string {
  if (cursor.skip('time')) {
    cursor.skip('zone');
    return 'timezone';
  }
  let name = cursor.name();
  while (cursor.skip('.')) name += `.${cursor.name()}`;
  return name.toLowerCase();
}

function set(cursor: Cursor): Command {
  const local = cursor.skip('local');
  const session = !local && cursor.skip('session');
  // What a transaction may do is settled: it reads, and each statement sees its own snapshot.
  if (cursor.skip('transaction') || (session && cursor.skip('characteristics')))
    return { kind: 'accepted', tag: 'SET' };
  if (cursor.skip('constraints')) return { kind: 'accepted', tag: 'SET CONSTRAINTS' };
  // Nobody here is anybody else: going back to oneself is all that may be asked.
  if (cursor.skip('role')) return ownRole(cursor, 'none');
  if (cursor.skip('authorization')) return ownRole(cursor, 'default');
  const isZone = cursor.token?.text === 'time';
  if (cursor.skip('names')) return { kind: 'set', name: 'client_encoding', value: values(cursor) ?? 'UTF8', local };
  const name = settingName(cursor);
  if (!isZone && !cursor.skip('=', 'to')) throw cursor.wrong();
  return { kind: 'set', name, value: name === 'search_path' ? path(cursor) : values(cursor), local };
}

function ownRole(cursor: Cursor, self: string): Command {
  if (cursor.skip(self, 'default') && cursor.token === undefined) return { kind: 'accepted', tag: 'SET' };
  throw new WatershedError('forbidden', 'permission denied to take on another role', {
    hint: 'log in with the token of the one you want to be',
  });
}

// Names that need quotes keep them, as PostgreSQL shows them.
function path(cursor: Cursor): string | undefined {
  if (cursor.skip('default')) return undefined;
  const found = cursor.values();
  if (found.length === 0) throw cursor.wrong();
  return found.map((name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)).join(', ');
}

function reset(cursor: Cursor): Command {
  if (cursor.skip('role')) return { kind: 'accepted', tag: 'RESET' };
  if (cursor.skip('session') && cursor.skip('authorization')) return { kind: 'accepted', tag: 'RESET' };
  return { kind: 'reset', name: settingName(cursor) };
}

function values(cursor: Cursor): string | undefined {
  if (cursor.skip('default')) return undefined;
  const found = cursor.values();
  if (found.length === 0) throw cursor.wrong();
  return found.join(', ');
}

// SHOW TABLES and its kin are the engine's.
function show(cursor: Cursor): Command | undefined {
  const next = cursor.token?.text;
  if (next === undefined) throw cursor.wrong();
  if (['tables', 'databases', 'schemas', 'columns', 'from'].includes(next)) return undefined;
  if (next === 'transaction') return { kind: 'show', name: 'transaction_isolation' };
  const name = settingName(cursor);
  return cursor.token === undefined || name === 'all' ? showAll(name, cursor) : undefined;
}

function showAll(name: string, cursor: Cursor): Command | undefined {
  return name === 'all' && cursor.token !== undefined ? undefined : { kind: 'show', name };
}

function declare(cursor: Cursor): Command {
  const name = cursor.name();
  while (!cursor.skip('cursor')) {
    if (cursor.skip('binary'))
      throw new WatershedError('unsupported', 'binary cursors are not supported', { hint: 'leave out BINARY' });
    if (cursor.skip('no')) cursor.skip('scroll');
    else if (cursor.skip('scroll')) throw backwards();
    else if (!cursor.skip('insensitive', 'asensitive')) throw cursor.wrong();
  }
  const without = cursor.skip('without');
  const hold = cursor.skip('with') || without ? cursor.skip('hold') && !without : false;
  if (!cursor.skip('for')) throw cursor.wrong();
  if (cursor.token === undefined) throw cursor.wrong();
  return { kind: 'declare', name, hold, inner: cursor.position };
}

function backwards(): WatershedError {
  return new WatershedError('unsupported', 'cursors only move forward', {
    hint: 'leave out SCROLL, or read the rows again',
  });
}

function fetch(cursor: Cursor, move: boolean): Command {
  if (cursor.skip('prior', 'first', 'last', 'absolute', 'relative', 'backward')) throw backwards();
  const forward = cursor.skip('forward');
  let count = cursor.skip('all') ? Infinity : cursor.number();
  if (count === undefined) {
    if (!forward) cursor.skip('next');
    count = 1;
  }
  cursor.skip('from', 'in');
  const name = cursor.name();
  if (cursor.token !== undefined) throw cursor.wrong();
  return { kind: 'fetch', name, count, move };
}

function copy(cursor: Cursor, statement: Statement): Command {
  let query: string;
  let queryStart = cursor.position;
  if (cursor.skip('(')) {
    queryStart = cursor.position;
    query = statement.sql.slice(queryStart, closingParenthesis(cursor));
  } else {
    const from = cursor.position;
    cursor.name();
    while (cursor.skip('.')) cursor.name();
    const table = statement.sql.slice(from, cursor.position).trim();
    const columnsFrom = cursor.position + 1;
    const columns = cursor.skip('(') ? statement.sql.slice(columnsFrom, closingParenthesis(cursor)) : '*';
    query = `SELECT ${columns} FROM ${table}`;
  }
  if (cursor.skip('from')) throw readOnly();
  if (!cursor.skip('to')) throw cursor.wrong();
  if (!cursor.skip('stdout')) {
    throw new WatershedError('forbidden', 'COPY may only write TO STDOUT', {
      hint: 'use \\copy of psql to write a file on your side',
    });
  }
  return { kind: 'copy', query, queryStart, options: copyOptions(cursor) };
}

function readOnly(): WatershedError {
  return new WatershedError('forbidden', 'the lake is read-only', {
    hint: 'posts come in by collectors and by `watershed load`',
    context: { sqlstate: '25006' },
  });
}

/** Goes past the parenthesis that closes the one before the cursor, and gives its position. */
function closingParenthesis(cursor: Cursor): number {
  for (let depth = 1; cursor.token !== undefined;) {
    const { kind, text, start } = cursor.token;
    if (kind === 'operator' && text === '(') depth++;
    if (kind === 'operator' && text === ')') depth--;
    cursor.take();
    if (depth === 0) return start;
  }
  throw cursor.wrong();
}

