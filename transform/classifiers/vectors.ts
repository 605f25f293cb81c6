import { createHashTable } from './hash-table.ts';
import { decodeModel } from './model-file.ts';
import { hashPrefixes, hashText } from './text.ts';

/**
 * Static vectors of word pieces: looked up and added, no runtime needed. Made by transform/train/make_vectors.py. Their
 * components stand in the order of how much they vary.
 */
export interface WordVectors {
  readonly dimensions: number;
  readonly fingerprint: string;
  /** Adds the vectors of a word's pieces to `sum`. */
  add(word: string, sum: Float32Array): void;
}

/**
 * A word is cut into the longest pieces from its beginning, the way of WordPiece; the longest piece has 18 characters.
 */
const pieceCharsMax = 18;
/** Pieces that begin a word and pieces that go on are told apart by the seed of their hash. */
const beginSeed = 2;
const insideSeed = 3;

/** Reads a file of vectors. Throws `corrupt` or `unsupported` as `decodeModel` does. */
export function decodeVectors(bytes: Uint8Array, path: string): WordVectors {
  const file = decodeModel(bytes, 'vectors', path);
  const pieces = createHashTable(
    Int32Array.from(file.text('pieces').split('\n'), (piece) =>
      piece.startsWith('##') ? hashText(piece.slice(2), insideSeed) : hashText(piece, beginSeed),
    ),
  );
  const scales = file.f32('scales');
  const table = file.i8('vectors');
  const dimensions = table.length / scales.length;
  const prefixes = new Int32Array(pieceCharsMax);
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

/** The first components, by which the length of a sum of vectors is told; the others only by their own lengths. */
export const lengthDimensions = 32;

/** The squared length of what lies beyond the first components. */
export function tailOf(vector: Float32Array): number {
  let squares = 0;
  for (let index = lengthDimensions; index < vector.length; index++) squares += (vector[index] ?? 0) ** 2;
  return squares;
}

/**
 * What a sum of vectors is multiplied by to have about length 1: its first components are known, of the others the sum
 * of their squared lengths (as if they stood at right angles, which the small components nearly do). 0 for nothing.
 */
export function unitScale(head: Float32Array, tail: number): number {
  let squares = tail;
  for (let index = 0; index < lengthDimensions; index++) squares += (head[index] ?? 0) ** 2;
  return squares === 0 ? 0 : 1 / Math.sqrt(squares);
}
