import fc from 'fast-check';
import type { Rule } from '../contract/event.ts';
import { isWatershedError } from '../errors.ts';
import { type MatchablePost, compileRules } from './matcher.ts';

const matched = (rule: Rule, post: MatchablePost | string): readonly string[] | undefined =>
  compileRules([{ id: 'e', rule }]).match(typeof post === 'string' ? { texts: [post] } : post)[0]?.matched;
const found = (term: string, text: string): boolean => matched({ any: [term] }, text) !== undefined;

test('peers g1 4: "art" is not in "heart"', () => {
  expect(found('art', 'my heart')).toBe(false);
  expect(found('art', 'modern ART!')).toBe(true);
  expect(found('art', '#art')).toBe(true);
});

test.each([
  ['flood', "flood's", false], // one word by UAX #29
  ['flood', 'flood.', true],
  ['flood', 'FLOOD', true],
  ['flood', 'floods', false],
  ['flood', 'flash-flood', true],
  ['flood', 'flash_flood', false], // an underscore joins
  ['flood', '洪水flood洪水', true],
  ['don', "don't", false],
  ["don't", 'Don’t', true],
  ['3', '3.5', false],
  ['3.5', 'M 3.5!', true],
  ['café', 'cafe', false],
  ['cafe', 'cafe\u0301', false],
  ['café', 'CAFE\u0301', true],
  ['istanbul', 'İSTANBUL', true],
  ['kırmızı', 'KIRMIZI', true],
  ['strasse', 'Straße', true],
  ['"flash flood"', 'Flash — flood', true],
  ['"flash flood"', 'flash\n#flood', true],
  ['"flash flood"', 'flash the flood', false],
  ['"flash flood"', 'flashflood', false],
  ['covid-19', 'COVID 19', true],
  ['covid-19', 'covid-199', false],
  ['地震', '昨日の地震で', true],
  ['コロナ', '新型コロナウイルス', true],
  ['지진', '지진이 났다', true],
  ['น้ำท่วม', 'สถานการณ์น้ำท่วมวันนี้', true],
  ['น', 'น้ำ', false], // a letter without its marks
  ['🔥', 'help🔥🔥now', true],
  ['👩', '👩\u200D👧', false],
  ['👍', '👍🏽', false],
  ['❤️', '❤', true],
  ['🇹🇷', '🇺🇸🇹🇷', true],
  ['🇸🇹', '🇺🇸🇹🇷', false],
  ['صه"ل', 'x', false],
  ['צה"ל', 'דובר צה״ל:', true],
  ['#flood', 'a #Flood.', true],
  ['#flood', 'a #floods', false],
  ['#flood', 'flood', false],
  ['#flood', 'x&#flood', false],
  ['#flood', 'https://example.com/#flood', false],
  ['#洪水', '大＃洪水', false],
  ['#洪水', '大 ＃洪水', true],
])('term %s in text %s: %s', (term, text, expected) => {
  expect(found(term, text)).toBe(expected);
});

test('peers g1 5: the terms that matched are told, not all of the rule', () => {
  expect(matched({ any: ['Flood', 'fire', '#Rain'], all: ['boulder'] }, 'FLOOD in #rain, Boulder')).toEqual(['Flood', '#Rain', 'boulder']);
});

test('peers g1 4: quoted texts, hashtags, addresses are looked into as well', () => {
  const rule = { any: ['flood', '#flood'] };
  expect(matched(rule, { texts: ['look at this', 'the flood is here'] })).toEqual(['flood']);
  expect(matched(rule, { texts: [''], hashtags: ['Flood'] })).toEqual(['flood', '#flood']);
  expect(matched(rule, { texts: [''], urls: ['https://news.example.org/2013/boulder_flood.html'] })).toEqual(['flood']);
  expect(matched({ any: ['地震'] }, { texts: [''], urls: ['https://example.jp/%E5%9C%B0%E9%9C%87'] })).toEqual(['地震']);
  expect(matched(rule, { texts: [''], urls: ['https://example.jp/%E5%9/flood'] })).toEqual(['flood']);
});

test('a phrase does not reach from one text into the next', () => {
  expect(matched({ any: ['"flash flood"'] }, { texts: ['a flash', 'flood'] })).toBeUndefined();
});

test('peers g2 4: a keyword is looked for in what people wrote, not in the JSON around it', () => {
  const matcher = compileRules([{ id: 'e', rule: { any: ['text', 'id', 'user'] } }]);
  expect(matcher.match({ texts: ['hello'] })).toEqual([]);
});

