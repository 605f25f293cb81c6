import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { relevanceLabels } from '../classifiers/classifier.ts';
import { encodeWeights } from '../classifiers/weights.ts';
import { crossValidate } from './evaluate.ts';
import { trainLanguages } from './languages.ts';
import { macroF1 } from './measures.ts';
import { readEvents } from './read.ts';
import { trainRelevance } from './relevance.ts';
import { joinWeights, loadTraining, textsOf, typedEvents, weightsFile } from './train.ts';
import { trainTypes } from './types.ts';

const root = join(import.meta.dirname, '..', '..');

test('models/crisis.bin is what training makes of samples/training, bit for bit', async () => {
  const { events, languages, vectors } = await loadTraining(root);
  const read = readEvents(events, vectors);
  const weights = joinWeights(
    trainRelevance(read),
    trainTypes(typedEvents(read)),
    trainLanguages(languages, textsOf(events)),
  );
  const bytes = encodeWeights(weights, {
    name: 'crisis',
    vectors: vectors.fingerprint,
    events: events.map(({ set, name }) => `${set}/${name}`),
    posts: events.reduce((sum, event) => sum + event.posts.length, 0),
  });
  expect(bytes.equals(await readFile(join(root, weightsFile)))).toBe(true);
}, 1_800_000);

test('a crisis that it never saw is told from small talk, post by post', async () => {
  const { events, languages, vectors } = await loadTraining(root);
  // Three recordings by keyword and place are enough to see whether something broke; the page has all of them.
  const some = events.filter(({ set, name }) => set === 't6' && /oklahoma|boston|texas/.test(name));
  const fixed = { vectors, languages: trainLanguages(languages, []) };
  const signal = new AbortController().signal;
  const results = await crossValidate(readEvents(some, vectors), fixed, () => undefined, signal);
  for (const { relevance } of results) expect(macroF1(relevance, relevanceLabels.length)).toBeGreaterThan(0.88);
}, 1_800_000);
