/** DuckDB's parse tree as `json_serialize_sql` gives it: read, never trusted. */
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

interface SourceJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
}

// The compiler's library does not know `context.source` and `rawJSON` yet; Node has both since 21.
const sourceJson = JSON as unknown as SourceJson;

/**
 * Parses a tree; integers that a number cannot hold stay as they are written, so that an expression can be handed back
 * to DuckDB.
 */
export function parseTree(text: string): Json {
  const value = sourceJson.parse(text, (_key, member, { source }) =>
    typeof member === 'number' && source !== undefined && Number.isInteger(member) && !Number.isSafeInteger(member)
      ? sourceJson.rawJSON(source)
      : member,
  );
  return value as Json; // JSON.parse makes nothing else
}
