import { gramsOf, isMark, shapeOf } from './features.ts';
import { hashText, hashTwice } from './text.ts';
import { lengthDimensions, tailOf, type WordVectors } from './vectors.ts';
import { wordKnowledge, type TypeWeights, type Weights } from './weights.ts';

/**
 * All that the models know of the words of posts, gathered once for each word, for posts repeat their words. A word is
 * a row of numbers; all rows stand in one array, so that reading a post touches little memory:
 *
 *     share · log-odds · whole norm · grams norm · tail · whole by class · grams by class · lines ·
 *     first components of the vector
 *
 * Lines are the products of the word's vector with the directions of relevance and of each class: of the vector itself
 * nothing else is needed but the length.
 */
export interface Lexicon {
  readonly classes: number;
  readonly rows: Float32Array;
  /** Where a word's row begins. Rows stay until so many other words were asked for as a generation holds. */
  find(word: string): number;
  /** Of the row that begins at `at`. */
  hash(at: number): number;
  shapeHash(at: number): number;
  isMark(at: number): boolean;
  /** True the first time that this is asked of a word since `begin`. */
  isFirst(at: number): boolean;
  /** A new post begins. */
  begin(): void;
}

/** Places in a row. */
export const at = { share: 0, logOdds: 1, wholeNorm: 2, gramsNorm: 3, tail: 4, byClass: 5 } as const;

export const rowLength = (classes: number): number => at.byClass + 3 * classes + 1 + lengthDimensions;

/**
 * Words kept in memory, in two generations: when the young one is full it takes the place of the old one, and what is
 * asked again moves over. 2 × 65,536 rows of 56 numbers are 30 MB; half as many cost a third of the speed, twice as
 * many bring 5 % (66,000 posts of 26 events, five at once).
 */
const generationWords = 65_536;

export function createLexicon(vectors: WordVectors, weights: Weights): Lexicon {
  const classes = weights.types.wholeBias.length;
  const length = rowLength(classes);
  const rows = new Float32Array(2 * generationWords * length);
  const hashes = new Int32Array(2 * generationWords);
  const shapes = new Int32Array(2 * generationWords);
  const marks = new Uint8Array(2 * generationWords);
  const posts = new Float64Array(2 * generationWords);
  const keys = new Int32Array(2);
  let young = createWordTable();
  let old = createWordTable();
  let base = 0;
  let post = 0;
  const place = (): number => {
    if (young.size() === generationWords) {
      [old, young] = [young, old];
      young.clear();
      base = generationWords - base;
    }
    const index = base + young.size();
    young.set(keys, index);
    return index;
  };
  return {
    classes,
    rows,
    find(word) {
      hashTwice(word, keys);
      const known = young.get(keys);
      if (known !== -1) return known * length;
      const from = old.get(keys);
      const index = place();
      // Taking a place may have made the row's generation the old one; it is still there, until the next one is full.
      if (from !== -1 && from !== index && old.get(keys) === from) {
        rows.copyWithin(index * length, from * length, (from + 1) * length);
        hashes[index] = hashes[from] ?? 0;
        shapes[index] = shapes[from] ?? 0;
        marks[index] = marks[from] ?? 0;
        posts[index] = posts[from] ?? 0;
        return index * length;
      }
      hashes[index] = keys[0] ?? 0;
      shapes[index] = hashText(shapeOf(word));
      marks[index] = isMark(word) ? 1 : 0;
      posts[index] = 0;
      fillRow(word, rows.subarray(index * length, (index + 1) * length), vectors, weights);
      return index * length;
    },
    hash: (row) => hashes[row / length] ?? 0,
    shapeHash: (row) => shapes[row / length] ?? 0,
    isMark: (row) => marks[row / length] === 1,
    isFirst(row) {
      const index = row / length;
      if (posts[index] === post) return false;
      posts[index] = post;
      return true;
    },
    begin() {
      post++;
    },
  };
}

/** Positions of words by 64 bits of their hashes: two words with the same are not expected in a thousand years. */
interface WordTable {
  /** The position, or −1. */
  get(keys: Int32Array): number;
  /** Of a word that is not there. */
  set(keys: Int32Array, position: number): void;
  size(): number;
  clear(): void;
}

/** A Map of the words themselves took a quarter of all time: it hashes each anew and looks at memory three times. */
function createWordTable(): WordTable {
  const mask = 2 * generationWords - 1;
  // Both keys and the position plus one, side by side.
  const slots = new Int32Array(4 * (mask + 1));
  let size = 0;
  return {
    get(keys) {
      const first = keys[0] ?? 0;
      const second = keys[1] ?? 0;
      for (let slot = first & mask; ; slot = (slot + 1) & mask) {
        const position = slots[4 * slot + 2] ?? 0;
        if (position === 0) return -1;
        if (slots[4 * slot] === first && slots[4 * slot + 1] === second) return position - 1;
      }
    },
    set(keys, position) {
      let slot = (keys[0] ?? 0) & mask;
      while (slots[4 * slot + 2] !== 0) slot = (slot + 1) & mask;
      slots[4 * slot] = keys[0] ?? 0;
      slots[4 * slot + 1] = keys[1] ?? 0;
      slots[4 * slot + 2] = position + 1;
      size++;
    },
    size: () => size,
    clear() {
      slots.fill(0);
      size = 0;
    },
  };
}

function fillRow(word: string, row: Float32Array, vectors: WordVectors, { relevance, types }: Weights): void {
  const classes = types.wholeBias.length;
  row.fill(0);
  const { logOdds, share } = wordKnowledge(relevance, hashText(word));
  row[at.share] = share;
  row[at.logOdds] = logOdds;
  const whole = row.subarray(at.byClass, at.byClass + classes);
  const grams = row.subarray(at.byClass + classes, at.byClass + 2 * classes);
  row[at.wholeNorm] = addNgram(hashText(shapeOf(word)), types, whole);
  row[at.gramsNorm] = gramsOf(word).reduce((norm, hash) => norm + addNgram(hash, types, grams), 0);
  if (isMark(word)) return;
  const vector = new Float32Array(vectors.dimensions);
  vectors.add(word.startsWith('#') ? word.slice(1) : word, vector);
  row[at.tail] = tailOf(vector);
  const lines = at.byClass + 2 * classes;
  row[lines] = product(relevance.direction, 0, vector);
  for (let label = 0; label < classes; label++)
    row[lines + 1 + label] = product(types.directions, label * vector.length, vector);
  row.set(vector.subarray(0, lengthDimensions), lines + 1 + classes);
}

/**
 * Adds the weights of an n-gram, by class, and returns its squared idf; nothing and 0 for one that training did not
 * keep.
 */
export function addNgram(hash: number, types: TypeWeights, sums: Float32Array): number {
  const index = types.ngrams.indexOf(hash);
  if (index === -1) return 0;
  const idf = types.idf[index] ?? 0;
  for (let label = 0; label < sums.length; label++) {
    sums[label] = (sums[label] ?? 0) + idf * (types.ngramWeights[index * sums.length + label] ?? 0);
  }
  return idf * idf;
}

/** The product of a vector with the row of a matrix that begins at `from`. */
export function product(matrix: Float32Array, from: number, vector: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < vector.length; index++) sum += (matrix[from + index] ?? 0) * (vector[index] ?? 0);
  return sum;
}
