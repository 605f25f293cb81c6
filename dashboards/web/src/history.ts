/** The statements a person ran in this browser, newest first. */
export interface Remembered {
  readonly sql: string;
  readonly at: string;
  readonly outcome: string;
}

const key = 'watershed.history';
const kept = 50;

export function remembered(): readonly Remembered[] {
  try {
    const found: unknown = JSON.parse(localStorage.getItem(key) ?? '[]');
    return Array.isArray(found) ? found.filter(isRemembered) : [];
  } catch {
    return []; // storage may be forbidden or hold what an older page wrote: history is a convenience
  }
}

export function remember(entry: Remembered): readonly Remembered[] {
  const entries = [entry, ...remembered().filter(({ sql }) => sql !== entry.sql)].slice(0, kept);
  try {
    localStorage.setItem(key, JSON.stringify(entries));
  } catch {
    // full or forbidden: the list lives until the page is left
  }
  return entries;
}

function isRemembered(value: unknown): value is Remembered {
  return typeof value === 'object' && value !== null && 'sql' in value && typeof value.sql === 'string'
    && 'at' in value && typeof value.at === 'string' && 'outcome' in value && typeof value.outcome === 'string';
}
