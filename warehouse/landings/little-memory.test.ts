import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeEnvelope, type PostFormat } from '#core/contract/envelope.ts';
import { openDuck } from '../duck.ts';
import { DuplicateIndex } from '../duplicates.ts';
import type { Batch } from '../gather.ts';
import { postsLanding } from './posts.ts';
import { rawLanding } from './raw.ts';
import { rowLandings } from './rows.ts';

function batchOf(records: readonly Uint8Array[]): Batch {
  const lines = Buffer.concat(records.flatMap((record) => [record, Buffer.from('\n')]));
  return {
    ranges: [{ partition: 0, from: 0n, to: BigInt(records.length), chunks: [{ baseOffset: 0n, count: records.length, lines, appendedAtMs: 0, poison: [] }] }],
    records: records.length, bytes: lines.length,
  };
}

const record = (format: PostFormat, post: object): Buffer => encodeEnvelope(
  { source: format === 'bluesky' ? 'bluesky' : 'x', format, events: [{ id: 'flood', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '' },
  Buffer.from(JSON.stringify(post)));

test('all landings at once, with posts of every network, stay within 300 MB: buffers follow the longest line, not the longest one allowed', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'watershed-little-'));
  try {
    await using duck = await openDuck({ staging: join(folder, 'staging'), memoryBytes: 300e6, threads: 2 });
    const posts = batchOf([
      record('crisislex', { id: '348351442404376578', text: 'flood downtown' }),
      record('x.v2', { data: { id: '1800000000000000001', text: 'flood', author_id: '7', created_at: '2026-01-01T00:00:00.000Z' } }),
      record('x.v1', { id_str: '1800000000000000002', full_text: 'flood', created_at: 'Thu Jan 01 00:00:00 +0000 2026' }),
      record('bluesky', { did: 'did:plc:abcdefghijklmnopqrstuvwx', time_us: 1_753_000_000_000_000, kind: 'commit', commit: {
        operation: 'create', collection: 'app.bsky.feed.post', rkey: '3lhmxgj5xoc2s', record: { text: 'flood', createdAt: '2026-01-01T00:00:00.000Z' } } }),
      // One long line is read, too.
      record('x.v2', { data: { id: '1800000000000000003', text: `flood ${'very '.repeat(400_000)}`, author_id: '7', created_at: '2026-01-01T00:00:00.000Z' } }),
    ]);
    const rows = batchOf([Buffer.from('{"at":"2026-01-01T00:00:00.000Z","kind":"gap"}')]);
    const duplicates = new DuplicateIndex({ overlapping: async () => [], localPath: async (path) => path });
    await duplicates.open(await duck.connect(), []);
    const encoded = await Promise.all([postsLanding, rawLanding, ...rowLandings].map(async (landing) => {
      const connection = await duck.connect();
      const batch = landing.topic === 'posts' ? posts : rows;
      const { fates } = await landing.encode(batch, { connection, staging: duck.staging, duplicates, nowMs: 1_800_000_000_000 });
      return [landing.name, fates.get(0)?.kept];
    }));
    expect(encoded.slice(0, 2)).toEqual([['posts', 5], ['raw', 5]]);
    expect(encoded.length).toBeGreaterThan(4);
  } finally {
    await rm(folder, { recursive: true });
  }
});
