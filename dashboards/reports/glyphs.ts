import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

/** Resvg leaves out all text without a word where it has no font; pdfmake brings these. */
export const fontFolder = join(createRequire(import.meta.url).resolve('pdfmake/package.json'), '..', 'fonts', 'Roboto');

const shown = coverage(readFileSync(join(fontFolder, 'Roboto-Regular.ttf')));
/** What stands for a character that the font does not have; Roboto has it. */
const standIn = '◊';
// No picture of their own: they change or join what stands beside them.
const unseen = /\p{Default_Ignorable_Code_Point}|\p{Mark}|\p{White_Space}|\p{Emoji_Modifier}/u;

const scripts = [
  ['Arabic', /\p{Script=Arabic}/u], ['Hebrew', /\p{Script=Hebrew}/u], ['Chinese', /\p{Script=Han}/u], ['Japanese', /\p{Script=Hiragana}|\p{Script=Katakana}/u],
  ['Korean', /\p{Script=Hangul}/u], ['Thai', /\p{Script=Thai}/u], ['Devanagari', /\p{Script=Devanagari}/u], ['emoji', /\p{Extended_Pictographic}|\p{Regional_Indicator}/u],
] as const;

/** The text with a lozenge for each character that drawings and PDFs have no picture of; a mark on one goes with it. */
export function drawable(text: string): string {
  return text.replaceAll(/\P{Mark}\p{Mark}*/gu, (cluster) => {
    const [first = ''] = cluster;
    if (isShown(first)) return cluster;
    return unseen.test(first) ? '' : standIn;
  });
}

/** The kinds of characters in these texts that cannot be drawn, in words: "Arabic", "emoji", "other characters". */
export function undrawable(texts: Iterable<string>): string[] {
  const found = new Set<string>();
  for (const text of texts) {
    for (const character of text) {
      if (isShown(character) || unseen.test(character)) continue;
      found.add(scripts.find(([, of]) => of.test(character))?.[0] ?? 'other characters');
    }
  }
  return [...found].toSorted();
}

function isShown(character: string): boolean {
  const code = character.codePointAt(0) ?? 0;
  return code < 0x20 || shown.has(code);
}

/**
 * The characters of the basic plane that a TrueType font has a picture of: subtable format 4 of its `cmap` (OpenType
 * 1.9, "cmap", platform 3, encoding 1), which every font for Windows has.
 */
function coverage(font: Buffer): ReadonlySet<number> {
  const tables = Array.from({ length: font.readUInt16BE(4) }, (_, index) => 12 + index * 16);
  const entry = tables.find((at) => font.toString('latin1', at, at + 4) === 'cmap');
  const cmap = font.readUInt32BE((entry ?? 0) + 8);
  const encodings = Array.from({ length: font.readUInt16BE(cmap + 2) }, (_, index) => cmap + 4 + index * 8);
  const unicode = encodings.find((at) => font.readUInt16BE(at) === 3 && font.readUInt16BE(at + 2) === 1);
  const table = cmap + font.readUInt32BE((unicode ?? 0) + 4);
  const segments = font.readUInt16BE(table + 6) / 2;
  const codes = new Set<number>();
  for (let index = 0; index < segments; index++) {
    const end = font.readUInt16BE(table + 14 + index * 2);
    const startAt = table + 16 + segments * 2 + index * 2;
    const offsetAt = startAt + segments * 4;
    const [start, delta] = [font.readUInt16BE(startAt), font.readUInt16BE(startAt + segments * 2)];
    const offset = font.readUInt16BE(offsetAt);
    for (let code = start; code <= end && code < 0xFFFF; code++) {
      const glyph = offset === 0 ? code + delta : font.readUInt16BE(offsetAt + offset + (code - start) * 2);
      if ((glyph & 0xFFFF) !== 0) codes.add(code);
    }
  }
  return codes;
}
