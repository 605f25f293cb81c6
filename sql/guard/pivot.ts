import { type Token, tokens } from './lexer.ts';

/** A PIVOT that leaves it to the engine which values become columns. */
export interface OpenPivot {
  /** One statement per column without values: it gives them as text, in DuckDB's order, at most so many and one more. */
  asks(valuesMax: number): string[];
  /** The statement with the values of each of those columns. */
  withValues(lists: readonly (readonly string[])[]): string;
  /** The columns, as they are written. */
  readonly columns: readonly string[];
}

/**
 * DuckDB makes two statements of a PIVOT without values, the first of which creates a type: nothing that can be
 * allowed, nor is there a parse tree to judge. So we ask for the values ourselves and write them in. Undefined for
 * any other statement, and where the text is not plainly `[WITH …] PIVOT source ON column, … [USING …] [GROUP BY …]
 * …`: then the guard says what is allowed. Nothing rests on this reading of the text: what comes of it is judged like
 * any statement.
 */
export function openPivot(sql: string): OpenPivot | undefined {
  if (!/\bpivot/i.test(sql)) return undefined;
  const top = topLevel(sql);
  if (top === undefined) return undefined;
  const at = top.findIndex(({ word }) => word === 'PIVOT' || word === 'PIVOT_WIDER');
  const pivot = top[at];
  if (pivot === undefined || (at > 0 && top[0]?.word !== 'WITH')) return undefined;
  const on = top.findIndex(({ word }, index) => index > at && word === 'ON');
  const begin = top[on];
  const source = top[at + 1];
  if (begin === undefined || source === undefined || on === at + 1) return undefined;
  if (top.slice(at, on).some(({ word }) => word === 'JOIN' || word === ',')) return undefined;
  const after = top.findIndex(({ word }, index) => index > on && afterColumns.has(word));
  const end = top[after === -1 ? top.length : after]?.start ?? sql.length;
  const columns = columnsOf(sql, top.slice(on + 1, after === -1 ? undefined : after));
  const open = columns.filter(({ hasValues }) => !hasValues).map(({ text }) => text);
  if (open.length === 0 || columns.some(({ text }) => text === '')) return undefined;
  const head = sql.slice(0, pivot.start);
  // On lines of their own: a comment may end a piece.
  const from = sql.slice(source.start, begin.start);
  return {
    columns: open,
    asks: (valuesMax) =>
      open.map(
        (column) => `${head}
SELECT DISTINCT CAST(v AS VARCHAR) AS v FROM (SELECT ${column}
 AS v FROM ${from}
) AS pivoted WHERE v IS NOT NULL ORDER BY v LIMIT ${valuesMax + 1}`,
      ),
    withValues(lists) {
      const left = [...lists];
      const written = columns.map(({ text, hasValues }) =>
        hasValues ? text : `${text}\n IN (${(left.shift() ?? []).map(quoteText).join(', ')})`,
      );
      return `${sql.slice(0, begin.end)} ${written.join(', ')}\n ${sql.slice(end)}`;
    },
  };
}

const afterColumns = new Set(['USING', 'GROUP', 'ORDER', 'LIMIT', ';']);

type TopToken = Token & {
  /** What it says, in upper case: of words and symbols only. */
  readonly word: string;
};

/** The tokens outside of all brackets, of which only the opening one is kept; undefined where they do not match. */
function topLevel(sql: string): TopToken[] | undefined {
  const top: TopToken[] = [];
  let depth = 0;
  for (const token of tokens(sql)) {
    const text = sql.slice(token.start, token.end);
    const word = token.kind === 'word' || token.kind === 'symbol' ? text.toUpperCase() : '';
    if (/^[)\]}]$/.test(word)) depth -= 1;
    else if (depth === 0) top.push({ ...token, word });
    if (/^[([{]$/.test(word)) depth += 1;
    if (depth < 0) return undefined;
  }
  return depth === 0 ? top : undefined;
}

/** The columns after ON, each from its first token to the comma or the end. */
function columnsOf(sql: string, list: readonly TopToken[]): { text: string; hasValues: boolean }[] {
  const last = list.at(-1);
  if (last === undefined) return [];
  const parts: TopToken[][] = [[]];
  for (const token of list) {
    if (token.word === ',') parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts.map((part) => {
    const [first] = part;
    const tail = part.at(-1);
    if (first === undefined || tail === undefined) return { text: '', hasValues: false };
    return { text: sql.slice(first.start, closing(sql, tail)), hasValues: part.some(({ word }) => word === 'IN') };
  });
}

/** Where a token ends, with everything in its brackets if it opens some. */
function closing(sql: string, token: TopToken): number {
  if (!/^[([{]$/.test(token.word)) return token.end;
  let depth = 0;
  for (const { start, end, kind } of tokens(sql.slice(token.start))) {
    const text = kind === 'symbol' ? sql.slice(token.start + start, token.start + end) : '';
    depth += /^[([{]$/.test(text) ? 1 : /^[)\]}]$/.test(text) ? -1 : 0;
    if (depth === 0) return token.start + end;
  }
  return sql.length;
}

function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