test('all, none, accounts, languages and places narrow or widen as the rule says', () => {
  expect(matched({ all: ['a1', 'b2'] }, 'b2 a1')).toEqual(['a1', 'b2']);
  expect(matched({ all: ['a1', 'b2'] }, 'b2')).toBeUndefined();
  expect(matched({ any: ['a1'], none: ['"b2 c3"'] }, 'a1 b2, c3')).toBeUndefined();
  const by = (handle: string): MatchablePost => ({ texts: ['x'], authorHandle: handle, authorId: '42' });
  expect(matched({ any: ['a1'], accounts: ['@NWSBoulder'] }, by('nwsboulder'))).toEqual(['@NWSBoulder']);
  expect(matched({ accounts: ['42'] }, by('z'))).toEqual(['42']);
  expect(matched({ accounts: ['43'] }, by('z'))).toBeUndefined();
  expect(matched({ any: ['a1'], languages: ['pt'] }, { texts: ['a1'], languages: ['pt-BR'] })).toEqual(['a1']);
  expect(matched({ any: ['a1'], languages: ['pt-BR'] }, { texts: ['a1'], languages: ['pt'] })).toBeUndefined();
  expect(matched({ any: ['a1'], languages: ['pt'] }, 'a1')).toBeUndefined();
  const at = (place: NonNullable<MatchablePost['place']>): MatchablePost => ({ texts: ['a1'], place });
  expect(matched({ any: ['a1'], places: ['TR'] }, at({ country: 'TR' }))).toEqual(['a1']);
  expect(matched({ any: ['a1'], places: ['Los Angeles'] }, at({ name: 'East Los Angeles, CA' }))).toEqual(['a1']);
  expect(matched({ any: ['a1'], places: ['-119,33,-117,35'] }, at({ longitude: -118.2, latitude: 34 }))).toEqual(['a1']);
  expect(matched({ any: ['a1'], places: ['-119,33,-117,35'] }, at({ longitude: 118.2, latitude: 34 }))).toBeUndefined();
  expect(matched({ any: ['a1'], places: ['TR'] }, 'a1')).toBeUndefined();
});

test('a network that decides itself is told the terms, whatever the rest of the rule says', () => {
  const matcher = compileRules([{ id: 'e', rule: { any: ['flood'], none: ['car'] } }]);
  expect(matcher.matchedTerms('e', { texts: ['flood of cars, one car'] })).toEqual(['flood']);
  expect(matcher.matchedTerms('unknown', { texts: ['flood'] })).toEqual([]);
});

test.each([
  [{ any: [' '] }, 'a term is empty'],
  [{ any: ['flash flood'] }, 'more than one word'],
  [{ any: ['"flash flood'] }, 'do not pair'],
  [{ any: ['!!!'] }, 'no letter'],
  [{ any: ['C++'] }, 'without its +'],
  [{ any: ['$5'] }, 'without its $'],
  [{ any: ['#123'] }, 'not a hashtag'],
  [{ any: ['#two-words'] }, 'not a hashtag'],
  [{ any: ['@nws'] }, 'is an account'],
  [{ any: ['-fire'] }, 'minus'],
  [{ any: ['lang:en'] }, 'operator of X'],
  [{ any: ['a\u0000b'] }, 'control character'],
  [{ any: ['x'.repeat(201)] }, 'longer than 200'],
  [{ any: ['flood'], none: ['Flood'] }, 'both looked for and left out'],
  [{ accounts: ['two words'] }, 'not an account'],
  [{ languages: ['english!'] }, 'not a language'],
  [{ places: ['1,2,3'] }, 'not a box'],
  [{ places: ['10,0,-10,5'] }, 'not a box'],
  [{ places: ['???'] }, 'not a place'],
])('rule %j is refused with a sentence and a hint', (rule, sentence) => {
  let caught: unknown;
  try {
    compileRules([{ id: 'e', rule }]);
  } catch (error) {
    caught = error;
  }
  if (!isWatershedError(caught, 'bad_request')) throw new Error(`not refused: ${String(caught)}`);
  expect(caught.message).toContain(sentence);
  expect(caught.hint).toBeTruthy();
});

