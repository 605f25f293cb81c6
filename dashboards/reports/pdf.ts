import { join } from 'node:path';
import pdfmake from 'pdfmake';
import { drawable, fontFolder, undrawable } from './glyphs.ts';
import { changeOf, leftOut, rowsShownMax } from './html.ts';
import type { Cell, Document, Section } from './layout.ts';

const file = (name: string): string => join(fontFolder, `Roboto-${name}.ttf`);
pdfmake.setFonts({ Roboto: { normal: file('Regular'), bold: file('Medium'), italics: file('Italic'), bolditalics: file('MediumItalic') } });
// Nothing but the fonts is read, and no address is asked, whatever stands in a report.
pdfmake.setLocalAccessPolicy((path) => path.startsWith(fontFolder));
pdfmake.setUrlAccessPolicy(() => false);

/** The report as A4 pages with page numbers. */
export async function toPdf(document: Document, charts: readonly Buffer[]): Promise<Buffer> {
  let chart = 0;
  const content = document.sections.flatMap((section) => [
    { text: printable(section.title), fontSize: 13, bold: true, margin: [0, 14, 0, 4] },
    section.kind === 'bars' ? { image: `data:image/png;base64,${charts[chart++]?.toString('base64') ?? ''}`, width: 515 } : body(section),
  ]);
  return await pdfmake.createPdf({
    info: { title: document.title }, pageSize: 'A4', pageMargins: [40, 40, 40, 40], defaultStyle: { fontSize: 9 },
    footer: (page: number, pages: number) => ({ text: `${page} / ${pages}`, alignment: 'right', margin: [0, 10, 40, 0] }),
    content: [{ text: printable(document.title), fontSize: 18, bold: true }, { text: document.subtitle, color: '#546571' }, ...left(document), ...content],
  }).getBuffer();
}

/** Said first: what the pages below cannot show, and where it can be read. */
function left(document: Document): unknown[] {
  const missing = undrawable(textsOf(document));
  if (missing.length === 0) return [];
  return [{ text: `This PDF has no letters for ${missing.join(', ')}: ◊ stands for each such character. The page (HTML), XLSX and CSV have them.`, color: '#a8321f', margin: [0, 6, 0, 0] }];
}

function* textsOf({ title, sections }: Document): Generator<string> {
  yield title;
  for (const section of sections) {
    yield section.title;
    switch (section.kind) {
      case 'notice': yield section.text; break;
      case 'numbers': yield* section.numbers.map(({ name }) => name); break;
      case 'bars': yield* [...section.bars.steps, ...section.bars.series.map(({ name }) => name)]; break;
      case 'table':
        yield* section.columns;
        for (const row of section.rows.slice(0, rowsShownMax)) for (const cell of row) if (typeof cell === 'string') yield cell;
    }
  }
}

function body(section: Exclude<Section, { kind: 'bars' }>): unknown {
  switch (section.kind) {
    case 'notice': return { text: printable(section.text) };
    case 'numbers': return table(['', 'Now', 'Before', 'Change'], section.numbers.map((figure) => [figure.name, figure.value, figure.before ?? null, changeOf(figure)]));
    case 'table': {
      if (section.rows.length === 0) return { text: section.empty, color: '#546571' };
      return { stack: [table(section.columns, section.rows.slice(0, rowsShownMax)), { text: leftOut(section) ?? '', color: '#546571' }] };
    }
  }
}

function table(columns: readonly string[], rows: readonly (readonly Cell[])[]): unknown {
  const cell = (value: Cell): unknown => ({ text: value === null ? '' : printable(String(value)), alignment: typeof value === 'number' ? 'right' : 'left' });
  const widest = Math.max(0, columns.findIndex((name) => name === 'Post' || name === 'Why'));
  return {
    layout: 'lightHorizontalLines',
    table: {
      headerRows: 1, widths: columns.map((_name, index) => (index === widest ? '*' : 'auto')),
      body: [columns.map((text) => ({ text: printable(text), bold: true })), ...rows.map((row) => row.map(cell))],
    },
  };
}

/**
 * A word that is longer than the page is broken where it would leave it; control characters are left out, what has no
 * letter is marked.
 */
function printable(text: string): string {
  return drawable(text.toWellFormed()).replaceAll(/[\u0000-\u0008\u000B-\u001F\u202A-\u202E\u2066-\u2069]/g, '').replaceAll(/\S{24}(?=\S)/gu, '$&\u200B');
}
