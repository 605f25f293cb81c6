import { WatershedError } from '#core/errors.ts';
import { tokens } from './lexer.ts';
import type { Token } from './lexer.ts';

/** What a statement may name: everything else in Trino is out of bounds. */
export interface Bounds {
  /** Trino's name of the lake's catalog. */
  readonly catalog: string;
  /** Schemas of it that may be read. */
  readonly schemas: readonly string[];
  /** All catalogs that Trino has, and all schemas of the lake's. */
  readonly catalogs: readonly string[];
  readonly otherSchemas: readonly string[];
}

const queries = new Set(['SELECT', 'WITH', 'VALUES', 'TABLE']);
const shows = new Set(['SHOW', 'DESCRIBE', 'DESC']);
const allowed = 'SELECT, WITH, VALUES, TABLE, SHOW, DESCRIBE and EXPLAIN, one statement at a time';

/**
 * Lets one reading statement pass, without a semicolon at its end; `statement_refused` for any other. Beside it stand
 * Trino's own rules: a read-only catalog and a user with no other rights (docs/operating.md). This guard is the first
 * fence and says what is allowed; it need not understand a statement, only see that it begins with a word that reads
 * and names nothing out of bounds.
 */
export function checkStatement(sql: string, bounds: Bounds): string {
  const found = tokens(sql);
  while (isSymbol(found.at(-1), ';')) found.pop();
  const last = found.at(-1);
  if (last === undefined) throw refuse('the statement is empty', 0);
  const second = found.find((token) => isSymbol(token, ';'));
  if (second !== undefined) throw refuse('there is more than one statement', second.start);
  checkKind(found);
  checkNames(found, bounds);
  return sql.slice(0, last.end);
}

function checkKind(found: readonly Token[]): void {
  let at = 0;
  if (isWord(found[at], 'EXPLAIN')) {
    at++;
    if (isWord(found[at], 'ANALYZE')) at++;
    if (isWord(found[at], 'VERBOSE')) at++;
    if (isSymbol(found[at], '(') && isWord(found[at + 1], 'TYPE', 'FORMAT')) {
      while (at < found.length && !isSymbol(found[at], ')')) at++;
      at++;
    }
    if (isWord(found[at], 'EXPLAIN')) throw refuse('EXPLAIN of EXPLAIN', found[at]?.start ?? 0);
  } else if (found[0]?.kind === 'word' && shows.has(found[0].text)) {
    return;
  }
  while (isSymbol(found[at], '(')) at++;
  const first = found[at];
  if (first?.kind !== 'word' || !queries.has(first.text)) {
    throw refuse(`${first?.text ?? 'this'} is not a statement that reads`, first?.start ?? 0);
  }
  // Functions written in the statement may loop for ever.
  found.forEach((token, index) => {
    if (isWord(token, 'WITH') && isWord(found[index + 1], 'FUNCTION'))
      throw refuse('functions cannot be defined here', token.start);
  });
}

/** Names are chains of words and quoted names with dots between; where they stand does not matter. */
function checkNames(found: readonly Token[], bounds: Bounds): void {
  const show = found[0]?.kind === 'word' && shows.has(found[0].text);
  for (let at = 0; at < found.length; at++) {
    const chain = chainAt(found, at);
    const [first] = chain;
    if (first === undefined) continue;
    at += (chain.length - 1) * 2;
    // SHOW names schemas and catalogs by themselves, after FROM or IN.
    if (chain.length >= 2 || (show && isWord(found[at - 1], 'FROM', 'IN'))) checkChain(chain, bounds);
  }
}

function checkChain(chain: readonly Token[], bounds: Bounds): void {
  const [first, second] = chain.map(({ text }) => text.toLowerCase());
  const start = chain[0]?.start ?? 0;
  if (first === undefined) return;
  const readable = [...bounds.schemas, 'information_schema'];
  if (first === bounds.catalog && second !== undefined) {
    // `lake.posts` is also schema lake where the catalog has the same name.
    if (readable.includes(second) || (readable.includes(first) && chain.length === 2)) return;
    if (bounds.otherSchemas.includes(second) || second === 'system' || chain.length >= 3)
      throw outOfBounds(`${first}.${second}`, start, bounds);
    return;
  }
  if (readable.includes(first)) return;
  if (bounds.otherSchemas.includes(first) || (bounds.catalogs.includes(first) && first !== bounds.catalog)) {
    throw outOfBounds(first, start, bounds);
  }
}

function chainAt(found: readonly Token[], start: number): Token[] {
  const chain: Token[] = [];
  for (let at = start; ; at += 2) {
    const token = found[at];
    if (token?.kind !== 'word' && token?.kind !== 'quoted') return chain;
    chain.push(token);
    if (!isSymbol(found[at + 1], '.')) return chain;
  }
}

function isWord(token: Token | undefined, ...words: readonly string[]): boolean {
  return token?.kind === 'word' && words.includes(token.text);
}

function isSymbol(token: Token | undefined, symbol: string): boolean {
  return token?.kind === 'symbol' && token.text === symbol;
}

function outOfBounds(name: string, start: number, bounds: Bounds): WatershedError {
  return refuse(
    `${name} cannot be read from here`,
    start,
    `Only the tables of ${bounds.schemas.map((schema) => `schema ${schema}`).join(' and ')} can be read.`,
  );
}

function refuse(what: string, start: number, hint = `Allowed are ${allowed}.`): WatershedError {
  return new WatershedError('statement_refused', what, { hint, context: { sqlstate: '42501', position: start + 1 } });
}
