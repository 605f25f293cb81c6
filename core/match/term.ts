import { WatershedError } from '../errors.ts';
import { fold } from './fold.ts';
import { extractHashtags, isHashtag } from './hashtag.ts';
import { isGap } from './scan.ts';

/**
 * A term of a rule, understood.
 * - `words`: `key` is the folded text, every run of spaces and punctuation between words being one space.
 * - `hashtag`: `key` is the folded name without the sign.
 */
export interface Term {
  /** As the analyst wrote it: what column `matched` shows. */
  readonly written: string;
  readonly kind: 'words' | 'hashtag';
  readonly key: string;
}

const quotes: readonly (readonly [string, string])[] = [['"', '"'], ['“', '”'], ['„', '“'], ['„', '”'], ['«', '»']];
const operators = 'from|to|lang|url|place|place_country|bio|context|entity|conversation_id|has|is|retweets_of|point_radius'
  + '|bounding_box';
const operator = new RegExp(`^-?(${operators}):`, 'iu');
const outerSign = /^[\p{Sm}\p{Sc}\p{Sk}]|(?![\p{Extended_Pictographic}\p{Emoji_Modifier}\p{Regional_Indicator}])\p{S}$/u;
const termCharactersMax = 200;

/**
 * Understands a term: a word, a `"quoted phrase"` or a `#hashtag`. Throws `bad_request` with a sentence that says what
 * is wrong with it and, in the hint, what to write instead.
 */
export function parseTerm(written: string): Term {
  const text = written.trim();
  if (text === '') throw refusal('a term is empty', 'write a word, a "quoted phrase" or a #hashtag');
  if (text.length > termCharactersMax) {
    throw refusal(`a term is longer than ${termCharactersMax} characters: ${shown(text.slice(0, 40))}…`,
      'a few words are enough');
  }
  if (/\p{Cc}|\p{Cs}/u.test(text)) {
    throw refusal(`${shown(text)} holds a control character`, 'write it in one line of plain text');
  }
  return /^[#＃]/u.test(text) ? parseHashtag(text) : parseWords(text);
}

function parseHashtag(text: string): Term {
  const name = text.slice(1);
  if (!isHashtag(name) || extractHashtags(text)[0] !== name) {
    throw refusal(`${shown(text)} is not a hashtag on any network`,
      'after the # come letters, digits and underscores, at least one letter, no space');
  }
  return { written: text, kind: 'hashtag', key: fold(name) };
}

function parseWords(text: string): Term {
  const quoted = quotes.find(([open, close]) => text.length > 1 && text.startsWith(open) && text.endsWith(close));
  const inner = quoted === undefined ? text : text.slice(1, -1).trim();
  if (quoted === undefined) requireOneWord(text);
  if (inner.startsWith('"') || inner.endsWith('"')) {
    throw refusal(`the quotation marks of ${shown(text)} do not pair`, 'a phrase stands between two of them');
  }
  const key = keyOf(inner);
  if (key === '') {
    throw refusal(`${shown(text)} has no letter, digit or emoji to look for`,
      'write a word, a "quoted phrase" or a #hashtag');
  }
  const sign = outerSign.exec(inner)?.[0];
  if (sign !== undefined) {
    throw refusal(`${shown(text)} would be looked for without its ${sign}, as ${shown(key)}`,
      `signs are not part of words: if ${shown(key)} is what you want, write that`);
  }
  return { written: text, kind: 'words', key };
}

function requireOneWord(text: string): void {
  if (/^["“„«]|["”»]$/u.test(text)) {
    throw refusal(`the quotation marks of ${shown(text)} do not pair`, 'a phrase stands between two of them');
  }
  if (/\s/u.test(text)) {
    throw refusal(`${shown(text)} is more than one word`,
      `put it in quotation marks to find the words side by side, or give each word as a term of its own`);
  }
  if (/^[@＠]/u.test(text)) {
    throw refusal(`${shown(text)} is an account`,
      'to follow its posts put it among the accounts; to find mentions write it without the @');
  }
  if (text.startsWith('-')) throw refusal(`${shown(text)} begins with a minus`, 'terms to leave out go into `none`');
  if (operator.test(text)) {
    throw refusal(`${shown(text)} is an operator of X, which other networks do not know`,
      'use accounts, languages or places of the rule');
  }
}

/** The folded text with one space for every run of gaps, none at its ends. */
export function keyOf(text: string): string {
  const folded = fold(text);
  let key = '';
  for (let at = 0; at < folded.length; at++) {
    if (!isGap(folded, at)) key += folded[at];
    else if (key !== '' && !key.endsWith(' ')) key += ' ';
  }
  return key.trimEnd();
}

function refusal(message: string, hint: string): WatershedError {
  return new WatershedError('bad_request', message, { hint });
}

function shown(text: string): string {
  return text.startsWith('"') ? text : `"${text}"`;
}
