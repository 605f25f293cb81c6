import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { informationTypes, relevanceLabels, type Classifier } from '../classifiers/classifier.ts';
import type { LanguageWeights } from '../classifiers/languages.ts';
import { createLexicon } from '../classifiers/lexicon.ts';
import { createLinear } from '../classifiers/linear.ts';
import type { WordVectors } from '../classifiers/vectors.ts';
import { decodeWeights, encodeWeights, type Weights } from '../classifiers/weights.ts';
import type { LabelledEvent } from './corpus.ts';
import { trainLanguages } from './languages.ts';
import type { Judged } from './measures.ts';
import { readEvents, type ReadEvent } from './read.ts';
import { report } from './report.ts';
import { trainRelevance } from './relevance.ts';
import { joinWeights, loadTraining, textsOf, typedEvents } from './train.ts';
import { trainTypes } from './types.ts';

/** What a model that never saw an event says of it, post by post in the order of time. */
export interface EventResult {
  readonly event: LabelledEvent;
  readonly aside: boolean;
  readonly relevance: readonly Judged[];
  readonly types: readonly Judged[];
  /** By language: what was judged of posts in it. */
  readonly languages: ReadonlyMap<string, { readonly relevance: Judged[]; readonly types: Judged[] }>;
}

/**
 * Events of T26 left aside while the model was made: a first trial on all 21 settled which kinds of features there are;
 * everything after it (their weighing, penalties, balance, sharpness, what is adapted) was chosen on the others only.
 * They took part in training for those others.
 */
export const asideEvents: readonly string[] = [
  '2012-guatemala-earthquake',
  '2013-lac-megantic-train-crash',
  '2013-singapore-haze',
  '2013-russia-meteor',
];

/**
 * `watershed evaluate`: trains without some crises (without both recordings of a crisis that both sets have), lets the
 * model meet their posts as a stream, and writes docs/classification.md. About five minutes of one core.
 */
export async function evaluate(
  root: string,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<{ path: string }> {
  const { events, languages, vectors } = await loadTraining(root);
  const results = await crossValidate(
    readEvents(events, vectors),
    { vectors, languages: trainLanguages(languages, textsOf(events)) },
    note,
    signal,
  );
  const path = join(root, 'docs', 'classification.md');
  await writeFile(path, report(results));
  return { path };
}

/** One result for each event, in their order. */
export async function crossValidate(
  events: readonly ReadEvent[],
  fixed: { readonly vectors: WordVectors; readonly languages: LanguageWeights },
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<readonly EventResult[]> {
  const results = new Map<LabelledEvent, EventResult>();
  const folds = foldsOf(events);
  for (const [index, held] of folds.entries()) {
    signal.throwIfAborted();
    const relevance = trainRelevance(events.filter((event) => !held.includes(event)));
    for (const [crisis, some] of Map.groupBy(held, ({ event }) => event.crisis)) {
      const types = trainTypes(typedEvents(events).filter(({ event }) => event.crisis !== crisis));
      const weights = throughFile(joinWeights(relevance, types, fixed.languages), fixed.vectors);
      for (const { event } of some) {
        await using classifier = createLinear(weights, createLexicon(fixed.vectors, weights), 'evaluation');
        results.set(event, await meet(event, classifier));
      }
    }
    note(`${index + 1} of ${folds.length}: without ${held.map(({ event }) => event.name).join(', ')}`);
  }
  return events.flatMap(({ event }) => results.get(event) ?? []);
}

/** So many small crises are left out together of what relevance is learned from; of the types' each for itself. */
const smallCrisesAtOnce = 3;

/** Events to be left out together: all recordings of a crisis, alone where T6 has it. */
function foldsOf(events: readonly ReadEvent[]): readonly (readonly ReadEvent[])[] {
  const crises = [...Map.groupBy(events, ({ event }) => event.crisis).values()];
  const isLarge = (some: readonly ReadEvent[]): boolean => some.some(({ event }) => event.set === 't6');
  const small = crises.filter((some) => !isLarge(some));
  const groups = Array.from({ length: Math.ceil(small.length / smallCrisesAtOnce) }, (_, index) =>
    small.slice(index * smallCrisesAtOnce, (index + 1) * smallCrisesAtOnce).flat(),
  );
  return [...crises.filter(isLarge), ...groups];
}

/** As they will be read from the file: in 8 bits. */
function throughFile(weights: Weights, vectors: WordVectors): Weights {
  return decodeWeights(encodeWeights(weights, { vectors: vectors.fingerprint }), 'evaluation', vectors.fingerprint)
    .weights;
}

/** So many posts come at once; what was adapted to goes from one batch to the next as it would through a commit. */
const batchPosts = 100;

async function meet(event: LabelledEvent, classifier: Classifier): Promise<EventResult> {
  const relevance: Judged[] = [];
  const types: Judged[] = [];
  const languages = new Map<string, { relevance: Judged[]; types: Judged[] }>();
  let adaptation: ReadonlyMap<string, Uint8Array> = new Map();
  for (let at = 0; at < event.posts.length; at += batchPosts) {
    const posts = event.posts.slice(at, at + batchPosts);
    const { answers, adapted } = await classifier.classify(
      posts.map(({ text }) => ({ eventId: event.name, text, lang: null })),
      adaptation,
    );
    adaptation = adapted;
    posts.forEach((post, index) => {
      const said = new Map(answers[index]?.map((answer) => [answer.question, answer]));
      const language = said.get('language')?.label ?? 'unknown';
      let part = languages.get(language);
      if (part === undefined) languages.set(language, (part = { relevance: [], types: [] }));
      const relevant = said.get('relevance');
      if (post.relevance !== undefined && relevant !== undefined) {
        const judged = {
          truth: relevanceLabels.indexOf(post.relevance),
          said: indexIn(relevanceLabels, relevant.label),
          score: relevant.score,
        };
        relevance.push(judged);
        part.relevance.push(judged);
      }
      const type = said.get('information_type');
      if (post.type !== undefined && type !== undefined) {
        const judged = { truth: post.type, said: indexIn(informationTypes, type.label), score: type.score };
        types.push(judged);
        part.types.push(judged);
      }
    });
  }
  return { event, aside: event.set === 't26' && asideEvents.includes(event.name), relevance, types, languages };
}

function indexIn(labels: readonly string[], label: string): number {
  return labels.indexOf(label);
}
