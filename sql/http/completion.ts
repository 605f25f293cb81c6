import type { FastifyPluginAsync } from 'fastify';
import Type from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import type { Engine, TableInfo } from '../engine/engine.ts';
import { allowedFunctions, allowedTableFunctions } from '../guard/functions.ts';
import { type Token, tokens } from '../guard/lexer.ts';
import { principalOf } from './identity.ts';
import { tablesFor } from './tables.ts';

/** One thing that may stand where the cursor is. */
export interface Suggestion {
  readonly label: string;
  readonly kind: 'table' | 'column' | 'function' | 'keyword';
  readonly detail: string;
}

export interface Completion {
  /** Where the word begins that a suggestion replaces, in UTF-16 units. */
  readonly from: number;
  readonly suggestions: readonly Suggestion[];
}

const suggestionsMax = 200;

const keywords = [
  'SELECT',
  'FROM',
  'WHERE',
  'GROUP BY',
  'HAVING',
  'ORDER BY',
  'LIMIT',
  'OFFSET',
  'JOIN',
  'LEFT JOIN',
  'ON',
  'USING',
  'WITH',
  'AS',
  'AND',
  'OR',
  'NOT',
  'IN',
  'IS NULL',
  'IS NOT NULL',
  'LIKE',
  'ILIKE',
  'BETWEEN',
  'CASE',
  'WHEN',
  'THEN',
  'ELSE',
  'END',
  'DISTINCT',
  'UNION ALL',
  'EXCEPT',
  'INTERSECT',
  'ASC',
  'DESC',
  'NULLS LAST',
  'OVER',
  'PARTITION BY',
  'QUALIFY',
  'FILTER',
  'EXISTS',
  'CAST',
  'INTERVAL',
  'UNNEST',
  'DESCRIBE',
  'SUMMARIZE',
  'SHOW TABLES',
  'EXPLAIN',
  'EXPLAIN ANALYZE',
  'PIVOT',
  'UNPIVOT',
  'VALUES',
];

const beforeTables = new Set(['FROM', 'JOIN', 'TABLE', 'DESCRIBE', 'SUMMARIZE']);

/** What may stand at `position` of a statement that is being written: names first, then functions, then keywords. */
export function complete(sql: string, position: number, tables: readonly TableInfo[]): Completion {
  const list = tokens(sql);
  const current = list.find(
    ({ start, end, kind }) => start < position && position <= end && (kind === 'word' || kind === 'quoted'),
  );
  const inText = list.some(({ start, end, kind }) => kind === 'string' && start < position && position < end);
  const from = current?.start ?? position;
  if (inText) return { from, suggestions: [] };
  const typed = sql.slice(from, position).replace('"', '').toLowerCase();
  const before = list.filter(({ end }) => end <= from);
  const text = (token: Token | undefined): string => (token === undefined ? '' : sql.slice(token.start, token.end));
  const qualifier = text(before.at(-1)) === '.' ? plainName(text(before.at(-2))) : undefined;
  const candidates =
    qualifier === undefined ? unqualified(sql, list, before, tables) : qualified(sql, list, qualifier, tables);
  const suggestions = candidates.filter(({ label }) => label.toLowerCase().startsWith(typed)).slice(0, suggestionsMax);
  return { from, suggestions };
}

function plainName(text: string): string {
  return text.replaceAll('"', '').toLowerCase();
}

/** After a dot: columns of that table or alias, or tables of that schema. */
function qualified(sql: string, list: readonly Token[], qualifier: string, tables: readonly TableInfo[]): Suggestion[] {
  const inSchema = tables.filter(({ schema }) => schema === qualifier);
  if (inSchema.length > 0)
    return inSchema.map((table) => ({ label: table.name, kind: 'table', detail: table.comment }));
  const mentioned = mentionedTables(sql, list, tables).find(({ alias }) => alias === qualifier);
  return (mentioned?.table.columns ?? []).map(columnSuggestion);
}

