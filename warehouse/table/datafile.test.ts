import { DuckDBInstance } from '@duckdb/node-api';
import type { DuckDBConnection } from '@duckdb/node-api';
import { tables } from '#core/contract/tables.ts';
import { encodePosts, postRows } from '#test/posts.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { encodeParquet } from '../encode.ts';
import { dataFileFromStats } from './datafile.ts';
import { decodeValue } from './values.ts';

let instance: DuckDBInstance;
let connection: DuckDBConnection;
let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder('datafile');
  instance = await DuckDBInstance.create(':memory:');
  connection = await instance.connect();
  await connection.run(`set timezone = 'UTC'`);
});

afterAll(async () => {
  connection.closeSync();
  instance.closeSync();
  await removeFolder(folder);
});

const idOf = (name: string): number => tables.posts.columns.find((column) => column.name === name)?.id ?? 0;

test('the statistics of a copy become the entry of the file', async () => {
  const rows = postRows(0, 100);
  const { stats } = await encodePosts(connection, rows, folder);
  const file = dataFileFromStats(tables.posts, 'file:///lake/a.parquet', stats);
  expect(file).toMatchObject({ content: 0, path: 'file:///lake/a.parquet', format: 'PARQUET', partition: {}, recordCount: 100, sortOrderId: 0 });
  expect(file.bytes).toBe(Number(stats['file_size_bytes']));
  expect(file).not.toHaveProperty('specId');
  const nulls = (name: string): number | undefined => file.nullCounts?.get(idOf(name));
  expect([nulls('likes'), nulls('text'), nulls('lang')]).toEqual([
    rows.filter(({ likes }) => likes === null).length, rows.filter(({ text }) => text === null).length, 100,
  ]);
  expect(file.valueCounts?.get(idOf('likes'))).toBe(100);
  // Lists are no columns with a null count of their own; their elements have a size.
  expect([file.nullCounts?.has(115), file.columnSizes?.has(115)]).toEqual([false, true]);
  const bound = (name: string, type: string) => [file.lowerBounds, file.upperBounds].map((bounds) => {
    const bytes = bounds?.get(idOf(name));
    return bytes === undefined ? undefined : decodeValue(type, bytes);
  });
  const created = rows.map(({ created_at_us }) => created_at_us);
  expect(bound('created_at', 'timestamptz')).toEqual([Math.min(...created), Math.max(...created)]);
  expect(bound('post_id', 'string')).toEqual([rows[0]?.post_id, rows.at(-1)?.post_id]);
  expect(bound('event_id', 'string')).toEqual(['alberta', 'käse']);
  expect(bound('log_offset', 'long')).toEqual([0, 99]);
  // Not among the columns whose bounds are worth keeping.
  expect([...(file.lowerBounds?.keys() ?? [])].map((id) => tables.posts.columns.find((column) => column.id === id)?.name ?? '').toSorted())
    .toEqual([...tables.posts.bounds].filter((name) => name !== 'collected_at').toSorted());
});

test('bounds are cut to 16 characters, those of ids to 64, from above rounded up, and left out where there are none', async () => {
  const spec = { ...tables.tombstones, bounds: tables.tombstones.columns.map(({ name }) => name) };
  const encode = async (more: Record<string, string>) => {
    const select = spec.columns.map(({ name }) => `${more[name] ?? 'null'} as "${name}"`).join(', ');
    const file = await encodeParquet(connection, `select ${select}`, spec, folder);
    const { lowerBounds, upperBounds } = dataFileFromStats(spec, 'file:///a', file?.stats ?? {});
    return (name: string) => [lowerBounds, upperBounds].map((bounds) =>
      bounds?.get(spec.columns.find((column) => column.name === name)?.id ?? 0));
  };
  const text = (bytes: Uint8Array | undefined): string | undefined => (bytes ? Buffer.from(bytes).toString() : undefined);
  const of = await encode({
    source: `'abcdefghijklmnopqrstuvwxyz'`, kind: `repeat('é', 300)`, id: `repeat('x', 400)`, state: 'null',
    received_at: `'infinity'::timestamptz`,
  });
  expect(of('source').map(text)).toEqual(['abcdefghijklmnop', 'abcdefghijklmnoq']);
  // DuckDB gives no statistics of long texts that are not ASCII.
  expect(of('kind')).toEqual([undefined, undefined]);
  expect(of('id').map(text)).toEqual(['x'.repeat(64), `${'x'.repeat(63)}y`]);
  expect(of('state')).toEqual([undefined, undefined]);
  expect(of('received_at')).toEqual([undefined, undefined]);
});

test('NaN gives no bounds, and zero the wider one of its signs', async () => {
  const spec = { ...tables.posts, bounds: ['latitude', 'longitude', 'author_verified'] };
  const select = spec.columns.map(({ name }) => `${{ latitude: 'v', longitude: 'v - v', author_verified: 'true' }[name] ?? 'null'} as ${name}`);
  const bounds = async (values: string) => {
    const file = await encodeParquet(connection, `select ${select.join(', ')} from (values ${values}) t(v)`, spec, folder);
    const { lowerBounds, upperBounds } = dataFileFromStats(spec, 'file:///a', file?.stats ?? {});
    return (name: string, type: string) => [lowerBounds, upperBounds].map((each) => {
      const bytes = each?.get(idOf(name));
      return bytes && decodeValue(type, bytes);
    });
  };
  const withNan = await bounds(`(1.5::double), ('nan'::double)`);
  expect(withNan('latitude', 'double')).toEqual([undefined, undefined]);
  expect(withNan('author_verified', 'boolean')).toEqual([true, true]);
  const plain = await bounds('(1.5::double), (2.5::double)');
  expect(plain('latitude', 'double')).toEqual([1.5, 2.5]);
  expect(plain('longitude', 'double')).toEqual([-0, 0]);
});

test('a file with columns that the table has not, or without statistics, is an error of ours', async () => {
  const { stats } = await encodePosts(connection, postRows(0, 1), folder);
  expect(() => dataFileFromStats(tables.raw, 'file:///a', stats)).toThrow(expect.objectContaining({ code: 'internal' }));
  expect(() => dataFileFromStats(tables.posts, 'file:///a', { count: 1n })).toThrow(expect.objectContaining({ code: 'internal' }));
});
