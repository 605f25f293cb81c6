import { textCharsMax, type Answer } from './classifier.ts';
import type { HashTable } from './hash-table.ts';
import { hashRange, hashText } from './text.ts';
import { softmax } from './types.ts';

/** What training found of languages. */
export interface LanguageWeights {
  /** BCP 47, in the order of the columns. */
  readonly languages: readonly string[];
  /** Words and runs of characters. */
  readonly features: HashTable;
  /** For each feature and language the logarithm of how much likelier it is there than where it never occurs. */
  readonly weights: Float32Array;
  /** By language, before anything is read. */
  readonly prior: Float32Array;
}

const gramMax = 4;
const wordCharsMax = 30;
/** More words change nothing, and a text of 4,096 characters would be surer than sure. */
const wordsMax = 60;
const wordSeed = 5;
const gramSeed = 4;
const scriptSeed = 6;

/**
 * Hashes of a text's words and of the runs of 1 to 4 characters in them, as often as they occur; links, names and
 * hashtags say nothing.
 */
export function languageFeatures(text: string): number[] {
  const plain = text
    .slice(0, textCharsMax)
    .normalize('NFC')
    .toLowerCase()
    .replace(/https?:\S*|[@#][\p{L}\p{M}\p{N}_]+/gu, ' ');
  const hashes: number[] = [];
  for (const word of (plain.match(/[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)*/gu) ?? []).slice(0, wordsMax)) {
    const padded = ` ${word.slice(0, wordCharsMax)} `;
    hashes.push(hashText(word, wordSeed));
    const script = scriptOf(word);
    if (script !== undefined) hashes.push(script, script, script);
    for (let length = 1; length <= gramMax; length++) {
      for (let at = 0; at + length <= padded.length; at++)
        if (length > 1 || at > 0) hashes.push(hashRange(padded, at, at + length, gramSeed));
    }
  }
  return hashes;
}

/**
 * Scripts that few languages are written in: that says more than any run of characters, and holds for words never
 * seen.
 */
const scripts = [
  'Hangul',
  'Hiragana',
  'Katakana',
  'Han',
  'Thai',
  'Lao',
  'Khmer',
  'Myanmar',
  'Hebrew',
  'Greek',
  'Armenian',
  'Georgian',
  'Ethiopic',
  'Devanagari',
  'Bengali',
  'Gurmukhi',
  'Gujarati',
  'Tamil',
  'Telugu',
  'Kannada',
  'Malayalam',
  'Sinhala',
  'Arabic',
  'Cyrillic',
].map((name) => ({ pattern: new RegExp(`\\p{Script=${name}}`, 'u'), hash: hashText(name, scriptSeed) }));

function scriptOf(word: string): number | undefined {
  return word.charCodeAt(0) < 0x0370 ? undefined : scripts.find(({ pattern }) => pattern.test(word))?.hash;
}

/** Runs of characters overlap, so that the product of their likelihoods is far too sure. */
const sharpness = 0.15;
/** Languages that an answer tells the probability of. */
const shown = 3;

/** The language of a text, `und` (undetermined) where it has no words. */
export function tellLanguage(text: string, { languages, features, weights, prior }: LanguageWeights): Answer {
  const scores = Float64Array.from(prior);
  let known = 0;
  for (const hash of languageFeatures(text)) {
    const index = features.indexOf(hash);
    if (index === -1) continue;
    known++;
    for (let column = 0; column < languages.length; column++) {
      scores[column] = (scores[column] ?? 0) + (weights[index * languages.length + column] ?? 0);
    }
  }
  if (known === 0) return { question: 'language', label: 'und', score: 1, scores: { und: 1 } };
  const probabilities = softmax(scores.map((score) => score * sharpness));
  const best = languages
    .map((language, column) => ({ language, probability: Math.round((probabilities[column] ?? 0) * 10_000) / 10_000 }))
    .sort((a, b) => b.probability - a.probability || (a.language < b.language ? -1 : 1))
    .slice(0, shown);
  return {
    question: 'language',
    label: best[0]?.language ?? 'und',
    score: best[0]?.probability ?? 0,
    scores: Object.fromEntries(best.map(({ language, probability }) => [language, probability])),
  };
}
