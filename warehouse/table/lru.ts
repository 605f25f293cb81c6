/**
 * Keeps what was used last, within a total weight that the caller measures (entries, bytes). For immutable things only.
 */
export interface Lru<Value> {
  get(key: string): Value | undefined;
  set(key: string, value: Value, weight: number): void;
}

export function createLru<Value>(weightMax: number): Lru<Value> {
  const entries = new Map<string, { value: Value; weight: number }>();
  let total = 0;
  return {
    get(key) {
      const entry = entries.get(key);
      if (entry === undefined) return undefined;
      entries.delete(key);
      entries.set(key, entry);
      return entry.value;
    },
    set(key, value, weight) {
      total += weight - (entries.get(key)?.weight ?? 0);
      entries.delete(key);
      entries.set(key, { value, weight });
      for (const [oldest, entry] of entries) {
        if (total <= weightMax || oldest === key) break;
        entries.delete(oldest);
        total -= entry.weight;
      }
    },
  };
}
