import { gunzipSync } from 'node:zlib';
import { createHashTable } from '../classifiers/hash-table.ts';
import { languageFeatures, tellLanguage, type LanguageWeights } from '../classifiers/languages.ts';

/** A language of samples/training/languages.jsonl.gz. */
export interface LanguageSample {
  readonly language: string;
  readonly text: string;
  readonly words: readonly string[];
}

export function readLanguages(gzipped: Uint8Array): readonly LanguageSample[] {
  return gunzipSync(gzipped)
    .toString('utf8')
    .split('\n')
    .filter((line) => line !== '')
    // The file is ours and its lines are made by one script: the shape is that of `LanguageSample`.
    .map((line) => JSON.parse(line) as LanguageSample);
}

/** A word of the list of common words counts as if it stood so often in the text. */
const listedCount = 6;
/** Features kept of each language: the most frequent ones. */
const keptPerLanguage = 450;
/** What a feature that never occurs in a language counts. */
const unseen = 0.3;
/** Text is cut into pieces of a post's length. */
const pieceChars = 400;
/** Posts are of these languages far more often than of the others. */
const frequent = new Set(['en', 'es', 'pt', 'fr', 'de', 'it', 'ja', 'ar', 'id', 'tl', 'tr', 'ru', 'hi']);
function priorOf(language: string): number {
  if (language === 'en') return 14;
  return frequent.has(language) ? 6 : 0;
}

/** A post teaches when the model of the texts alone is so sure. */
const sureEnough = 0.9;
const postsPerLanguageMax = 2000;

/**
 * Counts words and runs of characters in the text of each language, then once more with the posts of which that is
 * sure: declarations do not speak as people do.
 */
export function trainLanguages(samples: readonly LanguageSample[], posts: readonly string[]): LanguageWeights {
  const counts = samples.map(({ text, words }) => {
    const count = new Map<number, number>();
    for (let at = 0; at < text.length; at += pieceChars)
      addAll(count, languageFeatures(text.slice(at, at + pieceChars)), 1);
    for (const word of words) addAll(count, languageFeatures(word).slice(0, 1), listedCount);
    return count;
  });
  const languages = samples.map(({ language }) => language);
  const first = weigh(languages, counts);
  const taught = new Map<string, string[]>();
  for (const post of posts) {
    const { label, score } = tellLanguage(post, first);
    const some = taught.get(label) ?? [];
    if (score >= sureEnough && some.length < postsPerLanguageMax) taught.set(label, [...some, post]);
  }
  languages.forEach((language, index) => {
    const some = taught.get(language) ?? [];
    const count = counts[index];
    const features = some.map((post) => languageFeatures(post));
    const mass = features.reduce((sum, { length }) => sum + length, 0);
    // Of the others too few posts are right: what looks like a rare language is mostly a common one misspelt.
    if (count === undefined || !frequent.has(language)) return;
    // The posts together weigh no more than the text.
    const weight = Math.min(1, sumOf(count) / mass);
    for (const hashes of features) addAll(count, hashes, weight);
  });
  return weigh(languages, counts);
}

function addAll(count: Map<number, number>, hashes: readonly number[], by: number): void {
  for (const hash of hashes) count.set(hash, (count.get(hash) ?? 0) + by);
}

function sumOf(count: ReadonlyMap<number, number>): number {
  let sum = 0;
  for (const value of count.values()) sum += value;
  return sum;
}

function weigh(languages: readonly string[], counts: readonly ReadonlyMap<number, number>[]): LanguageWeights {
  const kept = new Set(
    counts.flatMap((count) =>
      [...count]
        .sort(([a, x], [b, y]) => y - x || a - b)
        .slice(0, keptPerLanguage)
        .map(([hash]) => hash),
    ),
  );
  const keys = Int32Array.from(kept).sort();
  const masses = counts.map(sumOf);
  const typical = masses.toSorted((a, b) => a - b)[Math.floor(masses.length / 2)] ?? 1;
  const weights = new Float32Array(keys.length * languages.length);
  keys.forEach((key, row) =>
    counts.forEach((count, column) => {
      const scaled = ((count.get(key) ?? 0) * typical) / (masses[column] ?? 1);
      weights[row * languages.length + column] = Math.log(scaled + unseen) - Math.log(unseen);
    }),
  );
  return { languages, features: createHashTable(keys), weights, prior: Float32Array.from(languages, priorOf) };
}
