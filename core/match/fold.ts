import { isFree, wordClass, wordClasses } from './wordbreak.ts';

/**
 * The form in which text and terms are compared: canonical composition (NFC), Unicode's full case folding, and without
 * what cannot be seen (soft hyphens, direction marks, selectors). Accents stay: "cafe" is not "café", as on X.
 *
 * Two liberties beside Unicode's folding, both because a text does not tell its language: the four Turkish i's are one
 * (else "İSTANBUL" were never "istanbul"), and typographic apostrophes and Hebrew marks are their ASCII likes.
 */
export function fold(text: string): string {
  let folded = text.normalize('NFC');
  if (invisible.test(folded)) folded = dropInvisible(folded);
  // Twice, because some capitals lead to a letter that still has another capital: ẞ to ß to SS to ss.
  folded = folded.toLowerCase().toUpperCase().toLowerCase();
  if (special.test(folded)) folded = folded.replace(allSpecial, (found) => specials.get(found) ?? found);
  return folded.normalize('NFC');
}

const specials: ReadonlyMap<string, string> = new Map([
  ['i\u0307', 'i'], // what İ becomes
  ['ı', 'i'],
  ['ς', 'σ'],
  ['\u2018', "'"],
  ['\u2019', "'"],
  ['\u05F3', "'"], // geresh
  ['\u05F4', '"'], // gershayim
]);
const special = /i\u0307|[ıς\u2018\u2019\u05F3\u05F4]/;
const allSpecial = new RegExp(special.source, 'g');

// ZWSP parts words except in scripts without spaces; ZWJ means something only within emoji.
const invisible = /[\p{Default_Ignorable_Code_Point}]/u;
function dropInvisible(text: string): string {
  return text
    .replace(/\u200D(?!\p{Extended_Pictographic})|(?<!\p{Extended_Pictographic}[\p{Emoji_Modifier}\uFE0F]?)\u200D/gu, '')
    .replace(/\u200B/g, (space, at: number, whole: string) => (parts(whole, at) ? space : ''))
    .replace(/(?![\u200B\u200D])\p{Default_Ignorable_Code_Point}/gu, '');
}

function parts(text: string, at: number): boolean {
  return !isFree(wordClasses[text.charCodeAt(at - 1)] ?? 0) || !isFree(wordClasses[text.charCodeAt(at + 1)] ?? 0);
}

/** Marks a code unit that `fold` does not treat as a single letter: a text that holds one is folded as a whole. */
export const needsFolding = 0xffff;

// Emoji, mathematical letters and ideographs fold to themselves. The other planes hold rare scripts with capitals,
// combining marks and ignorable tags: texts with those are folded whole.
function isPlainHighSurrogate(unit: number): boolean {
  return (unit >= 0xd83c && unit <= 0xd83e) || unit === 0xd835 || (unit >= 0xd840 && unit <= 0xd87d);
}

/** The folded form of each code unit, or `needsFolding`. Surrogates of plain planes stand for themselves. */
export const foldedUnits: Uint16Array = foldUnits();

function foldUnits(): Uint16Array {
  const units = new Uint16Array(0x10000);
  for (let unit = 0; unit < 0x10000; unit++) {
    if (unit >= 0xd800 && unit <= 0xdfff) {
      units[unit] = unit >= 0xdc00 || isPlainHighSurrogate(unit) ? unit : needsFolding;
      continue;
    }
    const value = wordClasses[unit] ?? 0;
    const composes = value === wordClass.extend || value === wordClass.zeroWidthJoiner || value === wordClass.format;
    if (composes || unit === 0x200b || (unit >= 0x1100 && unit <= 0x11ff)) {
      units[unit] = needsFolding;
    } else {
      const folded = unit < 0x80 ? String.fromCharCode(unit).toLowerCase() : fold(String.fromCharCode(unit));
      units[unit] = folded.length === 1 ? folded.charCodeAt(0) : needsFolding;
    }
  }
  // İ may stand before a dot above, and the Hebrew marks become characters that join words by other rules.
  for (const unit of [0x130, 0x5f3, 0x5f4]) units[unit] = needsFolding;
  return units;
}

/** True where code units cannot be folded one by one: combining marks, ß, invisible characters, rare capitals. */
export function mustFold(text: string): boolean {
  for (let at = 0; at < text.length; at++) {
    if (foldedUnits[text.charCodeAt(at)] === needsFolding) return true;
  }
  return false;
}
