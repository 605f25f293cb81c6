import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeVectors, type WordVectors } from '../classifiers/vectors.ts';
import { encodeWeights, type Weights } from '../classifiers/weights.ts';
import { readCorpus, type LabelledEvent } from './corpus.ts';
import { readEvents, type ReadEvent } from './read.ts';
import { trainRelevance } from './relevance.ts';
import { trainTypes } from './types.ts';

export const corpusFile = join('samples', 'training', 'crisislex.jsonl.gz');
export const vectorsFile = join('models', 'vectors.bin');
export const weightsFile = join('models', 'crisis.bin');

/** The labelled events and the vectors by which they are read; `root` is the folder of the repository. */
export async function loadTraining(root: string): Promise<{ events: readonly LabelledEvent[]; vectors: WordVectors }> {
  const [corpus, vectors] = await Promise.all([readFile(join(root, corpusFile)), readFile(join(root, vectorsFile))]);
  return { events: readCorpus(corpus), vectors: decodeVectors(vectors, vectorsFile) };
}

/** All weights from these events. The same events give the same weights, bit for bit. */
export function trainWeights(events: readonly ReadEvent[]): Weights {
  return { relevance: trainRelevance(events), types: trainTypes(events.filter(({ event }) => event.set === 't26')) };
}

/**
 * `watershed train`: makes models/crisis.bin from samples/training, in about half a minute. Throws `corrupt` or
 * `unsupported` for vectors that are not whole, and what reading and writing throw.
 */
export async function train(root: string, note: (text: string) => void): Promise<{ path: string; bytes: number }> {
  const { events, vectors } = await loadTraining(root);
  const posts = events.reduce((sum, event) => sum + event.posts.length, 0);
  note(`reading ${posts} labelled posts of ${events.length} events`);
  const weights = trainWeights(readEvents(events, vectors));
  const bytes = encodeWeights(weights, {
    name: 'crisis', vectors: vectors.fingerprint, events: events.map(({ set, name }) => `${set}/${name}`), posts,
  });
  const path = join(root, weightsFile);
  await writeFile(path, bytes);
  return { path, bytes: bytes.length };
}