function unqualified(
  sql: string,
  list: readonly Token[],
  before: readonly Token[],
  tables: readonly TableInfo[],
): Suggestion[] {
  const last = before.at(-1);
  const previous = last === undefined ? '' : sql.slice(last.start, last.end).toUpperCase();
  const names: Suggestion[] = [...tables]
    .filter(({ schema }) => schema === 'lake')
    .map(({ name, comment }) => ({ label: name, kind: 'table', detail: comment }));
  if (beforeTables.has(previous) || (previous === ',' && isInFrom(sql, before))) {
    const schemas = [...new Set(tables.map(({ schema }) => schema))].map((schema): Suggestion => ({
      label: schema,
      kind: 'table',
      detail: 'schema',
    }));
    const functions = [...allowedTableFunctions].map((name): Suggestion => ({
      label: name,
      kind: 'function',
      detail: 'table function',
    }));
    return [...names, ...schemas, ...functions];
  }
  const mentioned = mentionedTables(sql, list, tables);
  const known = new Set<string>();
  const columns = mentioned
    .flatMap(({ table }) => table.columns)
    .filter(({ name }) => !known.has(name) && known.add(name))
    .map(columnSuggestion);
  const aliases = mentioned.map(({ alias, table }): Suggestion => ({
    label: alias,
    kind: 'table',
    detail: `${table.schema}.${table.name}`,
  }));
  const functions = [...allowedFunctions]
    .filter((name) => /^[a-z]/.test(name))
    .toSorted()
    .map((name): Suggestion => ({ label: name, kind: 'function', detail: 'function' }));
  return [
    ...columns,
    ...aliases,
    ...keywords.map((label): Suggestion => ({ label, kind: 'keyword', detail: '' })),
    ...functions,
  ];
}

function columnSuggestion({ name, type, comment }: TableInfo['columns'][number]): Suggestion {
  return { label: name, kind: 'column', detail: comment === '' ? type : `${type}: ${comment}` };
}

/** Whether the last clause that began is FROM, so that a comma is followed by another table. */
function isInFrom(sql: string, list: readonly Token[]): boolean {
  const clauses = new Set(['SELECT', 'FROM', 'WHERE', 'GROUP', 'ORDER', 'HAVING', 'LIMIT', 'ON']);
  const last = list.map(({ start, end }) => sql.slice(start, end).toUpperCase()).findLast((word) => clauses.has(word));
  return last === 'FROM';
}

/** Tables that the statement names anywhere, each with the name its columns can be qualified with. */
function mentionedTables(
  sql: string,
  list: readonly Token[],
  tables: readonly TableInfo[],
): { readonly alias: string; readonly table: TableInfo }[] {
  const text = (index: number): string => {
    const token = list[index];
    return token === undefined ? '' : sql.slice(token.start, token.end);
  };
  const found: { alias: string; table: TableInfo }[] = [];
  for (let index = 0; index < list.length; index++) {
    if (list[index]?.kind !== 'word' && list[index]?.kind !== 'quoted') continue;
    const isQualified = text(index - 1) === '.';
    const schema = isQualified ? plainName(text(index - 2)) : 'lake';
    const before = text(isQualified ? index - 3 : index - 1).toUpperCase();
    const table = tables.find((candidate) => candidate.schema === schema && candidate.name === plainName(text(index)));
    if (table === undefined || !(beforeTables.has(before) || (before === ',' && isInFrom(sql, list.slice(0, index)))))
      continue;
    const next = text(index + 1).toUpperCase() === 'AS' ? index + 2 : index + 1;
    const isAlias =
      list[next]?.kind === 'quoted' || (list[next]?.kind === 'word' && !reserved.has(text(next).toUpperCase()));
    found.push({ alias: isAlias ? plainName(text(next)) : table.name, table });
  }
  return found;
}

const reserved = new Set([
  ...keywords.flatMap((keyword) => keyword.split(' ')),
  'INNER',
  'RIGHT',
  'FULL',
  'OUTER',
  'CROSS',
  'NATURAL',
  'ASOF',
  'POSITIONAL',
  'SEMI',
  'ANTI',
  'TABLESAMPLE',
  'AT',
  'WINDOW',
  'LATERAL',
]);

const Body = Type.Object(
  {
    sql: Type.String({ maxLength: 1_000_000 }),
    position: Type.Optional(Type.Integer({ minimum: 0, description: 'UTF-16 units; the end where it is left out' })),
  },
  { additionalProperties: false },
);

/** `POST /api/complete`, for editors. */
export function completionRoutes({ engine }: { engine: Engine }): FastifyPluginAsync {
  return async (app) => {
    app.post<{ Body: { sql: string; position?: number } }>(
      '/api/complete',
      {
        schema: { summary: 'What may stand at a position of a statement', body: Body },
      },
      async (request) => {
        const principal = principalOf(request);
        requireCan(principal, 'query');
        const { sql, position = sql.length } = request.body;
        return complete(sql, position, tablesFor(principal, await engine.tables()));
      },
    );
  };
}
