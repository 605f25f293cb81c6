import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { randomUUID } from 'node:crypto';
import { tables } from '#core/contract/tables.ts';
import { literal } from '../duck.ts';
import { encodeParquet, type EncodedFile } from '../encode.ts';
import type { EncodeContext } from '../landing.ts';
import type { DeadRecord } from '../stage.ts';

/** More of a record than this is not kept in quarantine: 1 MiB is above anything a network sends as one post. */
const bytesKeptMax = 1024 * 1024;

/** Writes records that cannot be kept as rows of table `quarantine`; undefined when there are none. */
export async function encodeDead(
  dead: readonly DeadRecord[], topic: string, component: string, context: EncodeContext,
): Promise<EncodedFile | undefined> {
  if (dead.length === 0) return undefined;
  const path = join(context.staging, `${randomUUID()}.dead.ndjson`);
  const at = new Date(context.nowMs).toISOString();
  const rows = dead.map(({ partition, offset, reason, bytes }) => JSON.stringify({
    at, component, reason, topic, partition, offset: String(offset), log_partition: partition, log_offset: String(offset),
    bytes: Buffer.from(bytes.subarray(0, bytesKeptMax)).toString('base64'), bytes_length: bytes.length,
  }));
  await writeFile(path, `${rows.join('\n')}\n`);
  const columns = "{\"at\": 'TIMESTAMPTZ', component: 'VARCHAR', reason: 'VARCHAR', topic: 'VARCHAR', partition: 'INTEGER', "
    + "\"offset\": 'BIGINT', log_partition: 'INTEGER', log_offset: 'BIGINT', bytes: 'VARCHAR', bytes_length: 'BIGINT'}";
  return encodeParquet(
    context.connection,
    `select * replace (from_base64(bytes) as bytes), null as replayed_at from read_json(${literal(path)}, `
      + `format = 'newline_delimited', maximum_object_size = ${4 * bytesKeptMax}, columns = ${columns})`,
    tables.quarantine,
    context.staging,
  );
}
