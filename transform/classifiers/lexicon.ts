import { informationTypes } from './classifier.ts';
import { gramsOf, isMark, shapeOf } from './features.ts';
import { hashText } from './text.ts';
import type { WordVectors } from './vectors.ts';
import { wordKnowledge, type TypeWeights, type Weights } from './weights.ts';

/** All that the models know of one word, gathered once: posts repeat their words. */
export interface WordEntry {
  readonly hash: number;
  /** The hash of its shape, of which pairs are made. */
  readonly shapeHash: number;
  readonly mark: boolean;
  readonly vector: Float32Array;
  readonly logOdds: number;
  /** Share of posts in general that hold the word. */
  readonly share: number;
  /** Weights of the word and of its character n-grams, summed over each kind, by class; and the sum of their squared idf. */
  readonly whole: Float32Array;
  readonly wholeNorm: number;
  readonly grams: Float32Array;
  readonly gramsNorm: number;
  /** The number of the last post that held the word: so a post counts each word once. */
  lastPost: number;
}

export interface Lexicon {
  entry(word: string): WordEntry;
}

/**
 * Words kept in memory, in two generations: when the young one is full it becomes the old one, and what is asked again
 * moves over. 2 × 32,768 words of 128 dimensions are about 50 MB.
 */
const generationWords = 32_768;

export function createLexicon(vectors: WordVectors, weights: Weights): Lexicon {
  let young = new Map<string, WordEntry>();
  let old = new Map<string, WordEntry>();
  return {
    entry(word) {
      const known = young.get(word);
      if (known !== undefined) return known;
      const entry = old.get(word) ?? makeEntry(word, vectors, weights);
      if (young.size >= generationWords) {
        old = young;
        young = new Map();
      }
      young.set(word, entry);
      return entry;
    },
  };
}

const classes = informationTypes.length;

function makeEntry(word: string, vectors: WordVectors, { relevance, types }: Weights): WordEntry {
  const hash = hashText(word);
  const mark = isMark(word);
  const vector = new Float32Array(vectors.dimensions);
  if (!mark) vectors.add(word.startsWith('#') ? word.slice(1) : word, vector);
  const shapeHash = hashText(shapeOf(word));
  const whole = sumGrams([shapeHash], types);
  const grams = sumGrams(gramsOf(word), types);
  return {
    hash, shapeHash, mark, vector,
    ...wordKnowledge(relevance, hash),
    whole: whole.sums, wholeNorm: whole.norm, grams: grams.sums, gramsNorm: grams.norm,
    lastPost: 0,
  };
}

function sumGrams(hashes: readonly number[], types: TypeWeights): { sums: Float32Array; norm: number } {
  const sums = new Float32Array(classes);
  let norm = 0;
  for (const hash of hashes) norm += addNgram(hash, types, sums);
  return { sums, norm };
}

/** Adds the weights of an n-gram, by class, and returns its squared idf; nothing and 0 for one that training did not keep. */
export function addNgram(hash: number, types: TypeWeights, sums: Float32Array): number {
  const index = types.ngrams.indexOf(hash);
  if (index === -1) return 0;
  const idf = types.idf[index] ?? 0;
  for (let label = 0; label < sums.length; label++) {
    sums[label] = (sums[label] ?? 0) + idf * (types.ngramWeights[index * sums.length + label] ?? 0);
  }
  return idf * idf;
}
