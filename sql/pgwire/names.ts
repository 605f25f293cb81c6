import type { Token } from './lexer.ts';

// What PostgreSQL calls the types that a cast names (pg_type.typname), by DuckDB's names for them.
const typeNames: ReadonlyMap<string, string> = new Map([
  ['BOOLEAN', 'bool'],
  ['SMALLINT', 'int2'],
  ['INTEGER', 'int4'],
  ['BIGINT', 'int8'],
  ['FLOAT', 'float4'],
  ['DOUBLE', 'float8'],
  ['VARCHAR', 'text'],
  ['BLOB', 'bytea'],
  ['DECIMAL', 'numeric'],
  ['TIMESTAMP', 'timestamp'],
  ['TIMESTAMP WITH TIME ZONE', 'timestamptz'],
]);

/**
 * Column names as PostgreSQL gives them where a statement gives none (FigureColname in parse_target.c): `count` for
 * `count(*)`, `max` for `max(x)`, `int4` for `1::int`, and the column's own name for a cast of a column. The engine
 * shows the whole expression instead, which no tool expects. Three things stay as the engine has them: a name that the
 * statement itself writes, one that would come up twice (maps of rows would lose a value), and expressions that
 * PostgreSQL has no name for (`?column?`).
 */
export function columnNames(names: readonly string[], tokens: readonly Token[]): readonly string[] {
  if (!names.some((name) => name.includes('('))) return names;
  const written = new Set(tokens.filter(({ kind }) => kind === 'quoted' || kind === 'string').map(writtenName));
  const figured = names.map((name) => (written.has(name) ? name : (figuredName(name) ?? name)));
  const counts = new Map<string, number>();
  for (const name of figured) counts.set(name, (counts.get(name) ?? 0) + 1);
  return figured.map((name, index) => ((counts.get(name) ?? 0) > 1 ? (names[index] ?? name) : name));
}

function writtenName({ kind, text }: Token): string {
  return kind === 'quoted' ? text : text.slice(text.indexOf("'") + 1, -1).replaceAll("''", "'");
}

function figuredName(expression: string): string | undefined {
  if (/^CASE\s.*\sEND$/s.test(expression)) return 'case';
  if (/^\(ARRAY\[.*\]\)$/s.test(expression)) return 'array';
  const call = /^(?:main\.)?"?([A-Za-z_]\w*)"?\((.*)\)$/s.exec(expression);
  if (call === null || !isClosedOnce(call[2] ?? '')) return undefined;
  const [, name = '', inner = ''] = call;
  if (name === 'CAST' || name === 'TRY_CAST') return castName(inner);
  if (name === 'count_star') return 'count';
  return name.toLowerCase();
}

function castName(inner: string): string | undefined {
  const parts = /^(.*) AS ([^()]+(?:\([^()]*\))?(?:\[\])*)$/s.exec(inner);
  if (parts === null) return undefined;
  const [, operand = '', type = ''] = parts;
  if (/^[A-Za-z_]\w*$/.test(operand) && !/^null$/i.test(operand)) return operand;
  const column = /^(?:"?\w+"?\.)*"([^"]+)"$/.exec(operand)?.[1] ?? /^(?:\w+\.)+([A-Za-z_]\w*)$/.exec(operand)?.[1];
  const plain = type.replaceAll('"', '').replace(/\(.*\)|\[\]/g, '').trim();
  return column ?? figuredName(operand) ?? typeNames.get(plain.toUpperCase()) ?? plain.toLowerCase();
}

/** Whether the parenthesis before this text is closed by the one behind it: `a) + (b` is no one call. */
function isClosedOnce(text: string): boolean {
  let depth = 0;
  let quote = '';
  for (const character of text) {
    if (quote !== '') quote = character === quote ? '' : quote;
    else if (character === "'" || character === '"') quote = character;
    else if (character === '(') depth++;
    else if (character === ')' && --depth < 0) return false;
  }
  return depth === 0;
}
