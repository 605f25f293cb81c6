import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tables, type Column } from '#core/contract/tables.ts';
import type { Topic } from '#core/log/log.ts';
import { identifier, literal, rowsOf } from '../duck.ts';
import { duckType, encodeParquet } from '../encode.ts';
import type { Batch } from '../gather.ts';
import type { EncodeContext, EncodedBatch, Fates, Landing } from '../landing.ts';
import { recordAt, recordsOf, stageRows, type DeadRecord } from '../stage.ts';
import { encodeDead } from './dead.ts';

type RowTable = Exclude<Topic, 'posts'>;

/** Topics whose records are rows already: JSON objects keyed by the columns of the table of the same name. */
export const rowLandings: readonly Landing[] = (['events', 'journal', 'quarantine', 'tombstones'] as const).map(rowLanding);

function rowLanding(table: RowTable): Landing {
  return { name: table, topic: table, table, encode: (batch, context) => encodeRows(table, batch, context) };
}

async function encodeRows(table: RowTable, batch: Batch, context: EncodeContext): Promise<EncodedBatch> {
  const { connection, staging } = context;
  const spec = tables[table];
  const staged = await stageRows(batch, join(staging, `${randomUUID()}.${table}.ndjson`));
  const [{ path, lineBytesMax }] = staged.files;
  const temporary = `projected_${table}`;
  try {
    const own: readonly Column[] = spec.columns.filter(({ name }) => name !== 'log_partition' && name !== 'log_offset');
    // Everything is read as text and cast with try_cast: one wrong value must not cost the record its other values.
    const columns = own.map(({ name, type }) => `${identifier(name)}: '${typeof type === 'string' ? 'VARCHAR' : duckType(type)}'`);
    const select = own.map(({ name, type }) => type === 'binary' ? `try(from_base64(${identifier(name)})) as ${identifier(name)}`
      : `try_cast(${identifier(name)} as ${duckType(type)}) as ${identifier(name)}`);
    await connection.run(`create or replace temp table ${temporary} as
      select ${select.join(', ')}, p as log_partition, o as log_offset
      from read_json(${literal(path)}, format = 'newline_delimited', ignore_errors = true,
        maximum_object_size = ${lineBytesMax}, columns = {o: 'BIGINT', p: 'INTEGER', ${columns.join(', ')}})
      where o is not null`);
    const seen = new Set((await rowsOf(connection, `select log_partition as p, log_offset as o from ${temporary}`))
      .map((row) => `${String(row['p'])}/${String(row['o'])}`));
    const dead = findUnread(batch, staged.dead, seen);
    const file = await encodeParquet(connection, `select * from ${temporary}`, spec, staging);
    const quarantined = await encodeDead(dead, table, `landing ${table}`, context);
    return {
      files: [
        ...(file === undefined ? [] : [{ table, file }]),
        ...(quarantined === undefined ? [] : [{ table: 'quarantine' as const, file: quarantined }]),
      ],
      fates: countFates(batch, dead),
    };
  } finally {
    await connection.run(`drop table if exists ${temporary}`);
    await rm(path, { force: true });
  }
}

function findUnread(batch: Batch, known: readonly DeadRecord[], seen: ReadonlySet<string>): readonly DeadRecord[] {
  const places = new Set([...seen, ...known.map(({ partition, offset }) => `${partition}/${offset}`)]);
  const unread: DeadRecord[] = [];
  for (const { partition, offset } of recordsOf(batch)) {
    if (places.has(`${partition}/${offset}`)) continue;
    unread.push({ partition, offset, reason: 'it is not valid JSON in UTF-8', bytes: recordAt(batch, partition, offset) });
  }
  return [...known, ...unread];
}

function countFates(batch: Batch, dead: readonly DeadRecord[]): Map<number, Fates> {
  return new Map(batch.ranges.map(({ partition, chunks }) => {
    const records = chunks.reduce((sum, chunk) => sum + chunk.count, 0);
    const lost = dead.filter((record) => record.partition === partition).length;
    return [partition, { kept: records - lost, duplicate: 0, dead: lost }];
  }));
}
