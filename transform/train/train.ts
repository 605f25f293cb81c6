import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { WatershedError } from '#core/errors.ts';
import { informationTypes } from '../classifiers/classifier.ts';
import type { LanguageWeights } from '../classifiers/languages.ts';
import { product } from '../classifiers/lexicon.ts';
import { decodeVectors, type WordVectors } from '../classifiers/vectors.ts';
import { encodeWeights, type TypeWeights, type Weights } from '../classifiers/weights.ts';
import { readCorpus, type LabelledEvent } from './corpus.ts';
import { readLanguages, trainLanguages, type LanguageSample } from './languages.ts';
import { readEvents, type ReadEvent } from './read.ts';
import { trainRelevance } from './relevance.ts';
import { trainTypes } from './types.ts';

export const corpusFile = join('samples', 'training', 'crisislex.jsonl.gz');
export const languagesFile = join('samples', 'training', 'languages.jsonl.gz');
export const vectorsFile = join('models', 'vectors.bin');
export const weightsFile = join('models', 'crisis.bin');

/** The labelled events and the vectors by which they are read; `root` is the folder of the repository. */
export async function loadTraining(root: string): Promise<TrainingData> {
  const [corpus, languages, vectors] = await Promise.all(
    [corpusFile, languagesFile, vectorsFile].map((path) => readFile(join(root, path))),
  );
  if (corpus === undefined || languages === undefined || vectors === undefined)
    throw new WatershedError('internal', 'a file was not read');
  return {
    events: readCorpus(corpus),
    languages: readLanguages(languages),
    vectors: decodeVectors(vectors, vectorsFile),
  };
}

export interface TrainingData {
  readonly events: readonly LabelledEvent[];
  readonly languages: readonly LanguageSample[];
  readonly vectors: WordVectors;
}

/** The posts by which the languages are learned beside their texts. */
export function textsOf(events: readonly LabelledEvent[]): readonly string[] {
  return events.flatMap(({ posts }) => posts.map(({ text }) => text));
}

/**
 * All weights: relevance and types may be learned from different events. The same events give the same, bit for bit.
 */
export function joinWeights(
  { priorMean, ...relevance }: ReturnType<typeof trainRelevance>,
  types: TypeWeights,
  languages: LanguageWeights,
): Weights {
  const priorLines = Float32Array.of(
    product(relevance.direction, 0, priorMean),
    ...informationTypes.map((_, label) => product(types.directions, label * priorMean.length, priorMean)),
  );
  return { relevance: { ...relevance, priorLines }, types, languages };
}

/** Events that have labels of information types. */
export function typedEvents(events: readonly ReadEvent[]): readonly ReadEvent[] {
  return events.filter(({ event }) => event.set === 't26');
}

/**
 * `watershed train`: makes models/crisis.bin from samples/training, in about half a minute. Throws `corrupt` or
 * `unsupported` for vectors that are not whole, and what reading and writing throw.
 */
export async function train(root: string, note: (text: string) => void): Promise<{ path: string; bytes: number }> {
  const { events, languages, vectors } = await loadTraining(root);
  const posts = events.reduce((sum, event) => sum + event.posts.length, 0);
  note(`reading ${posts} labelled posts of ${events.length} events`);
  const read = readEvents(events, vectors);
  const types = trainTypes(typedEvents(read));
  const weights = joinWeights(trainRelevance(read), types, trainLanguages(languages, textsOf(events)));
  const bytes = encodeWeights(weights, {
    name: 'crisis',
    vectors: vectors.fingerprint,
    events: events.map(({ set, name }) => `${set}/${name}`),
    posts,
  });
  const path = join(root, weightsFile);
  await writeFile(path, bytes);
  return { path, bytes: bytes.length };
}
