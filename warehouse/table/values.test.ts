import fc from 'fast-check';
import { compareValues, decodeValue, encodeValue, parseInstant, timeTransform, truncateLower, truncateUpper } from './values.ts';

// Values and bytes from apache/iceberg api/src/test/…/types/TestConversions.java (commit in test/vectors/iceberg/README.md).
test.each([
  ['boolean', false, [0]],
  ['boolean', true, [1]],
  ['int', 84202, [-22, 72, 1, 0]],
  ['long', 200, [-56, 0, 0, 0, 0, 0, 0, 0]],
  ['float', -4.5, [0, 0, -112, -64]],
  ['double', 6, [0, 0, 0, 0, 0, 0, 24, 64]],
  ['date', 1000, [-24, 3, 0, 0]],
  ['time', 10000, [16, 39, 0, 0, 0, 0, 0, 0]],
  ['timestamp', 400000, [-128, 26, 6, 0, 0, 0, 0, 0]],
  ['timestamptz', 400000, [-128, 26, 6, 0, 0, 0, 0, 0]],
  ['string', 'ABC', [65, 66, 67]],
  ['fixed[2]', Uint8Array.of(97, 98), [97, 98]],
  ['binary', Uint8Array.of(90), [90]],
])('%s %p is serialised as Appendix D of the specification says', (type, value, bytes) => {
  const expected = Uint8Array.from(bytes, (byte) => byte & 0xff);
  expect([...encodeValue(type, value)]).toEqual([...expected]);
  expect(decodeValue(type, expected)).toEqual(value);
});

test('longs beyond 2^53 keep all their digits', () => {
  const id = 3055729675574597004n;
  expect(decodeValue('long', encodeValue('long', id))).toBe(id);
  expect(decodeValue('long', encodeValue('long', -5n))).toBe(-5);
});

test('a bound that does not fit its type is unknown, one of a widened int is read', () => {
  expect(decodeValue('timestamptz', Uint8Array.of(1, 2, 3))).toBeUndefined();
  expect(decodeValue('string', Uint8Array.of(0xe3, 0x82))).toBeUndefined();
  expect(decodeValue('long', encodeValue('int', -7))).toBe(-7);
});

// Strings from apache/iceberg core/src/test/…/TestMetricsTruncation.java.
test.each([
  ['イロハニホヘト', 2, 'イロ', 'イヮ'],
  ['イロハニホヘト', 3, 'イロハ', 'イロバ'],
  ['イロハニホヘト', 7, 'イロハニホヘト', 'イロハニホヘト'],
  ['イロハニホヘト', 8, 'イロハニホヘト', 'イロハニホヘト'],
  ['щщаεはчωいにπάほхεろへσκζ', 7, 'щщаεはчω', 'щщаεはчϊ'],
  ['aनि\uFFFF\uFFFF', 3, 'aनि', 'aनी'],
  ['\uFFFF\uFFFF', 1, '\uFFFF', '\u{10000}'],
  ['\u{10FFFF}\u{10FFFF}', 1, '\u{10FFFF}', undefined],
  ['\u{103FF}\u{103FF}', 1, '\u{103FF}', '\u{10400}'],
  ['😂😂😂', 2, '😂😂', '😂😃'],
  ['😂😂😂', 1, '😂', '😃'],
  ['a\u{10FFFF}c', 2, 'a\u{10FFFF}', 'b'],
  ['a\uD7FFb', 2, 'a\uD7FF', 'a\uE000'],
])('%p cut to %i code points bounds it from below by %p and from above by %p', (text, width, lower, upper) => {
  expect(truncateLower(text, width)).toBe(lower);
  expect(truncateUpper(text, width)).toBe(upper);
});

test('bounds of any text hold it, in the order of UTF-8 bytes', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.integer({ min: 1, max: 20 }), (text, width) => {
    const bytes = Buffer.from(text);
    expect(Buffer.compare(Buffer.from(truncateLower(text, width)), bytes)).toBeLessThanOrEqual(0);
    const upper = truncateUpper(text, width);
    if (upper === undefined) return;
    expect(Buffer.compare(Buffer.from(upper), bytes)).toBeGreaterThanOrEqual(0);
    expect(Array.from(upper).length).toBeLessThanOrEqual(width);
  }));
});

test('strings compare as their UTF-8 bytes do', () => {
  fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (left, right) => {
    expect(Math.sign(compareValues(left, right))).toBe(Buffer.compare(Buffer.from(left), Buffer.from(right)));
  }));
  expect(compareValues('\uFFFF', '\u{10000}')).toBeLessThan(0);
});

test('a number and a bigint of one value are equal, and -0 comes before 0', () => {
  expect(compareValues(5, 5n)).toBe(0);
  expect(compareValues(2 ** 53, 2n ** 53n + 1n)).toBeLessThan(0);
  expect(compareValues(-0, 0)).toBeLessThan(0);
});

// Days and hours from apache/iceberg api/src/test/…/transforms/TestTimestamps.java and, before 1970, the specification's rule
// that transforms round down.
test.each([
  ['2017-12-01T10:12:55.038194', 17501, 420034],
  ['2017-12-01T10:12:55.038194-08:00', 17501, 420042],
  ['1970-01-01T00:00:00Z', 0, 0],
  ['1969-12-31T23:59:59.999999Z', -1, -1],
  ['1969-12-31 00:00:00+00', -1, -24],
  ['1969-12-30 23:59:59+00', -2, -25],
])('%s lies in day %i and hour %i', (text, day, hour) => {
  const micros = parseInstant(text) ?? Number.NaN;
  expect(timeTransform('day', micros)).toBe(day);
  expect(timeTransform('hour', micros)).toBe(hour);
});

test('instants are read as DuckDB prints them', () => {
  expect(parseInstant('1969-12-31 23:59:59.5+00')).toBe(-500_000);
  expect(parseInstant('2013-06-20 12:00:00+00')).toBe(Date.UTC(2013, 5, 20, 12) * 1000);
  expect(parseInstant('2013-06-20')).toBe(Date.UTC(2013, 5, 20) * 1000);
  expect(parseInstant('0044-03-15 00:00:00+00')).toBe(-60_772_291_200_000_000n);
  expect(parseInstant('infinity')).toBeUndefined();
  expect(parseInstant('0044-03-15 (BC) 00:00:00+00')).toBeUndefined();
});
