/**
 * What X calls a hashtag, by the rules of its twitter-text library (conformance/extract.yml): a sign, then letters of
 * any script, marks, digits, underscores and a few joining signs, at least one of them a letter; not after a letter, a
 * digit or `&`; not before another sign or `://`; not within an address.
 */
const joining = '_\\u200c\\u200d\\ua67e\\u05be\\u05f3\\u05f4\\uff5e\\u301c\\u309b\\u309c\\u30a0\\u30fb\\u3003'
  + '\\u0f0b\\u0f0c\\u00b7';
const letter = '\\p{L}\\p{M}';
const part = `[${letter}\\p{Nd}${joining}]`;
const hashtagPattern = new RegExp(
  `(?<=^|\\uFE0E|\\uFE0F|(?!${part}|&)[^])[#＃](?!\\uFE0F|\\u20E3)(${part}*[${letter}]${part}*)(?![#＃]|:\\/\\/)`, 'gu');
const wholeHashtag = new RegExp(`^${part}*[${letter}]${part}*$`, 'u');
const address = /(?:https?:\/\/|[\p{L}\p{Nd}-]+\.[a-z]{2,}\/)[^\s\u3000]+/giu;

/** The hashtags in a text, without their sign, as written, in order. */
export function extractHashtags(text: string): string[] {
  if (!text.includes('#') && !text.includes('＃')) return [];
  const found: string[] = [];
  const cleaned = text.includes('/') ? text.replace(address, (url) => ' '.repeat(url.length)) : text;
  for (const match of cleaned.matchAll(hashtagPattern)) {
    // The pattern gives back characters until what follows fits; a hashtag ends where its characters end.
    const end = match.index + match[0].length;
    if (match[1] !== undefined && !continues.test(cleaned.slice(end, end + 2))) found.push(match[1]);
  }
  return found;
}

const continues = new RegExp(`^${part}`, 'u');

/** True where `name` (without the sign) is a hashtag as a whole. */
export function isHashtag(name: string): boolean {
  return wholeHashtag.test(name);
}
