import { adapt, decodeState, encodeState, newEvent, type EventState } from './adaptation.ts';
import {
  informationTypes,
  lacksLanguage,
  type Adaptation,
  type Answer,
  type ClassifiablePost,
  type Classified,
  type Classifier,
} from './classifier.ts';
import { addNgram, at, createLexicon, type Lexicon } from './lexicon.ts';
import { tellLanguage } from './languages.ts';
import { logistic, relevanceFeatures, relevanceScore, type RelevanceInput } from './relevance.ts';
import { hashPair, tokenise } from './text.ts';
import { typeProbabilities, type TypeInput } from './types.ts';
import { decodeVectors, lengthDimensions, unitScale } from './vectors.ts';
import { decodeWeights, stackFeatures, type Weights } from './weights.ts';

export interface LinearFiles {
  readonly vectors: { readonly path: string; readonly bytes: Uint8Array };
  readonly weights: { readonly path: string; readonly bytes: Uint8Array };
}

/**
 * The small model of the house: linear scores over word vectors and hashed n-grams, moved by what is learned of each
 * event as its posts come. Throws `corrupt` or `unsupported` for files that are not whole or not of this version.
 */
export function openLinear(files: LinearFiles): Classifier {
  const vectors = decodeVectors(files.vectors.bytes, files.vectors.path);
  const { weights, file } = decodeWeights(files.weights.bytes, files.weights.path, vectors.fingerprint);
  return createLinear(weights, createLexicon(vectors, weights), `linear-${file.fingerprint}`);
}

/** The classifier over weights that are at hand, for training to measure what will be shipped. */
export function createLinear(weights: Weights, lexicon: Lexicon, version: string): Classifier {
  const reader = createReader(lexicon, weights);
  return {
    name: 'linear',
    version,
    async classify(posts, adaptation) {
      return classifyAll(posts, adaptation, { weights, reader });
    },
    async [Symbol.asyncDispose]() {},
  };
}

interface Model {
  readonly weights: Weights;
  readonly reader: (text: string) => Reading;
}

function classifyAll(posts: readonly ClassifiablePost[], adaptation: Adaptation, model: Model): Classified {
  const states = new Map<string, EventState>();
  const stateOf = (eventId: string): EventState => {
    let state = states.get(eventId);
    if (state === undefined) {
      const known = adaptation.get(eventId);
      const { priorLines } = model.weights.relevance;
      state = known === undefined ? newEvent(priorLines) : decodeState(known, priorLines.length);
      states.set(eventId, state);
    }
    return state;
  };
  const answers = posts.map((post) => {
    const both = answer(post.text, stateOf(post.eventId), model);
    return lacksLanguage(post.lang) ? [...both, tellLanguage(post.text, model.weights.languages)] : both;
  });
  return { answers, adapted: new Map([...states].map(([eventId, state]) => [eventId, encodeState(state)])) };
}

const features = new Float32Array(stackFeatures);

function answer(text: string, state: EventState, { weights, reader }: Model): readonly Answer[] {
  const reading = reader(text);
  relevanceFeatures(reading, state, weights.relevance, features);
  const relevant = logistic(relevanceScore(features, weights.relevance));
  const types = typeProbabilities(reading, state.lines, weights.types);
  adapt(state, reading.lines, reading.words);
  return [relevanceAnswer(relevant), typeAnswer(types)];
}

function relevanceAnswer(relevant: number): Answer {
  const scores = { relevant: rounded(relevant), not_relevant: rounded(1 - relevant) };
  return relevant >= 0.5
    ? { question: 'relevance', label: 'relevant', score: scores.relevant, scores }
    : { question: 'relevance', label: 'not_relevant', score: scores.not_relevant, scores };
}

function typeAnswer(probabilities: Float64Array): Answer {
  const scores: Record<string, number> = {};
  let best = 0;
  informationTypes.forEach((type, index) => {
    const probability = probabilities[index] ?? 0;
    scores[type] = rounded(probability);
    if (probability > (probabilities[best] ?? 0)) best = index;
  });
  const label = informationTypes[best] ?? 'other_useful_information';
  return { question: 'information_type', label, score: scores[label] ?? 0, scores };
}

/** Four digits: more would say nothing and cost bytes in every row. */
function rounded(probability: number): number {
  return Math.round(probability * 10_000) / 10_000;
}

/** A post as the models see it. */
export interface Reading extends RelevanceInput, TypeInput {}

/** Reads posts. What it returns is overwritten by the next reading. */
export function createReader(lexicon: Lexicon, weights: Weights): (text: string) => Reading {
  const { types } = weights;
  const { classes, rows } = lexicon;
  const whole = new Float32Array(classes);
  const grams = new Float32Array(classes);
  const lines = new Float32Array(classes + 1);
  const head = new Float32Array(lengthDimensions);
  const linesAt = at.byClass + 2 * classes;
  return (text) => {
    for (const sums of [whole, grams, lines, head]) sums.fill(0);
    lexicon.begin();
    const words: number[] = [];
    const shares: number[] = [];
    let [wholeNorm, gramsNorm, logOdds, tail] = [0, 0, 0, 0];
    let before = -1;
    const tokens = tokenise(text);
    for (const token of tokens) {
      const row = lexicon.find(token);
      logOdds += rows[row + at.logOdds] ?? 0;
      tail += rows[row + at.tail] ?? 0;
      addTo(lines, rows, row + linesAt);
      addTo(head, rows, row + linesAt + classes + 1);
      // A pair can only be known when both of its words are.
      const known = rows[row + at.wholeNorm] !== 0;
      if (known && before !== -1) wholeNorm += addNgram(hashPair(before, lexicon.shapeHash(row)), types, whole);
      before = known ? lexicon.shapeHash(row) : -1;
      if (!lexicon.isFirst(row)) continue;
      if (!lexicon.isMark(row)) {
        words.push(lexicon.hash(row));
        shares.push(rows[row + at.share] ?? 1);
      }
      addTo(whole, rows, row + at.byClass);
      addTo(grams, rows, row + at.byClass + classes);
      wholeNorm += rows[row + at.wholeNorm] ?? 0;
      gramsNorm += rows[row + at.gramsNorm] ?? 0;
    }
    const scale = unitScale(head, tail);
    for (let index = 0; index < lines.length; index++) lines[index] = (lines[index] ?? 0) * scale;
    return {
      line: lines[0] ?? 0,
      words,
      shares,
      logOdds,
      tokens: tokens.length,
      whole,
      wholeNorm,
      grams,
      gramsNorm,
      lines,
    };
  };
}

function addTo(sum: Float32Array, rows: Float32Array, from: number): void {
  for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0) + (rows[from + index] ?? 0);
}
