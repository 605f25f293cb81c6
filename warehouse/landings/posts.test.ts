import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { literal, openDuck, rowsOf, type Duck } from '../duck.ts';
import { DuplicateIndex } from '../duplicates.ts';
import type { Batch } from '../gather.ts';
import type { EncodedBatch } from '../landing.ts';
import { postsLanding } from './posts.ts';
import { rawLanding } from './raw.ts';

let folder: string;
let duck: Duck;
let connection: DuckDBConnection;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'watershed-landing-'));
  duck = await openDuck({ staging: join(folder, 'staging'), memoryBytes: 512e6, threads: 2 });
  connection = await duck.connect();
});

afterAll(async () => {
  connection.closeSync();
  await duck[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

// Ids and texts of CrisisLexT6 (samples/), whose times follow from the snowflake by hand.
const first = { id: '348351442404376578', text: '@Jay1972Jay Nope. Mid 80\'s.', label: 'off-topic' };
const second = { id: '348167215536803841', text: 'Nothing like a :16 second downpour \u{1F327}️ مطر', label: 'off-topic' };

function envelope(post: string, events: readonly { id: string; matched: string[] }[] = [{ id: 'flood', matched: ['#abflood'] }]): Buffer {
  return encodeEnvelope({ source: 'x', format: 'crisislex', events, receivedAt: '2026-11-24T09:00:00.000Z', account: '' }, Buffer.from(post));
}

function batchOf(records: readonly Uint8Array[], baseOffset = 100n): Batch {
  const lines = Buffer.concat(records.flatMap((record) => [record, Buffer.from('\n')]));
  return {
    ranges: [{
      partition: 0, from: baseOffset, to: baseOffset + BigInt(records.length),
      chunks: [{ baseOffset, count: records.length, lines, appendedAtMs: 0, poison: [] }],
    }],
    records: records.length, bytes: lines.length,
  };
}

async function freshIndex(live: string[] = []): Promise<DuplicateIndex> {
  await connection.run('drop table if exists recent_keys');
  const index = new DuplicateIndex({ overlapping: async () => live, localPath: async (path) => path });
  await index.open(connection, []);
  return index;
}

const encode = (records: readonly Uint8Array[], duplicates: DuplicateIndex, baseOffset = 100n): Promise<EncodedBatch> =>
  postsLanding.encode(batchOf(records, baseOffset), { connection, staging: duck.staging, duplicates, nowMs: 1_800_000_000_000 });

function fileOf(encoded: EncodedBatch, table: string): string {
  return encoded.files.find((entry) => entry.table === table)?.file.localPath ?? '';
}

const read = (path: string, select: string): Promise<Readonly<Record<string, unknown>>[]> =>
  rowsOf(connection, `select ${select} from read_parquet(${literal(path)}) order by log_offset`);

test('good posts become rows with their place in the log', async () => {
  const encoded = await encode([envelope(JSON.stringify(first)), envelope(JSON.stringify(second))], await freshIndex());
  expect(await read(fileOf(encoded, 'posts'), 'event_id, source, post_id, text, created_at::varchar as at, matched, log_offset')).toEqual([
    { event_id: 'flood', source: 'x', post_id: first.id, text: first.text, at: '2013-06-22 08:07:10.583+00', matched: ['#abflood'], log_offset: 100n },
    { event_id: 'flood', source: 'x', post_id: second.id, text: second.text, at: '2013-06-21 19:55:07.475+00', matched: ['#abflood'], log_offset: 101n },
  ]);
  expect(encoded.fates).toEqual(new Map([[0, { kept: 2, duplicate: 0, dead: 0 }]]));
});

test('bad records are dead with their bytes, and the good ones around them land', async () => {
  const bad: Buffer[] = [
    Buffer.from('nonsense'),
    Buffer.from('{"v":2,"source":"x"}'),
    envelope('{"id":"1","text":"cut'),
    envelope('{"text":"no id"}'),
    envelope('{"id":"not a number","text":"x"}'),
    envelope(JSON.stringify(first), []),
    Buffer.concat([envelope('{"id":"348351442404376579","text":"').subarray(0, -1), Buffer.from([0xff, 0xfe]), Buffer.from('"}}')]),
    envelope('{"id":"348351442404376580","text":"lone \\ud800 surrogate"}'),
  ];
  const encoded = await encode([envelope(JSON.stringify(first)), ...bad, envelope(JSON.stringify(second))], await freshIndex());
  expect(encoded.fates).toEqual(new Map([[0, { kept: 2, duplicate: 0, dead: bad.length }]]));
  const rows = await read(fileOf(encoded, 'quarantine'), 'reason, topic, "offset", bytes, bytes_length');
  expect(rows.map((row) => Buffer.from(row['bytes'] as Uint8Array).toString('hex'))).toEqual(bad.map((bytes) => bytes.toString('hex')));
  expect(rows.map((row) => row['reason'])).toEqual([
    'not a record of ours: it does not begin as an envelope of version 1',
    'a newer Watershed wrote it: an envelope of version 2, and this one knows version 1',
    'it is not valid JSON in UTF-8',
    'it has no valid id',
    'it has no valid id',
    'it belongs to no event',
    'it is not valid JSON in UTF-8',
    'it is not valid JSON in UTF-8',
  ]);
});

test('a post that the batch holds twice is kept once, and one in two events is kept in both', async () => {
  const both = envelope(JSON.stringify(first), [{ id: 'flood', matched: [] }, { id: 'storm', matched: [] }]);
  const encoded = await encode([envelope(JSON.stringify(first)), both, both], await freshIndex());
  expect((await read(fileOf(encoded, 'posts'), 'event_id, log_offset')))
    .toEqual([{ event_id: 'flood', log_offset: 100n }, { event_id: 'storm', log_offset: 101n }]);
  // The second record is kept for its row of storm; the third brings nothing.
  expect(encoded.fates).toEqual(new Map([[0, { kept: 2, duplicate: 1, dead: 0 }]]));
});

test('a post of a batch before is a duplicate: staged, committed, or written before the start', async () => {
  const live: string[] = [];
  const index = await freshIndex(live);
  const one = await encode([envelope(JSON.stringify(first))], index);
  const staged = await encode([envelope(JSON.stringify(first))], index, 200n);
  expect(staged).toMatchObject({ files: [], fates: new Map([[0, { kept: 0, duplicate: 1, dead: 0 }]]) });
  const path = fileOf(one, 'posts');
  live.push(path);
  one.onPlaced?.(new Map([[path, path]]));
  await one.onCommitted?.();
  const committed = await encode([envelope(JSON.stringify(first)), envelope(JSON.stringify(second))], index, 300n);
  expect(committed.fates).toEqual(new Map([[0, { kept: 1, duplicate: 1, dead: 0 }]]));
  const restarted = await encode([envelope(JSON.stringify(first))], await freshIndex([path]), 400n);
  expect(restarted.fates).toEqual(new Map([[0, { kept: 0, duplicate: 1, dead: 0 }]]));
});

test('raw keeps the body byte for byte', async () => {
  const body = '{ "id" : "348351442404376578" ,  "n": 12345678901234567890, "text":"tab\\t \\u00e9 é"}';
  const encoded = await rawLanding.encode(batchOf([envelope(body)]), {
    connection, staging: duck.staging, duplicates: await freshIndex(), nowMs: 0,
  });
  expect(await read(fileOf(encoded, 'raw'), 'body, source, format, log_offset'))
    .toEqual([{ body, source: 'x', format: 'crisislex', log_offset: 100n }]);
});

test('a post is a duplicate also when the batch before is committed while this one is looked up', async () => {
  await connection.run('drop table if exists recent_keys');
  let whileLookedUp: () => void = () => undefined;
  const index = new DuplicateIndex({
    // The list of files is from before the commit, as a catalog read that began earlier gives it.
    async overlapping() {
      whileLookedUp();
      await connection.run('select 1');
      return [];
    },
    localPath: async (path) => path,
  });
  await index.open(connection, []);
  const before = await encode([envelope(JSON.stringify(first))], index);
  let committed: Promise<void> | undefined;
  whileLookedUp = () => {
    committed ??= before.onCommitted?.();
  };
  const after = await encode([envelope(JSON.stringify(first))], index, 200n);
  await committed;
  expect(after.fates).toEqual(new Map([[0, { kept: 0, duplicate: 1, dead: 0 }]]));
});
