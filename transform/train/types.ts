import { informationTypes } from '../classifiers/classifier.ts';
import { gramsOf } from '../classifiers/features.ts';
import { createHashTable, type HashTable } from '../classifiers/hash-table.ts';
import { hashPair } from '../classifiers/text.ts';
import type { TypeWeights } from '../classifiers/weights.ts';
import { minimise, softmaxRegression } from './minimise.ts';
import type { ReadEvent, ReadPost, TrainWord } from './read.ts';

const classes = informationTypes.length;

/**
 * An n-gram counts only when it stands in so many of the training events: what is one event's own says nothing of the
 * next.
 */
const eventsMin = 3;
/** Between no balance (0) and classes of equal weight (1): macro-F1 asks for much, calibration for little. */
const balance = 0.7;
/** Half the penalty on squared weights, for words and pairs, for character n-grams, and for vectors. */
const ridges = { whole: 0.05, grams: 0.15, vector: 1 / 6 };
const iterations = 40;
/**
 * The three models say much of the same: their product is by so much too sure. The least log loss on held-out events.
 */
const sharpness = 0.4;

/** The model of information types from these events. */
export function trainTypes(events: readonly ReadEvent[]): TypeWeights {
  const examples = events.flatMap((event, index) =>
    event.posts.flatMap((post) => {
      const label = post.post.type;
      return label === undefined ? [] : [{ event, index, post, label }];
    }),
  );
  const weightOf = classWeights(examples.map(({ label }) => label));
  const featured = examples.map(({ post }) => featuresOf(post));
  const { ngrams, idf } = keepNgrams(
    featured,
    examples.map(({ index }) => index),
  );
  const ngramWeights = new Float32Array(ngrams.keys.length * classes);
  const biases = (['whole', 'grams'] as const).map((kind) =>
    sparseRegression(
      examples.map(({ label }, row) => ({
        ...valued(featured[row]?.[kind] ?? [], ngrams, idf),
        label,
        weight: weightOf[label] ?? 1,
      })),
      ridges[kind],
      ngramWeights,
    ),
  );
  const dimensions = events[0]?.mean.length ?? 0;
  const rows = new Float32Array(examples.length * dimensions);
  examples.forEach(({ event, post }, row) =>
    post.vector.forEach((value, index) => {
      rows[row * dimensions + index] = value - (event.mean[index] ?? 0);
    }),
  );
  const directions = softmaxRegression(
    {
      rows,
      width: dimensions,
      classes: Uint8Array.from(examples, ({ label }) => label),
      weights: Float32Array.from(examples, ({ label }) => weightOf[label] ?? 1),
    },
    classes,
    ridges.vector,
  );
  return {
    ngrams,
    idf,
    ngramWeights,
    wholeBias: biases[0] ?? new Float32Array(classes),
    gramsBias: biases[1] ?? new Float32Array(classes),
    sharpness,
    directions: Float32Array.from(
      { length: classes * dimensions },
      (_, at) => directions[Math.floor(at / dimensions) * (dimensions + 1) + (at % dimensions)] ?? 0,
    ),
    directionBias: Float32Array.from(
      { length: classes },
      (_, label) => directions[label * (dimensions + 1) + dimensions] ?? 0,
    ),
  };
}

function classWeights(labels: readonly number[]): readonly number[] {
  const counts = Array.from({ length: classes }, () => 0);
  for (const label of labels) counts[label] = (counts[label] ?? 0) + 1;
  const raw = counts.map((count) => (labels.length / classes / Math.max(count, 1)) ** balance);
  const mean = labels.reduce((sum, label) => sum + (raw[label] ?? 0), 0) / labels.length;
  return raw.map((weight) => weight / mean);
}

interface Features {
  readonly whole: readonly number[];
  readonly grams: readonly number[];
}

const gramCache = new WeakMap<TrainWord, readonly number[]>();

/**
 * The n-grams of a post as the classifier counts them: of its different words, and of all pairs that stand side by
 * side.
 */
function featuresOf({ tokens, different }: ReadPost): Features {
  const pairs = tokens.slice(1).map((token, index) => hashPair(tokens[index]?.shapeHash ?? 0, token.shapeHash));
  return {
    whole: [...different.map(({ shapeHash }) => shapeHash), ...pairs],
    grams: different.flatMap((word) => {
      let grams = gramCache.get(word);
      if (grams === undefined) gramCache.set(word, (grams = gramsOf(word.text)));
      return grams;
    }),
  };
}

