import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tables } from '#core/contract/tables.ts';
import { literal, rowsOf } from '../duck.ts';
import { encodeParquet } from '../encode.ts';
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
    await connection.run(`create or replace temp table projected_raw as
      select header->>'source' as source, header->>'format' as format, try_cast(header->>'receivedAt' as timestamptz) as received_at,
        body, p as log_partition, o as log_offset
      from (select o, p, try_cast(header as json) as header, body from read_csv(${literal(path)},
        delim = '\u0001', quote = '', escape = '', header = false, auto_detect = false, ignore_errors = true, new_line = '\\n',
        max_line_size = ${lineBytesMax}, buffer_size = ${2 * lineBytesMax}, columns = {o: 'BIGINT', p: 'INTEGER', header: 'VARCHAR', body: 'VARCHAR'}))`);
    const file = await encodeParquet(connection, 'select * from projected_raw', tables.raw, staging);
    const counted = new Map((await rowsOf(connection, 'select log_partition as p, count(*) as n from projected_raw group by 1'))
      .map((row) => [Number(row['p']), Number(row['n'])]));
    const fates = new Map(batch.ranges.map(({ partition, chunks }) => {
      const records = chunks.reduce((sum, chunk) => sum + chunk.count, 0);
      const kept = counted.get(partition) ?? 0;
      return [partition, { kept, duplicate: 0, dead: records - kept }];
    }));
    return { files: file === undefined ? [] : [{ table: 'raw', file }], fates };
  } finally {
    await connection.run('drop table if exists projected_raw');
    await rm(path, { force: true });
  }
}
