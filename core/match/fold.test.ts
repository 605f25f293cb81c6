import { readFileSync } from 'node:fs';
import { fold, mustFold } from './fold.ts';

const vectors = readFileSync(new URL('../../test/vectors/unicode-casefold/casefold.txt', import.meta.url), 'utf8');
const read = (hex: string): string => String.fromCodePoint(...hex.trim().split(' ').map((point) => Number.parseInt(point, 16)));

// What fold does beside Unicode's folding, as its docstring says.
const liberties = new Map([['İ', 'i'], ['ı', 'i'], ['\u2018', "'"], ['\u2019', "'"], ['\u05F3', "'"], ['\u05F4', '"']]);

test("case folds as Unicode's data say", () => {
  const lines = vectors.trim().split('\n');
  expect(lines.length).toBeGreaterThan(2000);
  const wrong = lines.filter((line) => {
    const [from = '', to = ''] = line.split(';');
    const text = read(from);
    return !/\p{Default_Ignorable_Code_Point}/u.test(text) && !liberties.has(text) && fold(text) !== fold(read(to));
  });
  expect(wrong).toEqual([]);
  expect(fold('STRASSE')).toBe(fold('Straße'));
  expect(fold('ΣΊΣΥΦΟΣ')).toBe(fold('σίσυφος'));
});

test('every character folds once and for all, and alone where it need not be folded with its neighbours', () => {
  const wrong: string[] = [];
  const look = (first: number, last: number): void => {
    for (let point = first; point <= last; point++) {
      const text = String.fromCodePoint(point);
      const folded = fold(text);
      if (fold(folded) !== folded || (!mustFold(text) && folded.length !== text.length)) wrong.push(point.toString(16));
    }
  };
  look(0, 0x32000); // all that is assigned below the private planes, and plane 14
  look(0xe0000, 0xe1000);
  expect(wrong).toEqual([]);
});

test.each([
  ['a Turkish city in capitals', 'İSTANBUL', 'istanbul'],
  ['composed and decomposed accents', 'cafe\u0301', 'café'],
  ['a heart with and without its selector', '❤\uFE0F', '❤'],
  ['a soft hyphen', 'flo\u00ADod', 'flood'],
  ['a typographic apostrophe', 'don’t', "don't"],
  ['Hebrew gershayim', 'צה״ל', 'צה"ל'],
  ['the joiner of Sinhala', 'ශ්‍රී', 'ශ්රී'],
  ['Khmer with invisible spaces', 'ទឹក\u200Bជំនន់', 'ទឹកជំនន់'],
  ['Adlam capitals', '𞤀', '𞤢'],
])('%s are one', (_, left, right) => {
  expect(fold(left)).toBe(fold(right));
});

test('accents are matched exactly, as on X', () => {
  expect(fold('café')).not.toBe(fold('cafe'));
});

test('a family is not its mother: joiners within emoji stay', () => {
  expect(fold('👩\u200D👧')).toBe('👩\u200D👧');
  expect(fold('❤\uFE0F\u200D🔥')).toBe('❤\u200D🔥');
});

test('an invisible space parts words where words have spaces', () => {
  expect(fold('flash\u200Bflood')).toBe('flash\u200Bflood');
});
