import { encodeEnvelope } from '#core/contract/envelope.ts';
import { encodeQuarantined, encodeRecord } from '#core/contract/records.ts';
import { recordBytesMax, type Topic } from '#core/log/log.ts';
import type { CursorItem, SourceItem } from './sources/source.ts';

export interface ItemRecord {
  readonly topic: Topic;
  readonly record: Buffer;
}

/**
 * The record that an item of a source becomes, and the topic it goes to. A post that no record can hold is set aside.
 */
export function recordOf(
  item: Exclude<SourceItem, CursorItem>,
  context: { readonly source: string; readonly account: string; readonly nowMs: number },
): ItemRecord {
  const { source, account, nowMs } = context;
  switch (item.kind) {
    case 'post': {
      const record = encodeEnvelope({ ...item, receivedAt: new Date(item.receivedAtMs).toISOString(), account }, item.body);
      if (record.length <= recordBytesMax) return { topic: 'posts', record };
      return quarantined(`it is larger than ${recordBytesMax} bytes`, item.body, undefined, source, nowMs);
    }
    case 'dead':
      return quarantined(item.reason, item.bytes, item.bytesLength, source, nowMs);
    case 'tombstone':
      return { topic: 'tombstones', record: encodeRecord('tombstones', {
        source: item.source, kind: item.what, id: item.id, state: item.state, why: item.why, received_at: new Date(item.atMs ?? nowMs) }) };
    case 'journal': {
      const { entry } = item;
      return { topic: 'journal', record: encodeRecord('journal', {
        at: new Date(nowMs), source, event_id: entry.eventId, kind: entry.kind, since: instant(entry.sinceMs),
        until: instant(entry.untilMs), cause: entry.cause, filled_at: instant(entry.filledAtMs), count: entry.count,
        detail: entry.detail === undefined ? undefined : JSON.stringify(entry.detail) }) };
    }
  }
}

function quarantined(
  reason: string, bytes: Uint8Array, bytesLength: number | undefined, source: string, nowMs: number,
): ItemRecord {
  const component = `collector ${source}`;
  return { topic: 'quarantine', record: encodeQuarantined({
    atMs: nowMs, component, reason, topic: 'posts', bytes, bytesLength }) };
}

function instant(ms: number | undefined): Date | undefined {
  return ms === undefined ? undefined : new Date(ms);
}
