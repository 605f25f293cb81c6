import { once } from 'node:events';
import { crc32, createDeflateRaw } from 'node:zlib';
import { WatershedError } from '#core/errors.ts';
import type { ResultColumn } from '../engine/engine.ts';
import { type RowValue, textOf } from './rows.ts';

/** A sheet ends there, and one row is the head (ECMA-376, Excel's limits). */
export const xlsxRowsMax = 1_048_575;
/** The head of a ZIP without its 64-bit extension holds lengths up to here. */
const sheetBytesMax = 0xffff_ffff;
// Excel's limit of a cell, in UTF-16 units.
const cellCharsMax = 32_767;

/**
 * A workbook of one sheet, written while the rows come: nothing is held whole. Texts are written as text, never as a
 * formula; integers beyond 15 digits (ids of posts) as text, for Excel would round them. Errors: `limit_exceeded` for
 * more rows than a sheet holds.
 */
export async function* xlsxOf(columns: readonly ResultColumn[], rows: AsyncIterable<readonly RowValue[]>): AsyncGenerator<Uint8Array> {
  const zip = createZip();
  for (const [name, text] of parts) yield* zip.entry(name, [Buffer.from(text)]);
  yield* zip.entry('xl/worksheets/sheet1.xml', sheetOf(columns, rows));
  yield zip.end();
}

const xml = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n';
const main = 'http://schemas.openxmlformats.org/spreadsheetml/2006/main';
const office = 'http://schemas.openxmlformats.org/officeDocument/2006/relationships';
const packaged = 'http://schemas.openxmlformats.org/package/2006';
const typeOf = 'application/vnd.openxmlformats-officedocument.spreadsheetml';

const parts: readonly (readonly [name: string, text: string])[] = [
  ['[Content_Types].xml', `${xml}<Types xmlns="${packaged}/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>`
    + `<Override PartName="/xl/workbook.xml" ContentType="${typeOf}.sheet.main+xml"/><Override PartName="/xl/styles.xml" ContentType="${typeOf}.styles+xml"/>`
    + `<Override PartName="/xl/worksheets/sheet1.xml" ContentType="${typeOf}.worksheet+xml"/></Types>`],
  ['_rels/.rels', `${xml}<Relationships xmlns="${packaged}/relationships"><Relationship Id="rId1" Type="${office}/officeDocument" Target="xl/workbook.xml"/></Relationships>`],
  ['xl/workbook.xml', `${xml}<workbook xmlns="${main}" xmlns:r="${office}"><sheets><sheet name="Result" sheetId="1" r:id="rId1"/></sheets></workbook>`],
  ['xl/_rels/workbook.xml.rels', `${xml}<Relationships xmlns="${packaged}/relationships"><Relationship Id="rId1" Type="${office}/worksheet" Target="worksheets/sheet1.xml"/>`
    + `<Relationship Id="rId2" Type="${office}/styles" Target="styles.xml"/></Relationships>`],
  // Style 1 is an instant, style 2 the head.
  ['xl/styles.xml', `${xml}<styleSheet xmlns="${main}"><numFmts count="1"><numFmt numFmtId="164" formatCode="yyyy\\-mm\\-dd\\ hh:mm:ss"/></numFmts>`
    + '<fonts count="2"><font><sz val="11"/><name val="Calibri"/></font><font><b/><sz val="11"/><name val="Calibri"/></font></fonts>'
    + '<fills count="2"><fill><patternFill patternType="none"/></fill><fill><patternFill patternType="gray125"/></fill></fills><borders count="1"><border/></borders>'
    + '<cellStyleXfs count="1"><xf numFmtId="0" fontId="0" fillId="0" borderId="0"/></cellStyleXfs><cellXfs count="3"><xf numFmtId="0" fontId="0" fillId="0" borderId="0" xfId="0"/>'
    + '<xf numFmtId="164" fontId="0" fillId="0" borderId="0" xfId="0" applyNumberFormat="1"/><xf numFmtId="0" fontId="1" fillId="0" borderId="0" xfId="0" applyFont="1"/></cellXfs></styleSheet>'],
];

const flushChars = 64 * 1024;

async function* sheetOf(columns: readonly ResultColumn[], rows: AsyncIterable<readonly RowValue[]>): AsyncGenerator<Uint8Array> {
  const instants = columns.map(({ type }) => /^timestamp/i.test(type));
  let text = `${xml}<worksheet xmlns="${main}"><sheetViews><sheetView workbookViewId="0"><pane ySplit="1" topLeftCell="A2" activePane="bottomLeft" state="frozen"/></sheetView></sheetViews>`
    + `<sheetData><row>${columns.map(({ name }) => textCell(name, 2)).join('')}</row>`;
  let count = 0;
  for await (const row of rows) {
    if (++count > xlsxRowsMax) {
      throw new WatershedError('limit_exceeded', `a sheet holds ${xlsxRowsMax} rows, and there are more`, { hint: 'take CSV or Parquet' });
    }
    text += `<row>${row.map((value, index) => cellOf(value, instants[index] === true)).join('')}</row>`;
    if (text.length < flushChars) continue;
    yield Buffer.from(text);
    text = '';
  }
  yield Buffer.from(`${text}</sheetData></worksheet>`);
}

