import { WatershedError } from '#core/errors.ts';
import { crisisLexColumns, type CrisisLexColumns } from './crisislex.ts';
import { csvReader } from './csv.ts';
import { lineSplitter, objectSplitter, type SplitOptions, type Splitter } from './records.ts';

/** How a file is cut into records and what a post in it looks like. */
export type ArchiveFormat =
  | { readonly layout: 'csv'; readonly columns: CrisisLexColumns }
  | { readonly layout: 'lines' | 'objects'; readonly shape: PostShape }
  | { readonly layout: 'empty' };

/**
 * A v1.1 tweet; a v2 object by itself; a v2 response about one post (`data` an object) or about many (`data` an array).
 */
export type PostShape = 'v1' | 'v2.bare' | 'v2.response';

/** So much of a file is looked at. A page of 500 posts with all fields is about 2 MB. */
export const headBytesMax = 4 * 1024 * 1024;

/**
 * Tells the format from the text a file begins with (`complete`: it is the whole file). Throws `unsupported`, naming
 * what was seen, for what holds no posts in any form that we read.
 */
export function sniffFormat(text: Buffer, complete: boolean, path: string): ArchiveFormat {
  const first = text.find((byte) => byte > 0x20);
  if (first === undefined) {
    if (complete) return { layout: 'empty' };
    throw unknown(path, 'it begins with nothing but white space');
  }
  if (first !== openBrace && first !== openBracket) {
    const columns = crisisLexColumns(csvReader().push(text.subarray(0, 4096))[0]?.fields ?? []);
    if (columns !== undefined) return { layout: 'csv', columns };
  }
  const options = { from: 0, recordBytesMax: headBytesMax };
  // An array is never read by lines: the lines of a pretty one may look like objects with a comma behind.
  const byLine = first === openBracket ? [] : parseAll(lineSplitter(options), text, complete);
  if (byLine.length > 0) return { layout: 'lines', shape: shapeOf(byLine, path) };
  if (first === openBrace || first === openBracket) {
    const byBrace = parseAll(objectSplitter(options), text, complete);
    if (byBrace.length > 0) return { layout: 'objects', shape: shapeOf(byBrace, path) };
  }
  const shown = JSON.stringify(text.toString('utf8', 0, 60).replaceAll(/[^\P{C}\n]/gu, '\ufffd'));
  throw unknown(path, `it begins with ${shown}, which is no JSON and no header of CrisisLex`);
}

/** The splitter for a layout. */
export function splitterFor(layout: 'lines' | 'objects', options: SplitOptions): Splitter {
  return layout === 'lines' ? lineSplitter(options) : objectSplitter(options);
}

const openBrace = 0x7b;
const openBracket = 0x5b;
const recordsLookedAt = 200;

/** The objects among the first records; the elements of those that are arrays. */
function parseAll(splitter: Splitter, text: Buffer, complete: boolean): object[] {
  const found: object[] = [];
  for (const { bytes } of [...splitter.push(text), ...complete ? splitter.end() : []].slice(0, recordsLookedAt)) {
    try {
      const parsed: unknown = JSON.parse(bytes.toString('utf8'));
      for (const one of Array.isArray(parsed) ? parsed : [parsed]) if (typeof one === 'object' && one !== null) found.push(one);
    } catch {
      // Bad records are the loader's business; here only good ones tell anything.
    }
  }
  return found;
}

function shapeOf(objects: readonly object[], path: string): PostShape {
  for (const one of objects) {
    const shape = shapeOfOne(one);
    if (shape !== undefined) return shape;
  }
  const keys = Object.keys(objects[0] ?? {}).slice(0, 8).join(', ');
  throw unknown(path, `it is JSON, but no posts: its objects have the keys ${keys === '' ? '(none)' : keys}`);
}

function shapeOfOne(one: object): PostShape | undefined {
  if ('data' in one) {
    const data: unknown = Array.isArray(one.data) ? one.data[0] : one.data;
    return isObject(data) && 'id' in data && 'text' in data ? 'v2.response' : undefined;
  }
  if (!('text' in one) && !('full_text' in one)) return undefined;
  if ('id_str' in one || 'user' in one || 'full_text' in one) return 'v1';
  return 'id' in one ? 'v2.bare' : undefined;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function unknown(path: string, seen: string): WatershedError {
  return new WatershedError('unsupported', `${path} holds no posts that can be loaded: ${seen}`, {
    hint: 'load reads X API v2 and v1.1 posts as JSON (a post, response or array a line, or one array) and CrisisLex CSV',
  });
}
