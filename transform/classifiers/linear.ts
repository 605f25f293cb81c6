import { decodeState, encodeState, newEvent, type EventState } from './adaptation.ts';
import {
  informationTypes, type Adaptation, type Answer, type ClassifiablePost, type Classified, type Classifier,
} from './classifier.ts';
import { addNgram, createLexicon, type Lexicon, type WordEntry } from './lexicon.ts';
import { adaptTo, logistic, relevanceFeatures, relevanceScore, toUnit, type RelevanceInput } from './relevance.ts';
import { hashPair, tokenise } from './text.ts';
import { typeProbabilities, type TypeInput } from './types.ts';
import { decodeVectors } from './vectors.ts';
import { decodeWeights, stackFeatures, type Weights } from './weights.ts';

export interface LinearFiles {
  readonly vectors: { readonly path: string; readonly bytes: Uint8Array };
  readonly weights: { readonly path: string; readonly bytes: Uint8Array };
}

/**
 * The small model of the house: linear scores over word vectors and hashed n-grams, moved by what is learned of each event
 * as its posts come. Throws `corrupt` or `unsupported` for files that are not whole or not of this version.
 */
export function openLinear(files: LinearFiles): Classifier {
  const vectors = decodeVectors(files.vectors.bytes, files.vectors.path);
  const { weights, file } = decodeWeights(files.weights.bytes, files.weights.path, vectors.fingerprint);
  return createLinear(weights, createLexicon(vectors, weights), `linear-${file.fingerprint}`);
}

/** The classifier over weights that are at hand, for training to measure what will be shipped. */
export function createLinear(weights: Weights, lexicon: Lexicon, version: string): Classifier {
  const reader = createReader(lexicon, weights);
  const dimensions = weights.relevance.priorMean.length;
  return {
    name: 'linear',
    version,
    async classify(posts, adaptation) {
      return classifyAll(posts, adaptation, { weights, reader, dimensions });
    },
    async [Symbol.asyncDispose]() {},
  };
}

interface Model {
  readonly weights: Weights;
  readonly reader: (text: string) => Reading;
  readonly dimensions: number;
}

function classifyAll(posts: readonly ClassifiablePost[], adaptation: Adaptation, model: Model): Classified {
  const states = new Map<string, EventState>();
  const stateOf = (eventId: string): EventState => {
    let state = states.get(eventId);
    if (state === undefined) {
      const known = adaptation.get(eventId);
      state = known === undefined ? newEvent(model.weights.relevance.priorMean) : decodeState(known, model.dimensions);
      states.set(eventId, state);
    }
    return state;
  };
  const answers = posts.map(({ eventId, text }) => answer(text, stateOf(eventId), model));
  return { answers, adapted: new Map([...states].map(([eventId, state]) => [eventId, encodeState(state)])) };
}

const features = new Float32Array(stackFeatures);

function answer(text: string, state: EventState, { weights, reader }: Model): readonly Answer[] {
  const reading = reader(text);
  relevanceFeatures(reading, state, weights.relevance, features);
  const relevant = logistic(relevanceScore(features, weights.relevance));
  const types = typeProbabilities(reading, state.mean, weights.types);
  adaptTo(reading, state);
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
  const classes = types.wholeBias.length;
  const vector = new Float32Array(weights.relevance.priorMean.length);
  const whole = new Float32Array(classes);
  const grams = new Float32Array(classes);
  let post = 0;
  return (text) => {
    vector.fill(0);
    whole.fill(0);
    grams.fill(0);
    post++;
    const words: WordEntry[] = [];
    let wholeNorm = 0;
    let gramsNorm = 0;
    let logOdds = 0;
    let before: WordEntry | undefined;
    const tokens = tokenise(text);
    for (const token of tokens) {
      const entry = lexicon.entry(token);
      logOdds += entry.logOdds;
      addTo(vector, entry.vector);
      if (before !== undefined) wholeNorm += addNgram(hashPair(before.shapeHash, entry.shapeHash), types, whole);
      before = entry;
      if (entry.lastPost === post) continue;
      entry.lastPost = post;
      if (!entry.mark) words.push(entry);
      addTo(whole, entry.whole);
      addTo(grams, entry.grams);
      wholeNorm += entry.wholeNorm;
      gramsNorm += entry.gramsNorm;
    }
    toUnit(vector);
    return { vector, words, logOdds, tokens: tokens.length, whole, wholeNorm, grams, gramsNorm };
  };
}

function addTo(sum: Float32Array, part: Float32Array): void {
  for (let index = 0; index < sum.length; index++) sum[index] = (sum[index] ?? 0) + (part[index] ?? 0);
}
