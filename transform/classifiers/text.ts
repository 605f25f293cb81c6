import { textCharsMax } from './classifier.ts';

/**
 * A text as the models see it: lower case without accents, links and user names masked, one token for each word,
 * hashtag (with its #), exclamation and question mark. Digits are kept.
 */
export function tokenise(text: string): string[] {
  let plain = text.length > textCharsMax ? text.slice(0, textCharsMax) : text;
  if (beyondAscii.test(plain)) plain = plain.normalize('NFKD').replace(accents, '').normalize('NFKC');
  const tokens: string[] = plain.toLowerCase().match(tokenPattern) ?? [];
  for (let index = 0; index < tokens.length; index++) {
    const token = tokens[index] ?? '';
    const first = token.charCodeAt(0);
    if (first === 64) tokens[index] = userToken;
    else if (first === 104 && linkPattern.test(token)) tokens[index] = linkToken;
  }
  return tokens;
}

export const linkToken = '<link>';
export const userToken = '<user>';

const beyondAscii = /[^\p{ASCII}]/u;
/** Combining marks of Latin, Greek and Cyrillic; vowel signs of Indic scripts are no accents and stay. */
const accents = /[\u0300-\u036f]/g;
const linkPattern = /^https?:/;
// A link cut short by the network's own shortening ("http:…") is still a link.
const tokenPattern = /https?:\S*|@\w+|#?[\p{L}\p{M}\p{N}]+(?:['’]\p{L}+)?|[!?]/gu;

/**
 * FNV-1a over UTF-16 units, 32 bits (signed, so that it is a small integer to the engine), finished by murmur3's mixer
 * so that the low bits may index a table.
 */
export function hashText(text: string, seed = 0): number {
  return hashRange(text, 0, text.length, seed);
}

/** Puts `hashText(text)` and an independent hash into `into`: 64 bits that tell texts apart. */
export function hashTwice(text: string, into: Int32Array): void {
  let first = 0x811c9dc5 | 0;
  let second = 0x2b7e1516;
  for (let index = 0; index < text.length; index++) {
    const unit = text.charCodeAt(index);
    first = Math.imul(first ^ unit, 0x01000193);
    second = Math.imul(second ^ unit, 0x5bd1e995);
    second ^= second >>> 15;
  }
  into[0] = mix(first);
  into[1] = second;
}

/** The hash of `text.slice(from, to)`, without making it. */
export function hashRange(text: string, from: number, to: number, seed: number): number {
  let hash = 0x811c9dc5 ^ seed;
  for (let index = from; index < to; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 0x01000193);
  return mix(hash);
}

/**
 * Puts the hashes of all beginnings of `text` from `from` on into `into`: of one character, of two, and so on; returns
 * their number.
 */
export function hashPrefixes(text: string, from: number, seed: number, into: Int32Array): number {
  const count = Math.min(into.length, text.length - from);
  let hash = 0x811c9dc5 ^ seed;
  for (let index = 0; index < count; index++) {
    hash = Math.imul(hash ^ text.charCodeAt(from + index), 0x01000193);
    into[index] = mix(hash);
  }
  return count;
}

/** The hash of two tokens that stand side by side. */
export function hashPair(first: number, second: number): number {
  return mix(Math.imul(first, 0x9e3779b1) ^ second);
}

function mix(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
