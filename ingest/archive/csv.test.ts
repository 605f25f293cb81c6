import { readdirSync, readFileSync } from 'node:fs';
import { csvReader, csvRecordBytesMax, type CsvRecord } from './csv.ts';

const vectors = new URL('../../test/vectors/csv-spectrum/', import.meta.url);

function read(bytes: Uint8Array, chunkBytes = bytes.length || 1): CsvRecord[] {
  const reader = csvReader();
  const records: CsvRecord[] = [];
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    records.push(...reader.push(bytes.subarray(at, at + chunkBytes)));
  }
  return [...records, ...reader.end()];
}

describe('the hard cases of RFC 4180 (csv-spectrum)', () => {
  // location_coordinates is upstream's own mistake: its JSON has another telephone number than its CSV. Read below.
  const names = readdirSync(new URL('csvs/', vectors)).map((name) => name.replace('.csv', ''))
    .filter((name) => name !== 'location_coordinates');
  test.each(names)('%s, in chunks of every size', (name) => {
    const bytes = readFileSync(new URL(`csvs/${name}.csv`, vectors));
    const expected: unknown = JSON.parse(readFileSync(new URL(`json/${name}.json`, vectors), 'utf8'));
    for (let chunkBytes = 1; chunkBytes <= bytes.length; chunkBytes++) {
      const [header, ...rows] = read(bytes, chunkBytes).map((record) => record.fields ?? []);
      const objects = rows.map((fields) =>
        Object.fromEntries((header ?? []).map((column, index) => [column, fields[index]])));
      expect(objects).toEqual(expected);
    }
  });
  test('there are eleven of them', () => expect(names).toHaveLength(11));
  test('location_coordinates: quotes within quotes', () => {
    const [, row] = read(readFileSync(new URL('csvs/location_coordinates.csv', vectors)));
    const expected = JSON.parse(readFileSync(new URL('json/location_coordinates.json', vectors), 'utf8'));
    expect(row?.fields?.[1]).toBe(expected['Location Coordinates']);
  });
});

test('positions are the offsets after each record, and reading goes on from any of them', () => {
  const bytes = Buffer.from('a,b\r\n"x\ny",2\n\n3,"4 ""é"""\nlast,1');
  const records = read(bytes, 3);
  expect(records.map((record) => record.end)).toEqual([5, 13, 27, 33]);
  expect(read(bytes.subarray(13)).map((record) => record.fields)).toEqual([['3', '4 "é"'], ['last', '1']]);
});

test('a quotation mark that is never closed costs its own line and no other', () => {
  const good = Array.from({ length: 20_000 }, (_, index) => `${index},"a text that is long enough to pass the limit"`);
  const plain = Array.from({ length: 40_000 }, (_, index) => `${index},a text without any quotation mark`);
  const bytes = Buffer.from(['0,"never closed', ...plain].join('\n'));
  expect(bytes.length).toBeGreaterThan(csvRecordBytesMax);
  const [first, ...rest] = read(bytes, 65_536);
  expect(first).toMatchObject({ reason: 'csv: a quotation mark is never closed', bytes: Buffer.from('0,"never closed') });
  expect(rest.map((record) => record.fields?.join(','))).toEqual(plain);
  // It pairs with the next opening quote where there is one: those two lines are one odd record, the rest is whole.
  const mixed = read(Buffer.from(['0,"never closed', ...good].join('\n')), 65_536);
  const numbers = good.slice(1).map((_, index) => String(index + 1));
  expect(mixed.slice(1).map((record) => record.fields?.[0])).toEqual(numbers);
  const open = read(Buffer.from('1,"one"\n2,"open\n3,three\n4,four\n'));
  expect(open.map((record) => record.fields ?? record.reason)).toEqual([
    ['1', 'one'], 'csv: a quotation mark is never closed', ['3', 'three'], ['4', 'four'],
  ]);
});

test('invalid UTF-8 costs its own record', () => {
  const records = read(Buffer.concat([Buffer.from('1,a\n2,'), Buffer.from([0xff, 0xfe]), Buffer.from('\n3,c\n')]));
  expect(records.map((record) => record.fields ?? record.reason)).toEqual([['1', 'a'], 'csv: invalid UTF-8', ['3', 'c']]);
});

test('an inch sign within a bare field is text', () => {
  expect(read(Buffer.from('1,5" of rain,x\n2,b,c'))[0]?.fields).toEqual(['1', '5" of rain', 'x']);
});
