import { adapt, type EventState } from './adaptation.ts';
import { keyness } from './features.ts';
import { stackFeatures, type RelevanceWeights } from './weights.ts';

/** A post as the relevance model sees it. */
export interface RelevanceInput {
  /** Mean of the words' vectors, of length 1; all zeros for a post without words. */
  readonly vector: Float32Array;
  /** Different words of the post, without masks and punctuation. */
  readonly words: readonly { readonly hash: number; readonly share: number }[];
  /** Sum over all tokens of what each says of relevance, and how many there are. */
  readonly logOdds: number;
  readonly tokens: number;
}

/**
 * What is known of a post before it is adapted to: how far its vector lies in the direction of relevance from the mean of
 * its event, what its words say, and how much its two most particular words are the event's own. The last is what makes
 * a new event's names and places count as soon as they are frequent; nobody has to say them.
 */
export function relevanceFeatures(input: RelevanceInput, state: EventState, weights: RelevanceWeights, into: Float32Array): void {
  let first = 0;
  let second = 0;
  for (const { hash, share } of input.words) {
    const own = keyness(state.words.get(hash) ?? 0, state.posts, share);
    if (own > first) {
      second = first;
      first = own;
    } else if (own > second) second = own;
  }
  into[0] = along(weights.direction, 0, input.vector, state.mean) + weights.directionBias;
  into[1] = input.tokens === 0 ? 0 : input.logOdds / Math.sqrt(input.tokens);
  into[2] = first;
  into[3] = first + second;
}

/** The log-odds of being relevant. */
export function relevanceScore(features: Float32Array, weights: RelevanceWeights): number {
  let score = weights.stack[stackFeatures] ?? 0;
  for (let index = 0; index < stackFeatures; index++) score += (features[index] ?? 0) * (weights.stack[index] ?? 0);
  return score;
}

/** Takes the post into the event's state, after it was judged. */
export function adaptTo(input: RelevanceInput, state: EventState): void {
  adapt(state, input.vector, input.words);
}

/** The product of row `from` of a matrix with the centred vector; a post without words lies at the mean. */
export function along(matrix: Float32Array, from: number, vector: Float32Array, mean: Float32Array): number {
  let sum = 0;
  for (let index = 0; index < vector.length; index++) {
    sum += (matrix[from + index] ?? 0) * ((vector[index] ?? 0) - (mean[index] ?? 0));
  }
  return sum;
}

/** Scales a vector to length 1 in place; all zeros stay. */
export function toUnit(vector: Float32Array): void {
  let squares = 0;
  for (const value of vector) squares += value * value;
  if (squares === 0) return;
  const scale = 1 / Math.sqrt(squares);
  for (let index = 0; index < vector.length; index++) vector[index] = (vector[index] ?? 0) * scale;
}

export function logistic(score: number): number {
  return 1 / (1 + Math.exp(-score));
}
