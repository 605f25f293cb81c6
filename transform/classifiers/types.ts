import type { TypeWeights } from './weights.ts';

/** A post as the model of information types sees it. */
export interface TypeInput {
  /** Weights of its words and pairs, and of its character n-grams, summed by class; with the sums of squared idf. */
  readonly whole: Float32Array;
  readonly wholeNorm: number;
  readonly grams: Float32Array;
  readonly gramsNorm: number;
  /** Where its vector lies along the direction of relevance (first) and of each class. */
  readonly lines: Float32Array;
}

/**
 * The probability of each class: three models, of words and pairs, of character n-grams and of the vector seen from the
 * mean of its event, multiplied and calibrated.
 */
export function typeProbabilities(input: TypeInput, meanLines: Float32Array, weights: TypeWeights): Float64Array {
  const scores = typeScores(input, meanLines, weights);
  for (let index = 0; index < scores.length; index++) scores[index] = (scores[index] ?? 0) * weights.sharpness;
  return softmax(scores);
}

/** The summed log-probabilities of the three models, before calibration. */
export function typeScores(input: TypeInput, meanLines: Float32Array, weights: TypeWeights): Float64Array {
  const classes = weights.wholeBias.length;
  const wholeScale = input.wholeNorm === 0 ? 0 : 1 / Math.sqrt(input.wholeNorm);
  const gramsScale = input.gramsNorm === 0 ? 0 : 1 / Math.sqrt(input.gramsNorm);
  const byWords = new Float64Array(classes);
  const byGrams = new Float64Array(classes);
  const byVector = new Float64Array(classes);
  for (let index = 0; index < classes; index++) {
    byWords[index] = (weights.wholeBias[index] ?? 0) + wholeScale * (input.whole[index] ?? 0);
    byGrams[index] = (weights.gramsBias[index] ?? 0) + gramsScale * (input.grams[index] ?? 0);
    byVector[index] = (weights.directionBias[index] ?? 0) + (input.lines[index + 1] ?? 0) - (meanLines[index + 1] ?? 0);
  }
  const sums = new Float64Array(classes);
  for (const scores of [byWords, byGrams, byVector]) addLogProbabilities(scores, sums);
  return sums;
}

/** Adds log(softmax + 10⁻⁶) of the scores: one model alone cannot rule a class out. */
function addLogProbabilities(scores: Float64Array, sums: Float64Array): void {
  const probabilities = softmax(scores);
  for (let index = 0; index < sums.length; index++)
    sums[index] = (sums[index] ?? 0) + Math.log((probabilities[index] ?? 0) + 1e-6);
}

/** Turns scores into probabilities, in place. */
export function softmax(scores: Float64Array): Float64Array {
  let largest = -Infinity;
  for (let index = 0; index < scores.length; index++) largest = Math.max(largest, scores[index] ?? 0);
  let sum = 0;
  for (let index = 0; index < scores.length; index++) {
    const power = Math.exp((scores[index] ?? 0) - largest);
    scores[index] = power;
    sum += power;
  }
  for (let index = 0; index < scores.length; index++) scores[index] = (scores[index] ?? 0) / sum;
  return scores;
}
