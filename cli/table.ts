/** A result of the SQL API as a table for a terminal `width` characters wide: long values are cut with an ellipsis. */
export function renderTable(result: unknown, width: number): { text: string; rows: number } {
  const { columns, rows } = partsOf(result);
  const cells = rows.map((row) => row.map(cellText));
  const wanted = columns.map(({ name }, index) => Math.max(displayWidth(name), ...cells.map((row) => displayWidth(row[index] ?? ''))));
  const widths = fit(wanted, width - 3 * columns.length - 1);
  const numeric = columns.map(({ type }) => /INT|DOUBLE|FLOAT|DECIMAL/.test(type) && !type.endsWith('[]'));
  const line = (values: readonly string[]): string =>
    `| ${values.map((value, index) => pad(cut(value, widths[index] ?? 0), widths[index] ?? 0, numeric[index] ?? false)).join(' | ')} |`;
  const rule = `|${widths.map((size) => '-'.repeat(size + 2)).join('+')}|`;
  return { text: `${[line(columns.map(({ name }) => name)), rule, ...cells.map(line)].join('\n')}\n`, rows: rows.length };
}

function partsOf(result: unknown): { columns: { name: string; type: string }[]; rows: unknown[][] } {
  const member = (value: unknown, name: string): unknown => typeof value === 'object' && value !== null ? Reflect.get(value, name) : undefined;
  const columns = member(result, 'columns');
  const rows = member(result, 'rows');
  return {
    columns: Array.isArray(columns) ? columns.map((column: unknown) => ({ name: String(member(column, 'name')), type: String(member(column, 'type')) })) : [],
    rows: Array.isArray(rows) ? rows.map((row: unknown) => Array.isArray(row) ? row : []) : [],
  };
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  const text = typeof value === 'object'
    ? JSON.stringify(value, (_key, inner: unknown) => typeof inner === 'bigint' ? String(inner) : inner) : String(value);
  // What posts hold must not steer the terminal: no control characters, no change of direction.
  return text.replace(/[\p{Cc}\u202a-\u202e\u2066-\u2069]+/gu, ' ');
}

const segmenter = new Intl.Segmenter('en', { granularity: 'grapheme' });

function displayWidth(text: string): number {
  let size = 0;
  for (const { segment } of segmenter.segment(text)) size += isWide(segment) ? 2 : 1;
  return size;
}

function isWide(grapheme: string): boolean {
  return /\p{Extended_Pictographic}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\uff00-\uff60]/u.test(grapheme);
}

function cut(text: string, size: number): string {
  if (displayWidth(text) <= size) return text;
  let kept = '';
  let used = 1;
  for (const { segment } of segmenter.segment(text)) {
    used += isWide(segment) ? 2 : 1;
    if (used > size) break;
    kept += segment;
  }
  return `${kept}…`;
}

function pad(text: string, size: number, right: boolean): string {
  const fill = ' '.repeat(Math.max(0, size - displayWidth(text)));
  return right ? fill + text : text + fill;
}

/** Narrow columns get what they want; the wide ones share what is left. */
function fit(wanted: readonly number[], room: number): number[] {
  const widths = [...wanted];
  while (widths.reduce((sum, size) => sum + size, 0) > room) {
    const widest = Math.max(...widths);
    if (widest <= 8) break;
    widths[widths.indexOf(widest)] = widest - 1;
  }
  return widths;
}
