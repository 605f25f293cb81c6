import { WatershedError } from '#core/errors.ts';
import { createHashTable, type HashTable } from './hash-table.ts';
import type { LanguageWeights } from './languages.ts';
import { decodeModel, encodeModel, type ModelFile } from './model-file.ts';

/** What training found, as the linear classifier uses it. */
export interface Weights {
  readonly relevance: RelevanceWeights;
  readonly types: TypeWeights;
  readonly languages: LanguageWeights;
}

export interface RelevanceWeights {
  /**
   * Mean of the training events' posts along the directions of relevance and of each class: where a new event starts
   * from.
   */
  readonly priorLines: Float32Array;
  /** Over the centred vector. */
  readonly direction: Float32Array;
  readonly directionBias: number;
  /** The words of two training posts or more. */
  readonly words: HashTable;
  /** log P(word | relevant) − log P(word | not), by word. */
  readonly logOdds: Float32Array;
  /** log of the share of posts in general that hold the word, by word; and of a word that is not among them. */
  readonly logShare: Float32Array;
  readonly unseenLogShare: number;
  /** Of vector score, word score, first and second keyness, and a constant. */
  readonly stack: Float32Array;
}

export const stackFeatures = 4;

export interface TypeWeights {
  /** Words, pairs and character n-grams that stand in enough of the training events. */
  readonly ngrams: HashTable;
  /** Inverse document frequency, by n-gram. */
  readonly idf: Float32Array;
  /** `classes` weights for each n-gram, one after the other. */
  readonly ngramWeights: Float32Array;
  readonly wholeBias: Float32Array;
  readonly gramsBias: Float32Array;
  /** `classes` rows over the centred vector. */
  readonly directions: Float32Array;
  readonly directionBias: Float32Array;
  /** The summed log-probabilities are multiplied by this before they become probabilities. */
  readonly sharpness: number;
}

/** The weights as a file: what there is for each word and n-gram in 8 bits, everything else in 32. */
export function encodeWeights(weights: Weights, meta: Readonly<Record<string, unknown>>): Buffer {
  const { relevance, types, languages } = weights;
  const language = quantise(languages.weights);
  const logOdds = quantise(relevance.logOdds);
  const ngrams = quantise(types.ngramWeights);
  const share = quantise(relevance.logShare.map((value) => value + shareOffset));
  const idf = quantise(types.idf);
  return encodeModel({ kind: 'weights', ...meta }, [
    { name: 'scales', data: Float32Array.of(logOdds.scale, share.scale, ngrams.scale, idf.scale, language.scale) },
    { name: 'scalars', data: Float32Array.of(relevance.directionBias, relevance.unseenLogShare, types.sharpness) },
    { name: 'prior_lines', data: relevance.priorLines },
    { name: 'relevance_direction', data: relevance.direction },
    { name: 'relevance_stack', data: relevance.stack },
    { name: 'type_whole_bias', data: types.wholeBias },
    { name: 'type_grams_bias', data: types.gramsBias },
    { name: 'type_directions', data: types.directions },
    { name: 'type_direction_bias', data: types.directionBias },
    { name: 'words', data: relevance.words.keys },
    { name: 'word_log_odds', data: logOdds.values },
    { name: 'word_log_share', data: share.values },
    { name: 'ngrams', data: types.ngrams.keys },
    { name: 'ngram_idf', data: idf.values },
    { name: 'ngram_weights', data: ngrams.values },
    { name: 'languages', data: languages.languages.join(' ') },
    { name: 'language_prior', data: languages.prior },
    { name: 'language_features', data: languages.features.keys },
    { name: 'language_weights', data: language.values },
  ]);
}

/** Logarithms of shares lie between −12 and 0: moved to the middle they use all 8 bits. */
const shareOffset = 6;

function quantise(values: Float32Array): { values: Int8Array; scale: number } {
  let largest = 0;
  for (const value of values) largest = Math.max(largest, Math.abs(value));
  const scale = largest === 0 ? 1 : largest / 127;
  return { values: Int8Array.from(values, (value) => Math.round(value / scale)), scale };
}

/** Reads a weights file that was trained on these vectors. Throws `corrupt` or `unsupported`. */
export function decodeWeights(
  bytes: Uint8Array,
  path: string,
  vectorsFingerprint: string,
): { weights: Weights; file: ModelFile } {
  const file = decodeModel(bytes, 'weights', path);
  if (file.meta['vectors'] !== vectorsFingerprint) {
    throw new WatershedError(
      'unsupported',
      `${path} was trained on word vectors ${String(file.meta['vectors'])}, ` +
        `the ones beside it are ${vectorsFingerprint}`,
      { hint: 'take both files from the same version, or run `watershed train`' },
    );
  }
  const [oddsScale = 1, shareScale = 1, ngramScale = 1, idfScale = 1, languageScale = 1] = file.f32('scales');
  const [directionBias = 0, unseenLogShare = 0, sharpness = 1] = file.f32('scalars');
  const widen = (section: string, scale: number, offset = 0): Float32Array =>
    Float32Array.from(file.i8(section), (value) => value * scale - offset);
  const weights: Weights = {
    relevance: {
      priorLines: file.f32('prior_lines'),
      direction: file.f32('relevance_direction'),
      directionBias,
      words: createHashTable(file.i32('words')),
      logOdds: widen('word_log_odds', oddsScale),
      logShare: widen('word_log_share', shareScale, shareOffset),
      unseenLogShare,
      stack: file.f32('relevance_stack'),
    },
    types: {
      ngrams: createHashTable(file.i32('ngrams')),
      idf: widen('ngram_idf', idfScale),
      ngramWeights: widen('ngram_weights', ngramScale),
      wholeBias: file.f32('type_whole_bias'),
      gramsBias: file.f32('type_grams_bias'),
      directions: file.f32('type_directions'),
      directionBias: file.f32('type_direction_bias'),
      sharpness,
    },
    languages: {
      languages: file.text('languages').split(' '),
      features: createHashTable(file.i32('language_features')),
      weights: widen('language_weights', languageScale),
      prior: file.f32('language_prior'),
    },
  };
  return { weights, file };
}

/** What is known of a word by its hash. */
export function wordKnowledge(
  weights: Pick<RelevanceWeights, 'words' | 'logOdds' | 'logShare' | 'unseenLogShare'>,
  hash: number,
): { logOdds: number; share: number } {
  const index = weights.words.indexOf(hash);
  return index === -1
    ? { logOdds: 0, share: Math.exp(weights.unseenLogShare) }
    : { logOdds: weights.logOdds[index] ?? 0, share: Math.exp(weights.logShare[index] ?? 0) };
}
