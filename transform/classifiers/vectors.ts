import { createHashTable } from './hash-table.ts';
import { decodeModel } from './model-file.ts';
import { hashPrefixes, hashText } from './text.ts';

/** Static vectors of word pieces: looked up and added, no runtime needed. Made by transform/train/make_vectors.py. */
export interface WordVectors {
  readonly dimensions: number;
  readonly fingerprint: string;
  /** Adds the vectors of a word's pieces to `sum`. */
  add(word: string, sum: Float32Array): void;
}

/** A word is cut into the longest pieces from its beginning, as WordPiece does; the longest piece has 18 characters. */
const pieceCharsMax = 18;
/** Pieces that begin a word and pieces that go on are told apart by the seed of their hash. */
const beginSeed = 2;
const insideSeed = 3;

/** Reads a file of vectors. Throws `corrupt` or `unsupported` as `decodeModel` does. */
export function decodeVectors(bytes: Uint8Array, path: string): WordVectors {
  const file = decodeModel(bytes, 'vectors', path);
  const pieces = createHashTable(Uint32Array.from(file.text('pieces').split('\n'), (piece) =>
    (piece.startsWith('##') ? hashText(piece.slice(2), insideSeed) : hashText(piece, beginSeed))));
  const scales = file.f32('scales');
  const table = file.i8('vectors');
  const dimensions = table.length / scales.length;
  const prefixes = new Uint32Array(pieceCharsMax);
  return {
    dimensions,
    fingerprint: file.fingerprint,
    add(word, sum) {
      for (let begin = 0; begin < word.length;) {
        let length = hashPrefixes(word, begin, begin === 0 ? beginSeed : insideSeed, prefixes);
        let row = -1;
        for (; length > 0; length--) {
          row = pieces.indexOf(prefixes[length - 1] ?? 0);
          if (row !== -1) break;
        }
        if (row !== -1) addRow(table, row * dimensions, scales[row] ?? 0, sum);
        begin += Math.max(1, length);
      }
    },
  };
}

function addRow(table: Int8Array, from: number, scale: number, sum: Float32Array): void {
  for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0) + (table[from + index] ?? 0) * scale;
}
