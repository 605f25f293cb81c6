import { isMark, shapeOf } from '../classifiers/features.ts';
import { hashText, tokenise } from '../classifiers/text.ts';
import { tailOf, unitScale, type WordVectors } from '../classifiers/vectors.ts';
import type { LabelledEvent, LabelledPost } from './corpus.ts';

/** A word of the corpus, read once. */
export interface TrainWord {
  readonly text: string;
  readonly hash: number;
  readonly shapeHash: number;
  readonly mark: boolean;
}

interface VectorWord extends TrainWord {
  readonly vector: Float32Array;
  readonly tail: number;
}

export interface ReadPost {
  readonly post: LabelledPost;
  readonly vector: Float32Array;
  /** All tokens in order, and the different ones, marks included. */
  readonly tokens: readonly TrainWord[];
  readonly different: readonly TrainWord[];
}

export interface ReadEvent {
  readonly event: LabelledEvent;
  readonly posts: readonly ReadPost[];
  /** Mean of the posts' vectors. */
  readonly mean: Float32Array;
}

/** Reads all posts as the classifier will. */
export function readEvents(events: readonly LabelledEvent[], vectors: WordVectors): readonly ReadEvent[] {
  const words = new Map<string, VectorWord>();
  const wordOf = (text: string): VectorWord => {
    let word = words.get(text);
    if (word === undefined) {
      const vector = new Float32Array(vectors.dimensions);
      const mark = isMark(text);
      if (!mark) vectors.add(text.startsWith('#') ? text.slice(1) : text, vector);
      word = { text, hash: hashText(text), shapeHash: hashText(shapeOf(text)), mark, vector, tail: tailOf(vector) };
      words.set(text, word);
    }
    return word;
  };
  return events.map((event) => {
    const posts = event.posts.map((post): ReadPost => {
      const tokens = tokenise(post.text).map(wordOf);
      const vector = new Float32Array(vectors.dimensions);
      for (const token of tokens)
        token.vector.forEach((value, index) => (vector[index] = (vector[index] ?? 0) + value));
      const scale = unitScale(
        vector,
        tokens.reduce((sum, { tail }) => sum + tail, 0),
      );
      vector.forEach((value, index) => (vector[index] = value * scale));
      return { post, vector, tokens, different: [...new Set(tokens)] };
    });
    return {
      event,
      posts,
      mean: meanOf(
        posts.map(({ vector }) => vector),
        vectors.dimensions,
      ),
    };
  });
}

export function meanOf(vectors: readonly Float32Array[], dimensions: number): Float32Array {
  const mean = new Float32Array(dimensions);
  for (const vector of vectors)
    vector.forEach((value, index) => (mean[index] = (mean[index] ?? 0) + value / vectors.length));
  return mean;
}