function cellOf(value: RowValue, isInstant: boolean): string {
  if (value === null) return '<c/>';
  if (typeof value === 'boolean') return `<c t="b"><v>${value ? 1 : 0}</v></c>`;
  if (typeof value === 'number' && Number.isFinite(value) && Math.abs(value) < 1e15) return `<c><v>${value}</v></c>`;
  if (isInstant && typeof value === 'string') {
    const days = Date.parse(value) / 86_400_000 + 25_569; // since 1899-12-30; Excel counts right from March 1900 on
    if (days > 60) return `<c s="1"><v>${days}</v></c>`;
  }
  return textCell(textOf(value), 0);
}

function textCell(text: string, style: number): string {
  return `<c t="inlineStr"${style === 0 ? '' : ` s="${style}"`}><is><t xml:space="preserve">${escaped(text.slice(0, cellCharsMax))}</t></is></c>`;
}

/** Without what XML 1.0 does not allow; `_x0041_` would be read as a letter (ECMA-376 §22.9.2.19). */
function escaped(text: string): string {
  return text.toWellFormed().replaceAll(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g, '').replaceAll(/_(?=x[0-9A-Fa-f]{4}_)/g, '_x005F_')
    .replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

interface Written {
  readonly name: Buffer;
  readonly crc: number;
  readonly packed: number;
  readonly size: number;
  readonly at: number;
}

interface Zip {
  entry(name: string, content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): AsyncGenerator<Uint8Array>;
  end(): Uint8Array;
}

/** A ZIP whose entries are written as they come: lengths stand behind them (APPNOTE 6.3.10 §4.3.9). */
function createZip(): Zip {
  const written: Written[] = [];
  let at = 0;
  return {
    async* entry(name, content) {
      const entry = { name: Buffer.from(name), crc: 0, packed: 0, size: 0, at };
      const head = Buffer.concat([fields(30, [[0, 4, 0x04034b50], [4, 2, 20], [6, 2, 0x0808], [8, 2, 8], [26, 2, entry.name.length]]), entry.name]);
      yield head;
      for await (const piece of deflated(content, entry)) {
        entry.packed += piece.length;
        yield piece;
      }
      if (entry.size > sheetBytesMax) throw new WatershedError('limit_exceeded', 'the sheet is larger than 4 GiB', { hint: 'take CSV or Parquet' });
      yield fields(16, [[0, 4, 0x08074b50], [4, 4, entry.crc], [8, 4, entry.packed], [12, 4, entry.size]]);
      at += head.length + entry.packed + 16;
      written.push(entry);
    },
    end() {
      const list = Buffer.concat(written.map(({ name, crc, packed, size, at: from }) => Buffer.concat([
        fields(46, [[0, 4, 0x02014b50], [4, 2, 20], [6, 2, 20], [8, 2, 0x0808], [10, 2, 8], [16, 4, crc], [20, 4, packed], [24, 4, size], [28, 2, name.length], [42, 4, from]]), name])));
      return Buffer.concat([list, fields(22, [[0, 4, 0x06054b50], [8, 2, written.length], [10, 2, written.length], [12, 4, list.length], [16, 4, at]])]);
    },
  };
}

/** Little-endian fields: where, how many bytes, what. */
function fields(length: number, values: readonly (readonly [number, 2 | 4, number])[]): Buffer {
  const buffer = Buffer.alloc(length);
  for (const [at, bytes, value] of values) buffer.writeUIntLE(value >>> 0, at, bytes);
  return buffer;
}

async function* deflated(content: AsyncIterable<Uint8Array> | Iterable<Uint8Array>, entry: { crc: number; size: number }): AsyncGenerator<Uint8Array> {
  const deflate = createDeflateRaw({ level: 6 });
  const feed = async (): Promise<void> => {
    for await (const piece of content) {
      entry.crc = crc32(piece, entry.crc);
      entry.size += piece.length;
      if (!deflate.write(piece)) await once(deflate, 'drain');
    }
    deflate.end();
  };
  const feeding = feed().catch((error: unknown) => void deflate.destroy(error instanceof Error ? error : new Error(String(error))));
  for await (const piece of deflate) yield piece;
  await feeding;
}
