import { dataRow, type Field } from './backend.ts';
import type { RowSource } from './rows.ts';
import { pgTypeOf } from './types.ts';

/**
 * A plan as PostgreSQL's clients read it: one column `QUERY PLAN`, a row per line, or one row for a plan in JSON. The
 * engine gives a row with the kind of plan and the whole text.
 */
export function planFields(isJson: boolean): Field[] {
  return [{ name: 'QUERY PLAN', type: pgTypeOf(isJson ? 'JSON' : 'VARCHAR') }];
}

export function planRows(source: RowSource, isJson: boolean): RowSource {
  return { ...source, fields: planFields(isJson), chunks: lines(source, isJson) };
}

async function* lines({ chunks }: RowSource, isJson: boolean): AsyncGenerator<Uint8Array> {
  const texts: string[] = [];
  for await (const chunk of chunks) texts.push(...lastValues(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)));
  const rows = isJson ? texts : texts.flatMap((text) => text.replace(/\n+$/, '').split('\n'));
  yield Buffer.concat(rows.map((text) => dataRow([text])));
}

/** The last value of each DataRow; text has one form in both formats. */
function* lastValues(rows: Buffer): Generator<string> {
  for (let at = 0; at < rows.length; at += 1 + rows.readInt32BE(at + 1)) {
    let value = '';
    let from = at + 7;
    for (let left = rows.readUInt16BE(at + 5); left > 0; left--) {
      const length = rows.readInt32BE(from);
      if (left === 1) value = rows.toString('utf8', from + 4, from + 4 + Math.max(0, length));
      from += 4 + Math.max(0, length);
    }
    yield value;
  }
}
