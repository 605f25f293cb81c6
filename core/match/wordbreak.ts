/**
 * Word boundaries by UAX #29 (Unicode Text Segmentation, §4), decided locally: only the neighbours of one position are
 * looked at. The runtime's own segmenter takes 10 to 50 µs a text, the whole budget of a post, and it cuts Thai and
 * Japanese by dictionaries that change with its version.
 *
 * Word_Break is not a property that regular expressions know, so the classes are derived from those they do know, by
 * the definitions of UAX #29 table 3.
 */
export const wordClass = {
  other: 0,
  letter: 1, // ALetter
  hangul: 2, // ALetter too; apart because Korean particles follow a word without a space
  hebrew: 3,
  numeric: 4,
  katakana: 5,
  joiner: 6, // ExtendNumLet: _ and its like
  free: 7, // other scripts written without spaces: Han, Hiragana, Thai, Lao, Khmer, Burmese
  pictographic: 8,
  regional: 9, // two of them are a flag
  midLetter: 10,
  midNumber: 11,
  midBoth: 12, // MidNumLet
  singleQuote: 13,
  doubleQuote: 14,
  extend: 15,
  format: 16,
  zeroWidthJoiner: 17,
  space: 18, // WSegSpace
  carriageReturn: 19,
  lineFeed: 20,
  newline: 21,
  otherWord: 22, // letters and numbers that UAX #29 leaves in Other: ½, ①, ²
} as const;
const c = wordClass;

