import type { EventState } from './adaptation.ts';
import { keyness } from './features.ts';
import { stackFeatures, type RelevanceWeights } from './weights.ts';

/** A post as the relevance model sees it. */
export interface RelevanceInput {
  /** How far its vector lies in the direction of relevance. */
  readonly line: number;
  /** Hashes of its different words, without masks and punctuation, and the share of posts in general that hold each. */
  readonly words: readonly number[];
  readonly shares: readonly number[];
  /** Sum over all tokens of what each says of relevance, and how many there are. */
  readonly logOdds: number;
  readonly tokens: number;
}

/**
 * What is known of a post before it is adapted to: how far its vector lies in the direction of relevance from the mean
 * of its event, what its words say, and how much its two most particular words are the event's own. The last is what
 * makes a new event's names and places count as soon as they are frequent; nobody has to say them.
 */
export function relevanceFeatures(
  input: RelevanceInput,
  state: EventState,
  weights: { directionBias: number },
  into: Float32Array,
): void {
  let first = 0;
  let second = 0;
  for (let index = 0; index < input.words.length; index++) {
    const own = keyness(state.words.get(input.words[index] ?? 0) ?? 0, state.posts, input.shares[index] ?? 1);
    if (own > first) {
      second = first;
      first = own;
    } else if (own > second) second = own;
  }
  into[0] = input.line - (state.lines[0] ?? 0) + weights.directionBias;
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

export function logistic(score: number): number {
  return 1 / (1 + Math.exp(-score));
}
