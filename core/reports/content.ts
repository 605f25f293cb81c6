import type { Part, Value } from '../contract/report.ts';
import type { Sql } from '../database/database.ts';
import { WatershedError } from '../errors.ts';

/** A saved query as it was when the run was planned. */
export interface FrozenQuery {
  readonly name: string;
  readonly sql: string;
  readonly parameters: readonly { readonly name: string; readonly default?: Value }[];
}

/** A statement with the values of `$1…`. */
export interface Question {
  readonly sql: string;
  readonly params: readonly Value[];
}

/** The saved queries of a report, as they are now; one that is gone is left out. */
export async function freezeQueries(sql: Sql, content: readonly Part[]): Promise<Readonly<Record<string, FrozenQuery>>> {
  if (content.length === 0) return {};
  const rows = await sql.query<{ id: string; name: string; statement: string; parameters: FrozenQuery['parameters'] }>(
    'select id, name, statement, parameters from watershed.saved_query where id = any($1)', [content.map(({ query }) => query)]);
  return Object.fromEntries(rows.map(({ id, name, statement, parameters }) => [id, { name, sql: statement, parameters }]));
}

/**
 * What a part asks, with its own values first, then those of the report, then the query's defaults. Throws `not_found`
 * for a query that is gone, `bad_request` for a parameter without a value.
 */
export function questionOf(part: Part, queries: Readonly<Record<string, FrozenQuery>>, own: Readonly<Record<string, Value>>): Question {
  const query = queries[part.query];
  if (query === undefined) throw new WatershedError('not_found', `there is no saved query ${part.query}`, { hint: 'take it out of the report, or save it again' });
  const params = query.parameters.map(({ name, default: fallback }) => {
    const value = [part.values, own].find((values) => values !== undefined && Object.hasOwn(values, name))?.[name] ?? fallback;
    if (value === undefined) throw new WatershedError('bad_request', `the saved query ${query.name} needs a value for ${name}`);
    return value;
  });
  return { sql: query.sql, params };
}
