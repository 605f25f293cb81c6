import { readFileSync } from 'node:fs';
import { load } from 'js-yaml';
import { extractHashtags, isHashtag } from './hashtag.ts';

interface Case { description: string; text: string; expected: (string | { hashtag: string })[] }
// The file is X's own, of this shape throughout.
const { tests } = load(readFileSync(new URL('../../test/vectors/twitter-text/extract.yml', import.meta.url), 'utf8')) as {
  tests: Record<'hashtags' | 'hashtags_from_astral' | 'hashtags_with_indices', Case[]>;
};

test.each([...tests.hashtags, ...tests.hashtags_from_astral, ...tests.hashtags_with_indices])(
  'twitter-text: $description: $text', ({ text, expected }) => {
    expect(extractHashtags(text)).toEqual(expected.map((one) => typeof one === 'string' ? one : one.hashtag));
  });

test("all of X's cases are there", () => {
  expect(tests.hashtags.length + tests.hashtags_from_astral.length + tests.hashtags_with_indices.length).toBe(76);
});

test('a number alone is no hashtag', () => {
  expect(isHashtag('2016')).toBe(false);
  expect(isHashtag('2016flood')).toBe(true);
  expect(isHashtag('two words')).toBe(false);
});