// The oracle: the definition written out naively, with the runtime's segmenter for boundaries and expressions for the rest.
const segmenter = new Intl.Segmenter('en', { granularity: 'word' });
const marks = /^[\p{M}\p{Emoji_Modifier}\u200D]/u;
const free = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}ー\p{Script=Hangul}\p{Script=Thai}]\p{M}*$/u;
const wordCharacter = /^[\p{L}\p{N}\p{Pc}\p{Extended_Pictographic}\p{Regional_Indicator}]/u;
const plain = (text: string): string =>
  text.normalize('NFC').replace(/\u00AD|\uFE0F/g, '').replace(/İ/g, 'i').toLowerCase().replaceAll('ß', 'ss').replace(/ı/g, 'i')
    .replace(/’/g, "'").replace(/״/g, '"');

function naive(term: string, given: string): boolean {
  const text = plain(given);
  // The runtime counts Thai, and UAX #29 Korean, among the letters that a point can join: it is shown ideographs instead.
  const shown = text.replace(/[\p{Script=Thai}\p{Script=Hangul}]/gu, (letter) => (/\p{M}/u.test(letter) ? letter : '京'));
  const cuts = new Set([0, text.length, ...[...segmenter.segment(shown)].map(({ index }) => index)]);
  const edge = (at: number): boolean => {
    if (at === 0 || at === text.length) return true;
    const rest = text.slice(at);
    if (marks.test(rest) || /^[\uDC00-\uDFFF]/.test(rest)) return false;
    const next = String.fromCodePoint(text.codePointAt(at) ?? 0);
    return free.test(text.slice(0, at)) || free.test(next) || cuts.has(at);
  };
  const isGap = (at: number): boolean => {
    const rest = text.slice(at);
    if (marks.test(rest)) return at === 0 || isGap(at - 1);
    if (/^[\uDC00-\uDFFF]/.test(rest) || wordCharacter.test(rest)) return false;
    return cuts.has(at) || cuts.has(at + 1);
  };
  const follow = (at: number, words: readonly string[]): boolean => {
    const [word = '', ...others] = words;
    if (!text.startsWith(word, at)) return false;
    let end = at + word.length;
    if (others.length === 0) return edge(end);
    const begin = end;
    while (end < text.length && isGap(end)) end++;
    return end > begin && follow(end, others);
  };
  const words = plain(term.replace(/^"|"$/g, '')).split(/[ -]+/);
  return Array.from({ length: text.length }, (_, at) => at).some((at) => edge(at) && follow(at, words));
}

const pieces = ['flash', 'Flood', 'art', 'he', 'é', 'e\u0301', 'ß', 'SS', 'İ', 'ı', 'I', "'", '’', '.', ',', ':', '_', '-', ' ', '  ', '\n', '#',
  '東', '京', 'の', 'น้ำ', 'ไฟ', 'น', '한', '국', 'カ', 'ー', '🔥', '👍', '🏽', '\u200D', '❤', '\uFE0F', '\u00AD', '🇹🇷', '🇺🇸', '3', '٣', 'צ', 'ה', '״', '…', '!', '&'];
const texts = fc.array(fc.constantFrom(...pieces), { maxLength: 10 }).map((parts) => parts.join(''));
const words = fc.array(fc.constantFrom('flash', 'flood', 'art', 'é', 'ss', 'i', '東', '京の', 'น้ำ', 'ไฟ', '한', 'カー', '🔥', '👍', '👍🏽', '❤', '🇹🇷', '3',
  'צה', 'flash_flood', "he'art", '3.3', 'flood.art'), { minLength: 1, maxLength: 3 }).map((parts) => `"${parts.join(' ')}"`);

test('finds what a naive reading of the definition finds, and nothing else', () => {
  let hits = 0;
  fc.assert(fc.property(texts, fc.array(words, { minLength: 1, maxLength: 6 }), (text, terms) => {
    // A mark at the very beginning or after an invisible character has nothing to stand on: folding drops some of those.
    fc.pre(!/^\p{M}|\u200D/u.test(text) || !/\u200D/u.test(text));
    const rule = { any: [...new Set(terms)] };
    const expected = rule.any.filter((term) => naive(term, text));
    hits += expected.length;
    expect(matched(rule, text) ?? []).toEqual(expected);
  }), { numRuns: 6000 });
  expect(hits).toBeGreaterThan(100);
});

