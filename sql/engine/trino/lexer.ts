/** A token of Trino SQL and where it stands, in UTF-16 units. White space and comments are left out. */
export interface Token {
  readonly kind: 'word' | 'quoted' | 'string' | 'number' | 'parameter' | 'symbol';
  readonly start: number;
  readonly end: number;
  /**
   * A name in the form that Trino compares (lower case, without quotes), a word in upper case, else the text itself.
   */
  readonly text: string;
}

// Trino's SqlBase.g4: comments do not nest, strings have no backslashes, white space is blank, tab and line ends only.
const patterns: readonly (readonly [Token['kind'] | 'blank', RegExp])[] = [
  ['blank', /(?:[ \r\n\t]+|--[^\r\n]*(?:\r?\n)?|\/\*[\s\S]*?\*\/)/y],
  ['string', /(?:U&|X)?'(?:[^']|'')*'/iy],
  ['quoted', /"(?:[^"]|"")*"/y],
  ['parameter', /\$\d+/y],
  ['number', /(?:\d[\d_]*(?:\.[\d_]*)?|\.\d[\d_]*)(?:E[+-]?\d+)?/iy],
  ['word', /[\p{L}_][\p{L}\p{N}_@:]*/uy],
  ['symbol', /[\s\S]/uy],
];

/**
 * Cuts Trino's SQL into tokens. Where a string, quoted name or comment is not closed, its opening is a symbol by
 * itself, as in Trino, which then refuses the statement.
 */
export function tokens(sql: string): Token[] {
  const found: Token[] = [];
  for (let at = 0; at < sql.length;) {
    for (const [kind, pattern] of patterns) {
      pattern.lastIndex = at;
      const text = pattern.exec(sql)?.[0];
      if (text === undefined) continue;
      if (kind !== 'blank') found.push({ kind, start: at, end: at + text.length, text: nameOf(kind, text) });
      at += text.length;
      break;
    }
  }
  return found;
}

function nameOf(kind: Token['kind'], text: string): string {
  if (kind === 'word') return text.toUpperCase();
  // Trino makes names small letters even in quotes.
  return kind === 'quoted' ? text.slice(1, -1).replaceAll('""', '"').toLowerCase() : text;
}
