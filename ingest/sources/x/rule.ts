import { WatershedError } from '#core/errors.ts';
import type { Rule } from '#core/contract/event.ts';
import { type Account, type Place, parseRule, requireSubject } from '#core/match/rule.ts';
import type { Term } from '#core/match/term.ts';

/**
 * Lengths in UTF-16 units, which are never less than X's characters (facts: 1,024 for a rule, 512 for recent search).
 */
export const ruleLengthMax = 1024;
export const queryLengthMax = 512;

/**
 * A rule in X's own language, as one or several expressions of at most `lengthMax` that together match the same posts.
 * Throws `bad_request` where one part alone is too long, or the rule has nothing that a stream can be asked for.
 */
export function compileRule(rule: Rule, lengthMax: number): string[] {
  const parsed = parseRule(rule);
  requireSubject(parsed);
  const subjects = [...parsed.any.map(wordsOf), ...parsed.accounts.flatMap(accountOf)];
  const needed = [...parsed.all.map(wordsOf), ...parsed.none.map((term) => `-${wordsOf(term)}`)].join(' ');
  const languages = anyOf([...new Set(parsed.languages.map((language) => `lang:${language.split('-')[0] ?? language}`))]);
  const fixed = [needed, languages].filter((part) => part !== '').join(' ');
  if (parsed.any.length + parsed.accounts.length > 0 && subjects.length === 0) {
    throw new WatershedError('bad_request', 'X has none of the accounts of the rule', { hint: 'name an account of X, or a term' });
  }
  // Each part may take half of what the needed terms leave, so that subjects and places can be combined.
  const roomLeft = lengthMax - fixed.length - 2;
  const places = groups(parsed.places.map(placeOf), subjects.length === 0 ? roomLeft : Math.floor(roomLeft / 2));
  const widest = Math.max(0, ...places.map((group) => group.length + 1));
  return groups(subjects, roomLeft - widest).flatMap((subject) => places.map((place) =>
    [subject, fixed, place].filter((part) => part !== '').join(' ')));
}

/** Alternatives put together to groups no longer than `lengthMax`; one empty group where there are none. */
function groups(alternatives: readonly string[], lengthMax: number): string[] {
  if (alternatives.length === 0) return [''];
  const made: string[][] = [];
  for (const alternative of alternatives) {
    const last = made.at(-1);
    if (last !== undefined && anyOf([...last, alternative]).length <= lengthMax) last.push(alternative);
    else made.push([alternative]);
  }
  const tooLong = made.find((group) => anyOf(group).length > lengthMax);
  if (tooLong !== undefined) {
    throw new WatershedError('bad_request', `the rule is too long for X: ${tooLong[0]?.slice(0, 60)} does not fit beside what all posts must hold`, {
      hint: 'shorten `all` and `none`; alternatives in `any` may be as many as you like',
    });
  }
  return made.map(anyOf);
}

/** AND binds before OR: alternatives stand in parentheses. */
function anyOf(alternatives: readonly string[]): string {
  return alternatives.length > 1 ? `(${alternatives.join(' OR ')})` : alternatives[0] ?? '';
}

// Words go in quotation marks, so that no operator of X is read into them. X compares accents exactly: hence the term
// in the hand of its writer and not its folded key.
function wordsOf(term: Term): string {
  if (term.kind === 'hashtag') return `#${term.written.replace(/^[#＃]/u, '')}`;
  const inner = term.written.replaceAll(/["“”„«»]/gu, ' ').replaceAll(/\s+/gu, ' ').trim();
  return `"${inner}"`;
}

/** Accounts of other networks have no operator. */
function accountOf(account: Account): string[] {
  const isX = account.kind === 'id' ? /^\d+$/.test(account.key) : !account.key.includes('.');
  return isX ? [`from:${account.key}`] : [];
}

function placeOf(place: Place): string {
  switch (place.kind) {
    case 'country':
      return `place_country:${place.code}`;
    case 'name':
      return `place:"${place.key}"`;
    case 'box':
      return `bounding_box:[${place.west} ${place.south} ${place.east} ${place.north}]`;
  }
}