test('the quick look at JSON never says no to a post that matches', () => {
  const escaped = fc.constantFrom((text: string) => text, (text: string) => text.replace(/[^\x20-\x7e]/g, (unit) =>
    `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`));
  let quickNos = 0;
  fc.assert(fc.property(texts, fc.array(fc.oneof(words, fc.constantFrom('#flash', '#東', '#flood')), { minLength: 1, maxLength: 3 }), escaped,
    fc.boolean(), (text, terms, escape, asUrl) => {
      const matcher = compileRules([{ id: 'e', rule: { any: terms } }]);
      const url = `https://example.org/${asUrl ? encodeURIComponent(text.toWellFormed()) : ''}`;
      const json = `{"did":"did:plc:x","record":{"text":${escape(JSON.stringify(asUrl ? '' : text))},"uri":${JSON.stringify(url)}}}`;
      const may = matcher.mayMatch(json, 'did:plc:x');
      if (!may) quickNos++;
      const matches = matcher.match({ texts: [asUrl ? '' : text], urls: [url] });
      expect(may || matches.length === 0).toBe(true);
    }), { numRuns: 3000 });
  expect(quickNos).toBeGreaterThan(500);
});

test.each(['risk 50%2\nflood now', '80%2地震', '100%flood', '50%2flood', '%20flood', '%zzflood', '%2🌊flood', '%2'])(
  'the quick look: a percent sign that begins no escape takes nothing away of what follows (%j)', (text) => {
    const matcher = compileRules([{ id: 'e', rule: { any: ['flood', '地震'] } }]);
    for (const post of [{ texts: [text] }, { texts: [''], urls: [`https://example.org/${text}`] }]) {
      expect(matcher.mayMatch(JSON.stringify(post), undefined) || matcher.match(post).length === 0).toBe(true);
    }
  });

test('the quick look lets through what is followed for its author, or in every language', () => {
  const byAuthor = compileRules([{ id: 'e', rule: { accounts: ['did:plc:abc'] } }]);
  expect(byAuthor.mayMatch('{}', 'did:plc:abc')).toBe(true);
  expect(byAuthor.mayMatch('{}', 'did:plc:abd')).toBe(false);
  expect(compileRules([{ id: 'e', rule: { languages: ['tr'] } }]).mayMatch('{}', undefined)).toBe(true);
  expect(compileRules([]).mayMatch('{"text":"flood"}', undefined)).toBe(false);
});

test('rules of many events together find what each finds alone', () => {
  const terms = fc.constantFrom('flash', 'flood', 'art', '"flash flood"', '#flood', '🔥', '東京', 'น้ำ');
  const rules: fc.Arbitrary<Required<Omit<Rule, 'places'>>> = fc.record({ any: fc.array(terms, { maxLength: 3 }), all: fc.array(terms, { maxLength: 2 }), accounts: fc.constantFrom<string[]>([], ['nws'], ['usgs']),
    languages: fc.constantFrom<string[]>([], ['en'], ['en', 'tr']), none: fc.constantFrom<string[]>([], ['he']) });
  const posts = fc.record({ texts: fc.array(texts, { maxLength: 2 }), authorHandle: fc.constantFrom('NWS', 'x'), languages: fc.constantFrom<string[]>(['en'], []) });
  fc.assert(fc.property(fc.array(rules, { maxLength: 5 }), posts, (given, post) => {
    const events = given.map((rule, index) => ({ id: `e${index}`, rule }));
    const alone = events.flatMap((event) => compileRules([event]).match(post));
    expect(compileRules(events).match(post)).toEqual(alone);
    // A rule is an and of its parts: checked here part by part.
    const has = (term: string): boolean => compileRules([{ id: 't', rule: { any: [term] } }]).match(post).length > 0;
    for (const { id, rule } of events) {
      const subject = rule.any.length + rule.accounts.length === 0 || rule.any.some(has) || rule.accounts.includes(post.authorHandle.toLowerCase());
      const expected = subject && rule.all.every(has) && !rule.none.some(has)
        && (rule.languages.length === 0 || rule.languages.some((language) => post.languages.includes(language)));
      expect(alone.some((match) => match.id === id)).toBe(expected);
    }
  }), { numRuns: 300 });
});

test('one hostile text costs no more than its length', () => {
  const matcher = compileRules([{ id: 'e', rule: { any: ['あ'.repeat(60), `"${'a '.repeat(80)}b"`] } }]);
  const before = performance.now();
  matcher.match({ texts: ['あ'.repeat(10_000), 'a '.repeat(10_000), 'a\u0301'.repeat(10_000), '\u0301'.repeat(10_000), "a'".repeat(10_000)] });
  expect(performance.now() - before).toBeLessThan(30_000);
});
