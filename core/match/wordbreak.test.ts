import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { isEdge, isWordBoundary } from './wordbreak.ts';

const vectors = readFileSync(new URL('../../test/vectors/unicode-break/WordBreakTest.txt', import.meta.url), 'utf8');

function readCase(line: string): { text: string; boundaries: number[] } | undefined {
  const tokens = (line.split('#')[0] ?? '').trim().split(/\s+/);
  if (tokens.length < 2) return undefined;
  let text = '';
  const boundaries: number[] = [];
  for (const token of tokens) {
    if (token === '÷') boundaries.push(text.length);
    else if (token !== '×') text += String.fromCodePoint(Number.parseInt(token, 16));
  }
  return { text, boundaries };
}

function boundariesOf(text: string): number[] {
  return Array.from({ length: text.length + 1 }, (_, at) => at).filter((at) => isWordBoundary(text, at));
}

test("words end where Unicode's vectors say, but for two cases of version 14 that Unicode itself has changed since", () => {
  const cases = vectors.split('\n').map(readCase).filter((one) => one !== undefined);
  expect(cases.length).toBe(1823);
  const wrong = cases.filter(({ text, boundaries }) => boundariesOf(text).join() !== boundaries.join()).map(({ text }) => text);
  // U+2701 is no Extended_Pictographic any more.
  expect(wrong).toEqual(['\u2701\u200D\u2701', 'a\u200D\u2701']);
});

test("words end where the runtime's segmenter says, in texts of scripts with spaces", () => {
  const segmenter = new Intl.Segmenter('en', { granularity: 'word' });
  const pieces = ['a', 'Flood', 'é', 'e\u0301', 'ß', "don't", '’', '.', ',', ':', ';', '"', '_', '-', ' ', '  ', '\n', '\r\n', '3', '٣', '3.5',
    'צה', '״', 'ل', 'हि', 'ἄ', '🔥', '👍', '🏽', '\u200D', '❤', '\uFE0F', '\u00AD', '\u200B', '🇹🇷', '🇺', '#', '@', '½', 'ñ', '\u0300', '𝗳', '½'];
  fc.assert(fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 12 }), (parts) => {
    const text = parts.join('');
    const expected = [...segmenter.segment(text)].map(({ index }) => index);
    expect(boundariesOf(text).filter((at) => at < text.length)).toEqual(expected);
  }), { numRuns: 3000 });
});

test('an edge is never between a character and its mark, nor within a surrogate pair', () => {
  expect(isEdge('น้ำ', 1)).toBe(false);
  expect(isEdge('e\u0301', 1)).toBe(false);
  expect(isEdge('🔥', 1)).toBe(false);
  expect(isEdge('👍🏽', 2)).toBe(false);
});

test('among scripts without spaces every character is an edge, also beside a word with spaces', () => {
  expect(isEdge('東京', 1)).toBe(true);
  expect(isEdge('น้ำท่วม', 3)).toBe(true);
  expect(isEdge('flood가', 5)).toBe(true);
  expect(isEdge('floods', 5)).toBe(false);
});