// Later lines win over earlier ones.
const definitions: readonly (readonly [number, RegExp])[] = [
  [c.otherWord, /[\p{L}\p{N}\p{M}]+/gu],
  [c.letter, /\p{Alphabetic}+/gu],
  [c.letter, /[\u02C2-\u02C5\u02D2-\u02D7\u02DE\u02DF\u02E5-\u02EB\u02ED\u02EF-\u02FF\u055A-\u055C\u055E\u058A]+/gu],
  [c.letter, /[\u05F3\u070F\uA708-\uA716\uA720\uA721\uA789\uA78A\uAB5B]+/gu],
  [c.free, /[\p{Ideographic}\p{Script=Hiragana}]+/gu],
  [c.free, /[\p{Script=Thai}\p{Script=Lao}\p{Script=Myanmar}\p{Script=Khmer}\p{Script=Tai_Le}]+/gu],
  [c.free, /[\p{Script=New_Tai_Lue}\p{Script=Tai_Tham}\p{Script=Tai_Viet}\p{Script=Ahom}]+/gu],
  [c.hangul, /\p{Script=Hangul}+/gu],
  [c.katakana, /[\p{Script=Katakana}\u3031-\u3035\u309B\u309C\u30A0\u30FC\uFF70]+/gu],
  [c.hebrew, /(?=\p{Script=Hebrew})\p{Lo}/gu],
  [c.numeric, /[\p{Nd}\u066B]+/gu],
  [c.pictographic, /\p{Extended_Pictographic}+/gu],
  [c.regional, /\p{Regional_Indicator}+/gu],
  [c.joiner, /[\p{Pc}\u202F]+/gu],
  [c.midLetter, /[:\u00B7\u0387\u055F\u05F4\u2027\uFE13\uFE55\uFF1A]+/gu],
  [c.midNumber, /[,;\u037E\u0589\u060C\u060D\u066C\u07F8\u2044\uFE10\uFE14\uFE50\uFE54\uFF0C\uFF1B]+/gu],
  [c.midBoth, /[.\u2018\u2019\u2024\uFE52\uFF07\uFF0E]+/gu],
  [c.singleQuote, /'/gu],
  [c.doubleQuote, /"/gu],
  [c.format, /\p{Cf}+/gu],
  [c.numeric, /[\u0600-\u0605\u06DD\u0890\u0891\u08E2\u{110BD}\u{110CD}]+/gu],
  [c.extend, /[\p{Grapheme_Extend}\p{Mc}\p{Emoji_Modifier}]+/gu],
  [c.zeroWidthJoiner, /\u200D/gu],
  [c.other, /\u200B/gu],
  [c.space, /[ \u1680\u2000-\u2006\u2008-\u200A\u205F\u3000]+/gu],
  [c.newline, /[\v\f\u0085\u2028\u2029]+/gu],
  [c.carriageReturn, /\r/gu],
  [c.lineFeed, /\n/gu],
];

/** The class of every code point. About 1 MB, made once when the module is loaded (40 ms). */
export const wordClasses: Uint8Array = classify();

function classify(): Uint8Array {
  const classes = new Uint8Array(0x110000);
  classes.fill(c.free, 0x20000, 0x3fffe); // planes 2 and 3 are kept for ideographs
  // Planes 4 to 13 are unassigned, 15 and 16 private: all Other.
  for (const [first, last] of [[0, 0xd7ff], [0xe000, 0xffff], [0x10000, 0x1ffff], [0xe0000, 0xe0fff]] as const) {
    const unitsEach = first >= 0x10000 ? 2 : 1;
    const units = new Uint16Array((last - first + 1) * unitsEach);
    for (let point = first, at = 0; point <= last; point++) {
      if (unitsEach === 2) units[at++] = 0xd800 + ((point - 0x10000) >> 10);
      units[at++] = unitsEach === 2 ? 0xdc00 + (point & 0x3ff) : point;
    }
    const text = Buffer.from(units.buffer).toString('utf16le');
    for (const [value, pattern] of definitions) {
      pattern.lastIndex = 0;
      for (let found = pattern.exec(text); found !== null; found = pattern.exec(text)) {
        classes.fill(value, first + found.index / unitsEach, first + pattern.lastIndex / unitsEach);
      }
    }
  }
  return classes;
}

/** True for scripts whose words are not parted by spaces: there, a term may stand anywhere. */
export function isFree(value: number): boolean {
  return value === c.free || value === c.katakana || value === c.hangul;
}

function isIgnored(value: number): boolean {
  return value >= c.extend && value <= c.zeroWidthJoiner;
}

function isNewline(value: number): boolean {
  return value >= c.carriageReturn && value <= c.newline;
}

function isLetter(value: number): boolean {
  return value >= c.letter && value <= c.hebrew;
}

function isMidOfLetters(value: number): boolean {
  return value === c.midLetter || value === c.midBoth || value === c.singleQuote;
}

function isMidOfNumbers(value: number): boolean {
  return value === c.midNumber || value === c.midBoth || value === c.singleQuote;
}

function classAt(text: string, at: number): number {
  return wordClasses[text.codePointAt(at) ?? 0] ?? 0;
}

function stepBack(text: string, at: number): number {
  if (at < 2) return at - 1;
  const low = text.charCodeAt(at - 1);
  if (low < 0xdc00 || low > 0xdfff) return at - 1;
  const high = text.charCodeAt(at - 2);
  return high >= 0xd800 && high <= 0xdbff ? at - 2 : at - 1;
}

/** Where the nearest character before `at` that is not ignored (WB4) begins, or -1 when a line begins first. */
function baseBefore(text: string, at: number): number {
  for (let index = stepBack(text, at); index >= 0; index = stepBack(text, index)) {
    const value = classAt(text, index);
    if (isNewline(value)) return -1;
    if (!isIgnored(value)) return index;
  }
  return -1;
}

function classAfter(text: string, at: number): number {
  let index = at + ((text.codePointAt(at) ?? 0) > 0xffff ? 2 : 1);
  while (index < text.length) {
    const value = classAt(text, index);
    if (!isIgnored(value)) return value;
    index += (text.codePointAt(index) ?? 0) > 0xffff ? 2 : 1;
  }
  return c.other;
}

/** True where UAX #29 puts a word boundary before code unit `at` of the text. Never within a surrogate pair. */
export function isWordBoundary(text: string, at: number): boolean {
  return boundary(text, at, isLetter);
}

/**
 * The same, but Korean is no letter that a point could join ("flash.한국" holds "flash"), and an apostrophe after a
 * Hebrew word ends it as it ends all others (without WB7a), so that both apostrophes are alike.
 */
export function isTermBoundary(text: string, at: number): boolean {
  return boundary(text, at, isLetterOfTerm);
}

function isLetterOfTerm(value: number): boolean {
  return value === c.letter || value === c.hebrew;
}

type LetterTest = (value: number) => boolean;

function boundary(text: string, at: number, letterTest: LetterTest): boolean {
  if (at <= 0 || at >= text.length) return text.length > 0; // WB1, WB2
  if (splitsPair(text, at)) return false;
  const next = classAt(text, at);
  const previous = classAt(text, stepBack(text, at));
  if (previous === c.carriageReturn && next === c.lineFeed) return false; // WB3
  if (isNewline(previous) || isNewline(next)) return true; // WB3a, WB3b
  if (previous === c.zeroWidthJoiner && next === c.pictographic) return false; // WB3c
  if (previous === c.space && next === c.space) return false; // WB3d
  if (isIgnored(next)) return false; // WB4
  const baseAt = isIgnored(previous) ? baseBefore(text, at) : stepBack(text, at);
  if (baseAt < 0) return true;
  return boundaryBetween(text, baseAt, at, classAt(text, baseAt), next, letterTest);
}

function splitsPair(text: string, at: number): boolean {
  const low = text.charCodeAt(at);
  if (low < 0xdc00 || low > 0xdfff) return false;
  const high = text.charCodeAt(at - 1);
  return high >= 0xd800 && high <= 0xdbff;
}

// WB5 to WB16, on the characters that WB4 leaves.
function boundaryBetween(
  text: string, baseAt: number, at: number, base: number, next: number, isLetter: LetterTest,
): boolean {
  if (isLetter(base)) {
    if (isLetter(next) || next === c.numeric || next === c.joiner) return false; // WB5, WB9, WB13a
    if (isMidOfLetters(next) && isLetter(classAfter(text, at))) return false; // WB6
    if (base === c.hebrew && next === c.singleQuote && isLetter !== isLetterOfTerm) return false; // WB7a
    return !(base === c.hebrew && next === c.doubleQuote && classAfter(text, at) === c.hebrew); // WB7b
  }
  if (base === c.numeric) {
    if (next === c.numeric || isLetter(next) || next === c.joiner) return false; // WB8, WB10, WB13a
    return !(isMidOfNumbers(next) && classAfter(text, at) === c.numeric); // WB12
  }
  if (base === c.katakana) return !(next === c.katakana || next === c.joiner); // WB13, WB13a
  if (base === c.joiner) { // WB13a, WB13b
    return !(isLetter(next) || next === c.numeric || next === c.katakana || next === c.joiner);
  }
  if (base === c.regional && next === c.regional) return regionalsBefore(text, at) % 2 === 0; // WB15, WB16
  if (isLetter(next) || next === c.numeric) {
    const before = baseBefore(text, baseAt);
    if (before < 0) return true;
    const first = classAt(text, before);
    if (isMidOfLetters(base) && isLetter(first) && isLetter(next)) return false; // WB7
    if (base === c.doubleQuote && first === c.hebrew && next === c.hebrew) return false; // WB7c
    if (isMidOfNumbers(base) && first === c.numeric && next === c.numeric) return false; // WB11
  }
  return true; // WB999
}

function regionalsBefore(text: string, at: number): number {
  let count = 0;
  let index = baseBefore(text, at);
  while (index >= 0 && classAt(text, index) === c.regional) {
    count++;
    index = baseBefore(text, index);
  }
  return count;
}

/**
 * True where a term may begin or end: at every word boundary, and anywhere among scripts without spaces, but never
 * between a character and what modifies it.
 */
export function isEdge(text: string, at: number): boolean {
  if (at <= 0 || at >= text.length) return true;
  const unit = text.charCodeAt(at);
  const before = text.charCodeAt(at - 1);
  const next = wordClasses[unit] ?? 0;
  const previous = wordClasses[before] ?? 0;
  if (unit < 0xd800 && before < 0xd800) {
    // Nearly every question is one of these three, answered without looking further.
    if (isWordUnit(previous) && isWordUnit(next)) return false;
    if (isIgnored(next)) return false;
    if (isFree(previous) || isFree(next)) return previous !== c.zeroWidthJoiner || next !== c.pictographic;
  } else {
    if (splitsPair(text, at) || isIgnored(classAt(text, at))) return false;
    if (isFree(classAt(text, at)) || isFree(classAt(text, stepBack(text, at)))) return true;
  }
  if (isIgnored(previous)) {
    const base = baseBefore(text, at);
    if (base >= 0 && isFree(classAt(text, base)) && previous !== c.zeroWidthJoiner) return true;
  }
  return isTermBoundary(text, at);
}

function isWordUnit(value: number): boolean {
  return value === c.letter || value === c.numeric || value === c.joiner || value === c.hebrew;
}
