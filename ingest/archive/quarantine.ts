import type { DeadItem } from '../sources/source.ts';

/** More of a record than this is not kept (see table `quarantine`): 1 MiB is above anything a network sends as one post. */
const bytesKeptMax = 1024 * 1024;

/** A record of topic `quarantine` for what was set aside before it reached the log. `component` says who did. */
export function quarantineRecord(item: DeadItem, component: string, atMs: number): Buffer {
  const { reason, bytes } = item;
  return Buffer.from(JSON.stringify({
    at: new Date(atMs).toISOString(),
    component,
    reason,
    topic: 'posts',
    bytes: Buffer.from(bytes.subarray(0, bytesKeptMax)).toString('base64'),
    bytes_length: item.bytesLength ?? bytes.length,
  }));
}
