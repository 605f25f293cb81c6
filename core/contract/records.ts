import type { tables } from './tables.ts';

/** Topics whose records are rows: one JSON object a line, keyed by the columns of the table of the same name. */
export type RowTopic = 'events' | 'journal' | 'quarantine' | 'tombstones';

type ColumnName<Table extends RowTopic> = Exclude<(typeof tables)[Table]['columns'][number]['name'], 'log_partition' | 'log_offset'>;
export type RowValue = string | number | boolean | bigint | null | readonly string[] | Uint8Array | Date;

/**
 * A record of a row topic. Instants are ISO 8601 in UTC, bytes base64, 64-bit integers decimal text; a column that is
 * not given is null. The landing of the same name reads this back with typed columns (`warehouse/landings/rows.ts`).
 */
export function encodeRecord<Table extends RowTopic>(
  _table: Table, row: Readonly<Partial<Record<ColumnName<Table>, RowValue | undefined>>>,
): Buffer {
  const entries = Object.entries<RowValue | undefined>(row).filter(([, value]) => value !== undefined && value !== null);
  return Buffer.from(JSON.stringify(Object.fromEntries(entries.map(([name, value]) => [name, plain(value)]))));
}

/** More of a record than this is not kept in quarantine: 1 MiB is above anything a network sends as one post. */
const quarantinedBytesMax = 1024 * 1024;

/**
 * The record of topic `quarantine` for bytes that could not be understood before they reached the log. `bytesLength` is
 * their whole length where `bytes` are only the beginning.
 */
export function encodeQuarantined(
  input: { atMs: number; component: string; reason: string; topic: string; bytes: Uint8Array; bytesLength?: number | undefined },
): Buffer {
  return encodeRecord('quarantine', {
    at: new Date(input.atMs), component: input.component, reason: input.reason, topic: input.topic,
    bytes: input.bytes.subarray(0, quarantinedBytesMax), bytes_length: input.bytesLength ?? input.bytes.length,
  });
}

function plain(value: RowValue | undefined): unknown {
  if (typeof value === 'bigint') return String(value);
  if (value instanceof Date) return value.toISOString();
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return value;
}
