import { hashRange, linkToken, userToken } from './text.ts';

/**
 * The n-grams of a word by which the information type is told, beside the word itself and its pairs: runs of 2 to 5
 * characters of the word between two spaces. All are known by a 32-bit hash.
 */
const gramMin = 2;
const gramMax = 5;
/** Longer words are links without scheme or keyboard noise: their beginning says enough. */
const wordCharsMax = 40;

/** Hashes of the character n-grams of a word; none for masks and punctuation. Digits count as 0. */
export function gramsOf(word: string): number[] {
  if (isMark(word)) return [];
  const padded = ` ${shapeOf(word).slice(0, wordCharsMax)} `;
  const hashes: number[] = [];
  for (let length = gramMin; length <= gramMax; length++) {
    for (let at = 0; at + length <= padded.length; at++) hashes.push(hashRange(padded, at, at + length, 1));
  }
  return hashes;
}

/** A word with its digits made 0, so that numbers of one form are one feature. */
export function shapeOf(word: string): string {
  return word.replace(/\d/g, '0');
}

/** Tokens that are no word: masks and punctuation. */
export function isMark(token: string): boolean {
  return token === linkToken || token === userToken || token === '!' || token === '?';
}

/**
 * How much more often a word stands in an event's posts than in posts in general, as a logarithm: what makes it one of
 * the event's own words. The general share counts as `keynessPriorPosts` posts of the event.
 */
export function keyness(count: number, posts: number, generalShare: number): number {
  return Math.log((count + keynessPriorPosts * generalShare) / (posts + keynessPriorPosts) / generalShare);
}
const keynessPriorPosts = 10;
