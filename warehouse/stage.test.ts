import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeEnvelope, type PostFormat } from '#core/contract/envelope.ts';
import type { Batch } from './gather.ts';
import { recordAt, stagePosts, stageRaw } from './stage.ts';

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'watershed-stage-'));
});

afterAll(() => rm(folder, { recursive: true }));

function record(format: PostFormat, body: unknown): Buffer {
  const source = format === 'bluesky' ? 'bluesky' : 'x';
  return encodeEnvelope({ source, format, events: [{ id: 'flood', matched: [] }], receivedAt: '2026-11-24T09:00:00.000Z', account: '' }, Buffer.from(JSON.stringify(body)));
}

function batchOf(records: readonly Buffer[], poison: readonly number[] = []): Batch {
  const lines = Buffer.concat(records.flatMap((line) => [line, Buffer.from('\n')]));
  const bad = poison.map((index) => ({ offset: 40n + BigInt(index), bytes: Buffer.from('bad'), reason: 'made elsewhere' }));
  const chunk = { baseOffset: 40n, count: records.length, lines, appendedAtMs: 0, poison: bad };
  return { ranges: [{ partition: 3, from: 40n, to: 40n + BigInt(records.length), chunks: [chunk] }], records: records.length, bytes: lines.length };
}

const pathOf = (format: string): string => join(folder, format);
const linesOf = async (path: string): Promise<string[]> => (await readFile(path, 'utf8')).split('\n').slice(0, -1);

test('a record goes to the file of its format, with its place in the log, whatever its size', async () => {
  // Far more than one piece that is written at a time, and one record that is larger than a piece by itself.
  const bodies = Array.from({ length: 3000 }, (_, index) => ({ data: { id: String(index), text: index === 1500 ? 'ü'.repeat(1_500_000) : '💧'.repeat(index % 400) } }));
  const records = bodies.map((body, index) => record(index % 3 === 0 ? 'bluesky' : 'x.v2', body));
  const { files, dead } = await stagePosts(batchOf(records), pathOf);
  expect(dead).toEqual([]);
  expect(files.map(({ format, source, records: count }) => ({ format, source, count }))).toEqual([
    { format: 'bluesky', source: 'bluesky', count: 1000 }, { format: 'x.v2', source: 'x', count: 2000 },
  ]);
  const staged = (await Promise.all(files.map(({ path }) => linesOf(path)))).flat().map((line): unknown => JSON.parse(line));
  const byOffset = new Map(staged.map((line) => [Reflect.get(Object(line), 'o'), line]));
  expect(byOffset.size).toBe(3000);
  for (const [index, body] of bodies.entries()) expect(byOffset.get(40 + index)).toMatchObject({ o: 40 + index, p: 3, v: 1, post: body });
});

test('poison and what is no envelope of ours is dead with its bytes, and the rest is staged', async () => {
  const records = [record('x.v1', { id: 1 }), Buffer.from(''), Buffer.from('{"v":2,"source":"x"}'), record('crisislex', { id: 2 })];
  const batch = batchOf(records, [1]);
  const { files, dead } = await stagePosts(batch, pathOf);
  expect(files.map(({ format, records: count }) => [format, count])).toEqual([['x.v1', 1], ['crisislex', 1]]);
  expect(dead.map(({ offset, bytes }) => [offset, Buffer.from(bytes).toString()])).toEqual([[41n, 'bad'], [42n, '{"v":2,"source":"x"}']]);
  expect(Buffer.from(recordAt(batch, 3, 42n)).toString()).toBe('{"v":2,"source":"x"}');
});

test('raw keeps header and body apart, and the body as it is', async () => {
  const body = '{ "data" : {"id":"1","text":"a \\u0001 b ,\\"post\\": c"} }';
  const line = encodeEnvelope({ source: 'x', format: 'x.v2', events: [], receivedAt: '2026-11-24T09:00:00.000Z', account: '' }, Buffer.from(body));
  const { files } = await stageRaw(batchOf([line, Buffer.from('no envelope'), line]), join(folder, 'raw'));
  expect(files[0]?.records).toBe(2);
  const staged = (await linesOf(join(folder, 'raw'))).map((text) => text.split('\u0001'));
  expect(staged.map(([offset, partition, header, kept]) => [offset, partition, JSON.parse(header ?? ''), kept])).toEqual([40, 42].map((offset) =>
    [String(offset), '3', { v: 1, source: 'x', format: 'x.v2', events: [], receivedAt: '2026-11-24T09:00:00.000Z', account: '' }, body]));
});
