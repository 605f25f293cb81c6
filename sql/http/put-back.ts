import { decodeEnvelope } from '#core/contract/envelope.ts';
import { encodeRecord } from '#core/contract/records.ts';
import type { Clock } from '#core/clock.ts';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import { type Log, type Topic, topics } from '#core/log/log.ts';

/** A record that was set aside, as `lake.quarantine` tells of it. */
export interface Quarantined {
  /** Its place: topic, partition and offset with slashes between. */
  readonly id: string;
  readonly at: string;
  readonly component: string;
  readonly reason: string;
  readonly topic: string;
  /** Of the record in its topic; undefined for one that never was in the log. */
  readonly partition: number | undefined;
  readonly bytes: Buffer;
  readonly bytesLength: number;
  readonly replayedAt: string | undefined;
}

/** The place that the view `lake.quarantine` knows a row by, as an expression of SQL. */
export const quarantineIdSql = `(case when "offset" is null then 'quarantine' else topic end || '/' || cast(coalesce("partition", log_partition) as varchar)
  || '/' || cast(coalesce("offset", log_offset) as varchar))`;

/**
 * Puts a record back into its topic, as it is or mended, and says so in the table. Resolves to its new place. Errors:
 * `conflict` where it was put back already; `bad_request` where it would come straight back; `unsupported` where only a
 * newer Watershed understands it.
 */
export async function putBack({ log, clock }: { log: Log; clock: Clock }, record: Quarantined, mended?: Buffer): Promise<string> {
  const { id, partition: origin } = record;
  if (record.replayedAt !== undefined) {
    throw new WatershedError('conflict', `${id} was put back at ${record.replayedAt}`, { hint: 'if that failed too, it is in quarantine anew' });
  }
  if (mended === undefined && record.bytes.length < record.bytesLength) {
    throw new WatershedError('bad_request', `only the first ${record.bytes.length} of its ${record.bytesLength} bytes were kept`, { hint: 'give the whole record' });
  }
  const bytes = trimEnd(mended ?? record.bytes);
  const topic = topics.find((candidate) => candidate === record.topic);
  if (topic === undefined) throw new WatershedError('bad_request', `${record.topic} is no topic that records can be put back to`);
  check(topic, bytes);
  const partition = origin !== undefined && origin < await log.partitions(topic) ? origin : 0;
  // First the record, then the word that it is back: who dies between is asked again, and a post that comes twice is
  // kept once.
  const offset = await log.append(topic, partition, [bytes]);
  const [named = '', place, at] = id.split('/');
  await log.append('quarantine', 0, [encodeRecord('quarantine', {
    at: record.at, component: record.component, reason: record.reason, topic: named, partition: Number(place), offset: at,
    replayed_at: new Date(clock.now()),
  })]);
  return `${topic}/${partition}/${offset}`;
}

function trimEnd(bytes: Buffer): Buffer {
  let end = bytes.length;
  while (end > 0 && (bytes[end - 1] === 10 || bytes[end - 1] === 13)) end--;
  return bytes.subarray(0, end);
}

/** What would come straight back is refused here. */
function check(topic: Topic, bytes: Buffer): void {
  const refuse = (cause: unknown): never => {
    if (isWatershedError(cause, 'unsupported')) throw cause;
    throw new WatershedError('bad_request', `this is no record of topic ${topic}: ${messageOf(cause)}`, {
      cause, hint: 'mend it first: it is one line of JSON',
    });
  };
  if (bytes.includes(10)) refuse(new Error('it has a line break'));
  try {
    const whole: unknown = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
    if (typeof whole !== 'object' || whole === null || Array.isArray(whole)) throw new Error('it is no JSON object');
    if (topic === 'posts') decodeEnvelope(bytes);
  } catch (cause) {
    refuse(cause);
  }
}
