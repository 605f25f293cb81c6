/** A piece of SQL that counts: no comment, no white space. Positions are in UTF-16 units of the whole text. */
export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'parameter' | 'operator';
  /** Words in lower case, quoted names without their quotes, strings as written, parameters as their number. */
  readonly text: string;
  readonly start: number;
  readonly end: number;
}

export interface Statement {
  readonly sql: string;
  /** Where it starts in the text it was cut from, in UTF-16 units and in characters, by which positions are told. */
  readonly start: number;
  readonly startCharacter: number;
  readonly tokens: readonly Token[];
}

const space = /[\s\u200b\ufeff]+/y;
const word = /[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*/y;
const number = /\.?\d[\w.]*/y;
const dollar = /\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$/y;
const parameter = /\$(\d+)/y;

/**
 * Cuts a text at the semicolons that stand outside of strings, quoted names, dollar quotes and comments (nested ones
 * too), as PostgreSQL's scanner sees them (scan.l) and DuckDB's, which descends from it. What is never closed runs to
 * the end. Statements of nothing but comments have no tokens. This decides where statements go, never what is
 * allowed: the guard and PostgreSQL parse for themselves.
 */
export function splitStatements(text: string): Statement[] {
  const statements: Statement[] = [];
  let tokens: Token[] = [];
  let start = 0;
  let startCharacter = 0;
  const close = (end: number): void => {
    const sql = text.slice(start, end);
    statements.push({ sql, start, startCharacter, tokens: tokens.map((token) => shifted(token, start)) });
    startCharacter += characters(sql) + 1;
    tokens = [];
    start = end + 1;
  };
  for (const token of scan(text)) {
    if (token.kind === 'operator' && token.text === ';') close(token.start);
    else tokens.push(token);
  }
  if (tokens.length > 0 || statements.length === 0) close(text.length);
  return statements;
}

function shifted(token: Token, by: number): Token {
  return { kind: token.kind, text: token.text, start: token.start - by, end: token.end - by };
}

function* scan(text: string): Generator<Token> {
  let at = 0;
  while (at < text.length) {
    const skipped = skip(text, at);
    if (skipped > at) {
      at = skipped;
      continue;
    }
    const token = tokenAt(text, at);
    yield token;
    at = token.end;
  }
}

function skip(text: string, at: number): number {
  const blank = match(space, text, at);
  if (blank !== undefined) return at + blank.length;
  if (text.startsWith('--', at)) {
    const end = text.slice(at).search(/[\r\n]/);
    return end < 0 ? text.length : at + end;
  }
  if (!text.startsWith('/*', at)) return at;
  let depth = 0;
  for (let position = at; position < text.length; position++) {
    if (text.startsWith('/*', position)) {
      depth++;
      position++;
    } else if (text.startsWith('*/', position)) {
      depth--;
      position++;
      if (depth === 0) return position + 1;
    }
  }
  return text.length;
}

function tokenAt(text: string, at: number): Token {
  const make = (kind: Token['kind'], shown: string, end: number): Token => ({ kind, text: shown, start: at, end });
  const next = text[at] ?? '';
  if (next === "'") return string(text, at, at, false);
  if (next === '"') {
    const end = closing(text, at, '"', false);
    return make('quoted', text.slice(at + 1, Math.max(at + 1, end - 1)).replaceAll('""', '"'), end);
  }
  if (next === '$') {
    const index = match(parameter, text, at);
    if (index !== undefined) return make('parameter', index.slice(1), at + index.length);
    const tag = match(dollar, text, at);
    if (tag !== undefined) {
      const found = text.indexOf(tag, at + tag.length);
      const end = found < 0 ? text.length : found + tag.length;
      return make('string', text.slice(at, end), end);
    }
    return make('operator', next, at + 1);
  }
  const name = match(word, text, at);
  if (name !== undefined) {
    const after = text[at + name.length];
    if (after === "'" && /^[ebxn]$/i.test(name)) return string(text, at, at + 1, /^e$/i.test(name));
    // U&"…" may hide any name behind escapes: it is kept apart, so that nobody mistakes it for what it says.
    if (/^u$/i.test(name) && after === '&' && /['"]/.test(text[at + 2] ?? '')) {
      const quote = text[at + 2] ?? '';
      const end = closing(text, at + 2, quote, false);
      return make(quote === '"' ? 'quoted' : 'string', text.slice(at, end), end);
    }
    return make('word', name.toLowerCase(), at + name.length);
  }
  const digits = match(number, text, at);
  if (digits !== undefined) return make('number', digits, at + digits.length);
  return make('operator', next, at + 1);
}

function string(text: string, start: number, quoteAt: number, escapes: boolean): Token {
  const end = closing(text, quoteAt, "'", escapes);
  return { kind: 'string', text: text.slice(start, end), start, end };
}

/** Just behind the quote that closes the one at `at`; a doubled one, or with `escapes` a backslashed one, does not. */
function closing(text: string, at: number, quote: string, escapes: boolean): number {
  for (let position = at + 1; position < text.length; position++) {
    if (escapes && text[position] === '\\') position++;
    else if (text[position] === quote) {
      if (text[position + 1] !== quote) return position + 1;
      position++;
    }
  }
  return text.length;
}

function match(pattern: RegExp, text: string, at: number): string | undefined {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0];
}

/** The value of a plain, E or dollar-quoted string token. */
export function stringValue(token: Token): string {
  const tag = /^\$[^$]*\$/.exec(token.text)?.[0];
  if (tag !== undefined) return token.text.slice(tag.length, -tag.length);
  const body = token.text.slice(token.text.indexOf("'") + 1, -1).replaceAll("''", "'");
  return /^e/i.test(token.text) ? body.replace(/\\(.)/gs, '$1') : body;
}

/** The largest number among `$1`, `$2`, …; 0 where there is none. */
export function parameterCount(tokens: readonly Token[]): number {
  return tokens.reduce((most, token) => (token.kind === 'parameter' ? Math.max(most, Number(token.text)) : most), 0);
}

/** Characters (code points) of a text: PostgreSQL counts positions in them. */
export function characters(text: string): number {
  let count = text.length;
  for (let index = 0; index < text.length; index++) if ((text.charCodeAt(index) & 0xfc00) === 0xdc00) count--;
  return count;
}
