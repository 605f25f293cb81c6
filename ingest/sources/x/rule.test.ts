import fc from 'fast-check';
import { judge, type JudgedPost } from '#test/world/x-rules.ts';
import { compileRule, queryLengthMax, ruleLengthMax } from './rule.ts';

const compiled = (rule: Parameters<typeof compileRule>[0]): string[] => compileRule(rule, ruleLengthMax);

test('sources 3.1: terms, phrases, hashtags, accounts, languages, places', () => {
  expect(compiled({ any: ['flood', '"high river"', '#abflood'] })).toEqual(['("flood" OR "high river" OR #abflood)']);
  expect(compiled({ any: ['flood'], all: ['calgary'], none: ['#jobs', 'hiring'] })).toEqual(['"flood" "calgary" -#jobs -"hiring"']);
  expect(compiled({ any: ['flood'], accounts: ['@cityofcalgary', '12345', 'nws.bsky.social'] }))
    .toEqual(['("flood" OR from:cityofcalgary OR from:12345)']);
  expect(compiled({ all: ['flood'], languages: ['en', 'pt-BR', 'pt'] })).toEqual(['"flood" (lang:en OR lang:pt)']);
  expect(compiled({ any: ['flood'], places: ['CA', 'Los Angeles', '-118.9,33.7,-117.6,34.8'] }))
    .toEqual(['"flood" (place_country:CA OR place:"los angeles" OR bounding_box:[-118.9 33.7 -117.6 34.8])']);
});

test('sources 3.1: accents stay as they are written, for X compares them exactly', () => {
  expect(compiled({ any: ['São', '“Zürich West”', '#Bogotá'] })).toEqual(['("São" OR "Zürich West" OR #Bogotá)']);
});

test('sources 3.1: words that are operators elsewhere are only words', () => {
  expect(compiled({ any: ['OR', 'and', 'sample'] })).toEqual(['("OR" OR "and" OR "sample")']);
});

test('a rule with nothing to look for, and one of other networks only, is refused', () => {
  expect(() => compiled({ languages: ['en'] })).toThrow(expect.objectContaining({ code: 'bad_request' }));
  expect(() => compiled({ accounts: ['nws.bsky.social'] })).toThrow(expect.objectContaining({ message: 'X has none of the accounts of the rule' }));
  expect(() => compiled({ any: ['a'], all: Array.from({ length: 40 }, (_, index) => `${'long'.repeat(8)}${index}`) }))
    .toThrow(expect.objectContaining({ code: 'bad_request', message: expect.stringContaining('too long for X') }));
});

test('sources 3.1: 500 terms and 40 places become several rules, each short enough', () => {
  const any = Array.from({ length: 500 }, (_, index) => `term${index}`);
  const places = Array.from({ length: 40 }, (_, index) => `place number ${index}`);
  for (const lengthMax of [ruleLengthMax, queryLengthMax]) {
    const rules = compileRule({ any, all: ['#needed'], none: ['#spam'], places }, lengthMax);
    expect(rules.length).toBeGreaterThan(5);
    for (const rule of rules) expect(rule.length).toBeLessThanOrEqual(lengthMax);
    expect(new Set(rules).size).toBe(rules.length);
  }
});

test('split or whole, a rule matches the same posts', () => {
  const words = ['flood', 'fire', 'river', 'rain', 'help', 'road', 'bridge', 'dam'];
  const word = fc.constantFrom(...words);
  const post = fc.array(word, { minLength: 1, maxLength: 5 })
    .map((text): JudgedPost => ({ text: text.join(' '), lang: 'en', author: { id: '1', username: 'a' } }));
  const rule = fc.record({ any: fc.uniqueArray(word, { minLength: 1 }), all: fc.uniqueArray(word, { maxLength: 2 }) });
  fc.assert(fc.property(rule, fc.integer({ min: 60, max: 200 }), post, ({ any, all }, lengthMax, one) => {
    const split = compileRule({ any, all }, lengthMax).map((part) => judge(part, one));
    expect(split.some((matched) => matched === true)).toBe(judge(compiled({ any, all })[0] ?? '', one));
    expect(split.some((matched) => matched === true)).toBe(
      any.some((term) => one.text.split(' ').includes(term)) && all.every((term) => one.text.split(' ').includes(term)));
  }));
});
