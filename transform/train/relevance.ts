import { adapt, newEvent } from '../classifiers/adaptation.ts';
import { createHashTable } from '../classifiers/hash-table.ts';
import { product } from '../classifiers/lexicon.ts';
import { relevanceFeatures, type RelevanceInput } from '../classifiers/relevance.ts';
import { stackFeatures, wordKnowledge, type RelevanceWeights } from '../classifiers/weights.ts';
import { logisticRegression } from './minimise.ts';
import { meanOf, type ReadEvent, type ReadPost } from './read.ts';

/**
 * The relevance model from these events: its parts from all of them, and how the parts are weighed from runs over each
 * event post by post with parts that were trained without it, for so it will be used.
 */
export function trainRelevance(events: readonly ReadEvent[]): RelevanceParts & Pick<RelevanceWeights, 'stack'> {
  const rows: Float32Array[] = [];
  const classes: number[] = [];
  const weights: number[] = [];
  for (const held of foldsOf(events)) {
    const parts = trainParts(events.filter((event) => !held.includes(event)));
    for (const event of held) {
      const run = runEvent(event, parts);
      const labelled = event.posts.flatMap(({ post }, index) =>
        post.relevance === undefined ? [] : [{ index, label: post.relevance }],
      );
      for (const { index, label } of labelled) {
        rows.push(run[index] ?? new Float32Array(stackFeatures));
        classes.push(label === 'relevant' ? 1 : 0);
        weights.push(eventWeight(event, labelled.length));
      }
    }
  }
  const stack = logisticRegression(
    {
      rows: Float32Array.from(rows.flatMap((row) => [...row])),
      width: stackFeatures,
      classes: Uint8Array.from(classes),
      weights: Float32Array.from(weights),
    },
    0.5,
  );
  return { ...trainParts(events), stack: Float32Array.from(stack) };
}

/** Each crisis is held out once; small events share a fold, so that there are not too many. */
function foldsOf(events: readonly ReadEvent[]): readonly (readonly ReadEvent[])[] {
  const crises = [...Map.groupBy(events, ({ event }) => event.crisis).values()];
  const large = crises.filter((some) => some.some(({ event }) => event.set === 't6'));
  const folds = large.map((some) => [...some]);
  const small = crises.filter((some) => !large.includes(some));
  small.forEach((some, index) => (folds[index % folds.length] ?? (folds[0] = [])).push(...some));
  return folds;
}

/** Events count by the square root of their number of posts: a large one says more, but not ten times more. */
function eventWeight(_event: ReadEvent, posts: number): number {
  return 100 / Math.sqrt(posts * 100);
}

/** All but how the parts are weighed; the mean of the events is still a vector. */
export type RelevanceParts = Omit<RelevanceWeights, 'stack' | 'priorLines'> & { readonly priorMean: Float32Array };

function trainParts(events: readonly ReadEvent[]): RelevanceParts {
  const dimensions = events[0]?.mean.length ?? 0;
  const direction = trainDirection(events, dimensions);
  return {
    priorMean: meanOf(
      events.map(({ mean }) => mean),
      dimensions,
    ),
    direction: direction.subarray(0, dimensions),
    directionBias: direction[dimensions] ?? 0,
    ...countWords(events),
  };
}

function trainDirection(events: readonly ReadEvent[], dimensions: number): Float32Array {
  const posts = events.flatMap((event) =>
    event.posts.filter(({ post }) => post.relevance !== undefined).map((post) => ({ event, post })),
  );
  const rows = new Float32Array(posts.length * dimensions);
  posts.forEach(({ event, post }, row) => {
    for (let index = 0; index < dimensions; index++) {
      rows[row * dimensions + index] = (post.vector[index] ?? 0) - (event.mean[index] ?? 0);
    }
  });
  return Float32Array.from(
    logisticRegression(
      {
        rows,
        width: dimensions,
        classes: Uint8Array.from(posts, ({ post }) => (post.post.relevance === 'relevant' ? 1 : 0)),
        weights: new Float32Array(posts.length).fill(1),
      },
      0.5,
    ),
  );
}

/**
 * Every word counts as if it stood in so many more posts in general: otherwise any rare word would be particular to
 * the event that uses it twice.
 */
const sharePosts = 8;

/** Naive Bayes over words that stand in two posts or more, and the share of posts about nothing that hold each word. */
function countWords(
  events: readonly ReadEvent[],
): Pick<RelevanceWeights, 'words' | 'logOdds' | 'logShare' | 'unseenLogShare'> {
  const counts = new Map<number, { relevant: number; other: number }>();
  let otherPosts = 0;
  for (const { posts } of events) {
    for (const { post, different } of posts) {
      if (post.relevance === undefined) continue;
      if (post.relevance === 'not_relevant') otherPosts++;
      for (const { hash } of different) {
        let count = counts.get(hash);
        if (count === undefined) counts.set(hash, (count = { relevant: 0, other: 0 }));
        if (post.relevance === 'relevant') count.relevant++;
        else count.other++;
      }
    }
  }
  const kept = [...counts].filter(([, { relevant, other }]) => relevant + other >= 2).sort(([a], [b]) => a - b);
  const relevantWords = kept.reduce((sum, [, { relevant }]) => sum + relevant, 0);
  const otherWords = kept.reduce((sum, [, { other }]) => sum + other, 0);
  return {
    words: createHashTable(Int32Array.from(kept, ([hash]) => hash)),
    logOdds: Float32Array.from(
      kept,
      ([, { relevant, other }]) => Math.log((relevant + 0.5) / relevantWords) - Math.log((other + 0.5) / otherWords),
    ),
    logShare: Float32Array.from(kept, ([, { other }]) => Math.log((other + sharePosts) / (otherPosts + 50))),
    unseenLogShare: Math.log(sharePosts / (otherPosts + 50)),
  };
}

/** The features of an event's posts as the classifier would find them, one after the other. */
export function runEvent(event: ReadEvent, parts: RelevanceParts): readonly Float32Array[] {
  const state = newEvent(Float32Array.of(product(parts.direction, 0, parts.priorMean)));
  return event.posts.map((post) => {
    const input = relevanceInput(post, parts);
    const features = new Float32Array(stackFeatures);
    relevanceFeatures(input, state, parts, features);
    adapt(state, Float32Array.of(input.line), input.words);
    return features;
  });
}

function relevanceInput({ vector, tokens, different }: ReadPost, parts: RelevanceParts): RelevanceInput {
  const words = different.filter(({ mark }) => !mark).map(({ hash }) => hash);
  return {
    line: product(parts.direction, 0, vector),
    words,
    shares: words.map((hash) => wordKnowledge(parts, hash).share),
    logOdds: tokens.reduce((sum, { hash }) => sum + wordKnowledge(parts, hash).logOdds, 0),
    tokens: tokens.length,
  };
}
