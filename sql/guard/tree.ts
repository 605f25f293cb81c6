/** DuckDB's parse tree as `json_serialize_sql` gives it (skip_null, skip_empty, skip_default): read, never trusted. */
export type Json = string | number | boolean | null | readonly Json[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: Json | undefined;
}

export function isObject(value: Json | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export function isList(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value);
}

export function textOf(node: JsonObject, key: string): string {
  const value = node[key];
  return typeof value === 'string' ? value : '';
}

export function listOf(node: JsonObject, key: string): readonly Json[] {
  const value = node[key];
  return isList(value) ? value : [];
}

export function objectOf(node: JsonObject, key: string): JsonObject | undefined {
  const value = node[key];
  return isObject(value) ? value : undefined;
}

/** The byte offset in the statement where a node begins; undefined where DuckDB has none (it writes 2^64 - 1). */
export function locationOf(node: JsonObject): number | undefined {
  const value = node['query_location'];
  return typeof value === 'number' && value < Number.MAX_SAFE_INTEGER ? value : undefined;
}
