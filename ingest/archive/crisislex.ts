/** The columns of a CrisisLex file as the record's JSON names them, in the order of the file. */
export type CrisisLexColumns = readonly string[];

const editions: readonly { readonly header: string; readonly columns: CrisisLexColumns }[] = [
  { header: 'tweet id,tweet,label', columns: ['id', 'text', 'label'] },
  {
    header: 'tweet id,tweet text,information source,information type,informativeness',
    columns: ['id', 'text', 'information_source', 'information_type', 'informativeness'],
  },
];

/** Which edition a header row belongs to (T6 or T26), or undefined. Spaces behind the commas belong to the files. */
export function crisisLexColumns(header: readonly string[]): CrisisLexColumns | undefined {
  const known = header.map((name) => name.trim().toLowerCase()).join(',');
  return editions.find((edition) => edition.header === known)?.columns;
}

export interface CrisisLexRow {
  readonly id: string;
  readonly text: string;
  readonly createdAtMs: number;
  /** The row as a JSON object of strings, the body of a record of format `crisislex`. */
  readonly body: Buffer;
}

/** A row with its columns named, or the reason why it is none. T6 puts the id between single quotes. */
export function crisisLexRow(
  columns: CrisisLexColumns, fields: readonly string[],
): CrisisLexRow | { readonly reason: string } {
  if (fields.length !== columns.length) {
    return { reason: `crisislex: ${fields.length} columns instead of ${columns.length}` };
  }
  const [first = '', text = ''] = fields;
  const id = first.replace(/^'(.*)'$/, '$1').trim();
  const createdAtMs = snowflakeMs(id);
  if (createdAtMs === undefined) return { reason: 'crisislex: no tweet id' };
  const named = Object.fromEntries(columns.map((column, index) => [column, index === 0 ? id : fields[index]]));
  return { id, text, createdAtMs, body: Buffer.from(JSON.stringify(named)) };
}

/**
 * When the post with this id was written, ms since 1970: the id's upper 42 bits count from 2010-11-04T01:42:54.657Z.
 * Undefined for what is no such id: ids before that were plain numbers in sequence.
 */
function snowflakeMs(id: string): number | undefined {
  if (!/^\d{1,19}$/.test(id)) return undefined;
  const value = BigInt(id);
  if (value < firstSnowflake || value > largestId) return undefined;
  return Number(value >> 22n) + 1_288_834_974_657;
}

// The last sequential id was 29,700,859,247 on the day snowflakes began; ids are signed 64-bit numbers.
const firstSnowflake = 29_700_859_248n;
const largestId = 2n ** 63n - 1n;
