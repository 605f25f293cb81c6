import writeXlsxFile, { type Row, type SheetData } from 'write-excel-file/node';
import type { Cell, Document, Section } from './layout.ts';

/** Every section as a table: what CSV and XLSX are made of. */
interface Sheet {
  readonly title: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly Cell[])[];
}

function sheetOf(section: Section): Sheet {
  switch (section.kind) {
    case 'numbers':
      return { title: section.title, columns: ['Number', 'Now', 'Before'], rows: section.numbers.map(({ name, value, before }) => [name, value, before ?? null]) };
    case 'bars':
      return {
        title: section.title, columns: ['Step', ...section.bars.series.map(({ name }) => name)],
        rows: section.bars.steps.map((step, index) => [step, ...section.bars.series.map(({ values }) => values[index] ?? 0)]),
      };
    case 'table':
      return section.cut === true ? { ...section, title: `${section.title} (first ${section.rows.length})` } : section;
    case 'notice': return { title: section.title, columns: ['Note'], rows: [[section.text]] };
  }
}

/** One text: a heading line per section, then its rows (RFC 4180), with the mark by which spreadsheets know UTF-8. */
export function toCsv(document: Document): Buffer {
  const line = (cells: readonly Cell[]): string => cells.map(csvCell).join(',');
  const parts = document.sections.map(sheetOf).map(({ title, columns, rows }) =>
    [line([title]), line(columns), ...rows.map(line)].join('\r\n'));
  return Buffer.from(`\uFEFF${[line([document.title]), line([document.subtitle])].join('\r\n')}\r\n\r\n${parts.join('\r\n\r\n')}\r\n`);
}

/**
 * Spreadsheets run what begins with one of these as a formula, also after white space and in quotes
 * (OWASP, "CSV Injection"): an apostrophe before it makes it text. Numbers of ours are written as they are.
 */
export function csvCell(cell: Cell): string {
  if (typeof cell === 'number' || typeof cell === 'boolean') return String(cell);
  const text = cell ?? '';
  const safe = /^[\s\u0000-\u001F\uFEFF\u200B]*[=+\-@\uFF1D\uFF0B\uFF0D\uFF20|%]/u.test(text) || /^[\t\r\n]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** A sheet per section. Texts are written as text, so that nothing that a post says is ever taken as a formula. */
export async function toXlsx(document: Document): Promise<Buffer> {
  const taken = new Set<string>();
  const sheets = document.sections.map(sheetOf).map(({ title, columns, rows }) => {
    const head: Row = columns.map((name) => ({ value: name, type: String, fontWeight: 'bold' }));
    const data: SheetData = [head, ...rows.map((row): Row => row.map(xlsxCell))];
    return { data, sheet: sheetName(title, taken), columns: columns.map(() => ({ width: 24 })) };
  });
  return await writeXlsxFile(sheets).toBuffer();
}

// Excel's limit, in UTF-16 units.
const textMax = 32_767;

function xlsxCell(cell: Cell): Row[number] {
  if (cell === null) return null;
  if (typeof cell === 'number') return Number.isFinite(cell) ? { value: cell, type: Number } : { value: String(cell), type: String };
  if (typeof cell === 'boolean') return { value: cell, type: Boolean };
  // Characters that XML 1.0 does not allow would make a file that Excel calls broken.
  return { value: withoutForbidden(cell).slice(0, textMax), type: String };
}

function withoutForbidden(text: string): string {
  return text.toWellFormed().replaceAll(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g, '');
}

/** At most 31 characters, without those that Excel forbids, none twice. */
function sheetName(title: string, taken: Set<string>): string {
  const base = title.replaceAll(/[\\/?*[\]:]/g, ' ').slice(0, 28).trim();
  let name = base;
  for (let count = 2; taken.has(name.toLowerCase()); count++) name = `${base} ${count}`;
  taken.add(name.toLowerCase());
  return name;
}
