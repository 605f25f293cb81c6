import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tables } from '#core/contract/tables.ts';
import { literal, rowsOf } from '../duck.ts';
import { encodeParquet, type EncodedFile } from '../encode.ts';
import type { Batch } from '../gather.ts';
import type { EncodeContext, EncodedBatch, Landing } from '../landing.ts';
import { stageRaw } from '../stage.ts';

/**
 * Topic `posts` into table `raw`: the source's own JSON, byte for byte. A record that landing `posts` sets aside has
 * its bytes in `quarantine` and counts as dead here where it cannot be read either.
 */
export const rawLanding: Landing = { name: 'raw', topic: 'posts', table: 'raw', encode: encodeRaw };

async function encodeRaw(batch: Batch, context: EncodeContext): Promise<EncodedBatch> {
  const { connection, staging } = context;
  const staged = await stageRaw(batch, join(staging, `${randomUUID()}.raw`));
  const [{ path, lineBytesMax }] = staged.files;
  try {
    // Without buffer_size it would be 16 times the longest line.
    const rows = `select header[1] as source, header[2] as format, try_cast(header[3] as timestamptz) as received_at, body,
        p as log_partition, o as log_offset
      from (select o, p, json_extract_string(try_cast(header as json), ['source', 'format', 'receivedAt']) as header, body
        from read_csv(${literal(path)},
          delim = '\u0001', quote = '', escape = '', header = false, auto_detect = false, ignore_errors = true, new_line = '\\n',
          max_line_size = ${lineBytesMax}, buffer_size = ${2 * lineBytesMax},
          columns = {o: 'BIGINT', p: 'INTEGER', header: 'VARCHAR', body: 'VARCHAR'}))`;
    const file = await encodeParquet(connection, rows, tables.raw, staging);
    const kept = file === undefined ? new Map<number, number>() : await keptByPartition(batch, file, context);
    const fates = new Map(batch.ranges.map(({ partition, chunks }) => {
      const records = chunks.reduce((sum, chunk) => sum + chunk.count, 0);
      return [partition, { kept: kept.get(partition) ?? 0, duplicate: 0, dead: records - (kept.get(partition) ?? 0) }];
    }));
    return { files: file === undefined ? [] : [{ table: 'raw', file }], fates };
  } finally {
    await rm(path, { force: true });
  }
}

async function keptByPartition(batch: Batch, file: EncodedFile, { connection }: EncodeContext): Promise<Map<number, number>> {
  const [only, ...others] = batch.ranges;
  if (only !== undefined && others.length === 0) return new Map([[only.partition, file.records]]);
  const rows = await rowsOf(connection,
    `select log_partition as p, count(*) as n from read_parquet(${literal(file.localPath)}) group by 1`);
  return new Map(rows.map((row) => [Number(row['p']), Number(row['n'])]));
}
