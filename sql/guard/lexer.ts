/** A token of SQL: where it stands in the text, in UTF-16 units. White space and comments are left out. */
export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'parameter' | 'symbol';
  readonly start: number;
  readonly end: number;
}

// DuckDB takes these for white space too: no-break space, the zero-width ones, the BOM and U+3000's kin.
const spaces = /[\s\u00a0\u1680\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff]+/uy;
const word =
  /[\p{L}_\u{80}-\u{10ffff}](?:(?![\s\u00a0\u1680\u2000-\u200d\u2028\u2029\u202f\u205f\u2060\u3000\ufeff])[\p{L}\p{N}_$\u{80}-\u{10ffff}])*/uy;
const commentMark = /\/\*|\*\//g;

/** Where a match that begins at `at` ends; `at` where there is none. A text of a megabyte is cut in a moment. */
function endOf(pattern: RegExp, sql: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.test(sql) ? pattern.lastIndex : at;
}

/**
 * Cuts SQL into tokens, as PostgreSQL's scanner (DuckDB's model) does: nested comments, dollar quotes, E'' strings.
 * Nothing that decides on safety leans on it: what runs is judged by DuckDB's own parse tree. An unclosed string or
 * comment ends at the end of the text.
 */
export function tokens(sql: string): Token[] {
  const found: Token[] = [];
  for (let at = 0; at < sql.length;) {
    const skipped = skipBlank(sql, at);
    if (skipped > at) {
      at = skipped;
      continue;
    }
    const token = readToken(sql, at);
    found.push(token);
    at = token.end;
  }
  return found;
}

/** The end of white space or of one comment that begins at `at`, or `at` where neither does. */
function skipBlank(sql: string, at: number): number {
  const blank = endOf(spaces, sql, at);
  if (blank > at) return blank;
  if (sql.startsWith('--', at)) {
    const end = sql.indexOf('\n', at);
    return end === -1 ? sql.length : end + 1;
  }
  if (!sql.startsWith('/*', at)) return at;
  let depth = 0;
  for (let index = at; ;) {
    const next = endOf(commentMark, sql, index);
    if (next === index) return sql.length;
    depth += sql[next - 1] === '*' ? 1 : -1;
    index = next;
    if (depth === 0) return index;
  }
}

function readToken(sql: string, start: number): Token {
  const first = charAt(sql, start);
  if (first === "'") return { kind: 'string', start, end: quotedEnd(sql, start, "'", false) };
  if (/[eE]/.test(first) && sql[start + 1] === "'")
    return { kind: 'string', start, end: quotedEnd(sql, start + 1, "'", true) };
  if (first === '"') return { kind: 'quoted', start, end: quotedEnd(sql, start, '"', false) };
  if (first === '$') return dollarToken(sql, start);
  if (/[0-9]/.test(first) || (first === '.' && /[0-9]/.test(charAt(sql, start + 1)))) {
    const match = /^(0[xX][0-9a-fA-F_]+|[0-9_]*\.?[0-9_]*([eE][+-]?[0-9]+)?)/.exec(sql.slice(start, start + 400));
    return { kind: 'number', start, end: start + Math.max(1, match?.[0].length ?? 1) };
  }
  const wordEnd = endOf(word, sql, start);
  if (wordEnd > start) return { kind: 'word', start, end: wordEnd };
  return { kind: 'symbol', start, end: start + first.length };
}

function dollarToken(sql: string, start: number): Token {
  const tag = /^\$([\p{L}_][\p{L}\p{N}_]*)?\$/u.exec(sql.slice(start, start + 200))?.[0];
  if (tag !== undefined) {
    const end = sql.indexOf(tag, start + tag.length);
    return { kind: 'string', start, end: end === -1 ? sql.length : end + tag.length };
  }
  const parameter = /^\$[\p{L}\p{N}_]+/u.exec(sql.slice(start, start + 200))?.[0];
  return { kind: parameter === undefined ? 'symbol' : 'parameter', start, end: start + (parameter?.length ?? 1) };
}

function quotedEnd(sql: string, open: number, quote: string, backslashes: boolean): number {
  for (let index = open + 1; index < sql.length; index++) {
    if (backslashes && sql[index] === '\\') index += 1;
    else if (sql[index] === quote) {
      if (sql[index + 1] !== quote) return index + 1;
      index += 1;
    }
  }
  return sql.length;
}

function charAt(sql: string, at: number): string {
  const code = sql.codePointAt(at);
  return code === undefined ? '' : String.fromCodePoint(code);
}

/** The statements of a text, parted at semicolons outside of strings and comments; empty ones are left out. */
export function splitStatements(sql: string): { readonly text: string; readonly start: number }[] {
  const parts: { text: string; start: number }[] = [];
  let first: number | undefined;
  let end = 0;
  const close = (): void => {
    if (first !== undefined) parts.push({ text: sql.slice(first, end), start: first });
    first = undefined;
  };
  for (const token of tokens(sql)) {
    if (token.kind === 'symbol' && sql[token.start] === ';') {
      close();
      continue;
    }
    first ??= token.start;
    end = token.end;
  }
  close();
  return parts;
}

export interface Explained {
  /**
   * What is put before the statement: `EXPLAIN `, `EXPLAIN ANALYZE `, either with `(FORMAT JSON)`; empty for a plain
   * statement.
   */
  readonly prefix: string;
  /** The statement inside. */
  readonly body: string;
  /** Where the body begins, in UTF-16 units. */
  readonly start: number;
}

/** Parts `EXPLAIN [ANALYZE] [(FORMAT …)]` from the statement it is about: DuckDB's parse tree knows SELECT only. */
export function partExplain(sql: string): Explained {
  const list = tokens(sql);
  const word = (index: number): string => {
    const token = list[index];
    return token === undefined || token.kind === 'string' || token.kind === 'quoted'
      ? ''
      : sql.slice(token.start, token.end).toUpperCase();
  };
  if (word(0) !== 'EXPLAIN') return { prefix: '', body: sql, start: 0 };
  let next = 1;
  let analyze = false;
  let format = '';
  if (word(next) === 'ANALYZE') {
    analyze = true;
    next += 1;
  }
  if (word(next) === '(' && ['ANALYZE', 'FORMAT'].includes(word(next + 1))) {
    for (next += 1; next < list.length && word(next) !== ')'; next++) {
      if (word(next) === 'ANALYZE') analyze = true;
      if (word(next) === 'FORMAT') format = word(next + 1);
    }
    next += 1;
  }
  const start = list[next]?.start ?? sql.length;
  const options = ['JSON', 'TEXT', 'HTML', 'GRAPHVIZ'].includes(format) ? `(FORMAT ${format}) ` : '';
  // DuckDB knows `EXPLAIN ANALYZE` and `EXPLAIN (ANALYZE, FORMAT …)`, not a mixture.
  const prefix = analyze
    ? options === ''
      ? 'EXPLAIN ANALYZE '
      : `EXPLAIN (ANALYZE, ${options.slice(1)}`
    : `EXPLAIN ${options}`;
  return { prefix, body: sql.slice(start), start };
}
