/**
 * JSON without loss of integers: Iceberg's snapshot ids have 63 bits, a JavaScript number has 53. The names in `idKeys`
 * are always bigint, so that their type does not depend on their size; any other integer is one where a number would
 * not hold it.
 */

interface SourceJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
  rawJSON(text: string): unknown;
}

// The compiler's library does not know `context.source` and `rawJSON` yet; Node has both since 21.
const sourceJson = JSON as unknown as SourceJson;

const idKeys = new Set(['snapshot-id', 'parent-snapshot-id', 'current-snapshot-id']);

export function parseJson(text: string): unknown {
  return sourceJson.parse(text, (key, value, context) => {
    if (typeof value !== 'number' || context.source === undefined) return value;
    const wanted = idKeys.has(key) || (Number.isInteger(value) && !Number.isSafeInteger(value));
    return wanted && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value;
  });
}

/** The inverse of `parseJson`: a bigint becomes a JSON number with all its digits. */
export function formatJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    typeof member === 'bigint' ? sourceJson.rawJSON(member.toString()) : member);
}