/** The n-grams that stand in enough events, with their inverse document frequency. */
function keepNgrams(
  featured: readonly Features[],
  eventOf: readonly number[],
): { ngrams: HashTable; idf: Float32Array } {
  const counts = new Map<number, { posts: number; events: number; lastEvent: number; lastPost: number }>();
  featured.forEach(({ whole, grams }, row) => {
    const event = eventOf[row] ?? 0;
    for (const hash of [...whole, ...grams]) {
      let count = counts.get(hash);
      if (count === undefined) counts.set(hash, (count = { posts: 0, events: 0, lastEvent: -1, lastPost: -1 }));
      if (count.lastPost !== row) count.posts++;
      if (count.lastEvent !== event) count.events++;
      count.lastPost = row;
      count.lastEvent = event;
    }
  });
  const kept = [...counts].filter(([, { events }]) => events >= eventsMin).sort(([a], [b]) => a - b);
  return {
    ngrams: createHashTable(Int32Array.from(kept, ([hash]) => hash)),
    idf: Float32Array.from(kept, ([, { posts }]) => Math.log((featured.length + 1) / posts)),
  };
}

interface Row {
  /** Positions of the n-grams that count, and their idf scaled to length 1. */
  readonly columns: Uint32Array;
  readonly values: Float32Array;
  readonly label: number;
  readonly weight: number;
}

function valued(hashes: readonly number[], ngrams: HashTable, idf: Float32Array): Pick<Row, 'columns' | 'values'> {
  const columns = hashes.map((hash) => ngrams.indexOf(hash)).filter((index) => index !== -1);
  const norm = Math.sqrt(columns.reduce((sum, column) => sum + (idf[column] ?? 0) ** 2, 0));
  return {
    columns: Uint32Array.from(columns),
    values: Float32Array.from(columns, (column) => (idf[column] ?? 0) / norm),
  };
}

/**
 * Softmax regression over sparse rows by L-BFGS: weights by column and class go into `into`, a bias by class is
 * returned. Columns that no row has are left alone. `ridge` as in `logisticRegression`.
 */
function sparseRegression(rows: readonly Row[], ridge: number, into: Float32Array): Float32Array {
  const used = [...new Set(rows.flatMap(({ columns }) => [...columns]))];
  const place = new Map(used.map((column, index) => [column, index]));
  const packed = rows.map((row) => ({ ...row, columns: row.columns.map((column) => place.get(column) ?? 0) }));
  const biasAt = used.length * classes;
  const scores = new Float64Array(classes);
  const found = minimise(
    (x, gradient) => {
      let value = 0;
      gradient.fill(0);
      for (let at = 0; at < biasAt; at++) {
        value += ridge * (x[at] ?? 0) ** 2;
        gradient[at] = 2 * ridge * (x[at] ?? 0);
      }
      for (const row of packed) value += rowLoss(row, x, gradient, biasAt, scores);
      return value;
    },
    new Float64Array(biasAt + classes),
    iterations,
  );
  used.forEach((column, index) => {
    for (let label = 0; label < classes; label++) into[column * classes + label] = found[index * classes + label] ?? 0;
  });
  return Float32Array.from(found.subarray(biasAt));
}

/** The loss of one row; its slopes are added to the gradient. */
function rowLoss(row: Row, x: Float64Array, gradient: Float64Array, biasAt: number, scores: Float64Array): number {
  for (let label = 0; label < classes; label++) scores[label] = x[biasAt + label] ?? 0;
  for (let index = 0; index < row.columns.length; index++) {
    const from = (row.columns[index] ?? 0) * classes;
    const value = row.values[index] ?? 0;
    for (let label = 0; label < classes; label++) scores[label] = (scores[label] ?? 0) + value * (x[from + label] ?? 0);
  }
  let largest = -Infinity;
  for (const score of scores) largest = Math.max(largest, score);
  const truth = (scores[row.label] ?? 0) - largest;
  let sum = 0;
  for (let label = 0; label < classes; label++) sum += scores[label] = Math.exp((scores[label] ?? 0) - largest);
  for (let label = 0; label < classes; label++) {
    const slope = row.weight * ((scores[label] ?? 0) / sum - (label === row.label ? 1 : 0));
    scores[label] = slope;
    gradient[biasAt + label] = (gradient[biasAt + label] ?? 0) + slope;
  }
  for (let index = 0; index < row.columns.length; index++) {
    const from = (row.columns[index] ?? 0) * classes;
    const value = row.values[index] ?? 0;
    for (let label = 0; label < classes; label++)
      gradient[from + label] = (gradient[from + label] ?? 0) + value * (scores[label] ?? 0);
  }
  return row.weight * (Math.log(sum) - truth);
}
