import type { Rule } from '../contract/event.ts';
import { fold } from './fold.ts';
import { extractHashtags } from './hashtag.ts';
import { type ParsedRule, type Place, parseRule } from './rule.ts';
import { buildAutomaton, buildPrefilter } from './scan.ts';
import { type Term, keyOf } from './term.ts';

/** What a rule can see of a post. */
export interface MatchablePost {
  /** The text, those of quoted and reposted posts, and what else a reader sees: a phrase does not reach across them. */
  readonly texts: readonly string[];
  /** As the network gives them, without sign; those in `texts` are found without. */
  readonly hashtags?: readonly string[];
  /** Links, expanded. */
  readonly urls?: readonly string[];
  /** BCP 47, as the network states it. */
  readonly languages?: readonly string[];
  readonly authorHandle?: string;
  readonly authorId?: string;
  readonly place?: MatchablePlace;
}

export interface MatchablePlace {
  /** ISO 3166-1 alpha-2, capitals. */
  readonly country?: string;
  readonly name?: string;
  /** Degrees, WGS 84. */
  readonly longitude?: number;
  readonly latitude?: number;
}

export interface EventMatch {
  readonly id: string;
  /** The terms that matched, as the analyst wrote them: those of `any`, of `all`, then accounts. */
  readonly matched: readonly string[];
}

export interface Matcher {
  /** The events whose rule holds for the post, in the order they were given. */
  match(post: MatchablePost): EventMatch[];
  /** The terms and accounts of one event that the post holds, whatever else its rule says: where a network decides. */
  matchedTerms(id: string, post: MatchablePost): string[];
  /**
   * A quick no for a post still in JSON, never for one that `match` finds an event for. `authorId` where it is known.
   */
  mayMatch(json: string, authorId: string | undefined): boolean;
}

interface Compiled {
  readonly id: string;
  readonly rule: ParsedRule;
  readonly any: readonly number[];
  readonly all: readonly number[];
  readonly none: readonly number[];
}

/** Compiles the rules of all events into one automaton. Throws `bad_request` for a rule that `parseRule` refuses. */
export function compileRules(events: readonly { readonly id: string; readonly rule: Rule }[]): Matcher {
  const vocabulary = createVocabulary();
  const compiled = events.map(({ id, rule: given }): Compiled => {
    const rule = parseRule(given);
    const numbers = (terms: readonly Term[]): number[] => terms.map(vocabulary.numberOf);
    return { id, rule, any: numbers(rule.any), all: numbers(rule.all), none: numbers(rule.none) };
  });
  const byId = new Map(compiled.map((event) => [event.id, event]));
  const look = createLook(vocabulary);
  const candidates = createCandidates(compiled, vocabulary.count());
  const prefilter = createMayMatch(compiled);
  return {
    match(post) {
      const seen = look(post);
      const matches: EventMatch[] = [];
      for (const index of candidates(seen, post)) {
        const event = compiled[index];
        if (event === undefined || !holds(event, seen, post)) continue;
        matches.push({ id: event.id, matched: matchedOf(event, seen, post) });
      }
      return matches;
    },
    matchedTerms(id, post) {
      const event = byId.get(id);
      return event === undefined ? [] : matchedOf(event, look(post), post);
    },
    mayMatch: prefilter,
  };
}

interface Vocabulary {
  /** One number for each different term of all rules. */
  readonly numberOf: (term: Term) => number;
  readonly words: Map<string, number>;
  readonly hashtags: Map<string, number>;
  count(): number;
}

function createVocabulary(): Vocabulary {
  const words = new Map<string, number>();
  const hashtags = new Map<string, number>();
  let count = 0;
  return {
    words,
    hashtags,
    count: () => count,
    numberOf(term) {
      const map = term.kind === 'words' ? words : hashtags;
      const number = map.get(term.key) ?? count++;
      map.set(term.key, number);
      return number;
    },
  };
}

/** The terms seen in one post. Reused from post to post: `stamps[term] === now` is the test. */
interface Seen {
  now: number;
  readonly stamps: Float64Array;
  readonly list: number[];
}

function createLook(vocabulary: Vocabulary): (post: MatchablePost) => Seen {
  const automaton = buildAutomaton([...vocabulary.words.keys()]);
  const numbers = [...vocabulary.words.values()];
  const { hashtags } = vocabulary;
  const seen: Seen = { now: 0, stamps: new Float64Array(vocabulary.count()).fill(-1), list: [] };
  const add = (term: number | undefined): void => {
    if (term === undefined || seen.stamps[term] === seen.now) return;
    seen.stamps[term] = seen.now;
    seen.list.push(term);
  };
  const hit = (pattern: number): void => add(numbers[pattern]);
  return (post) => {
    seen.now++;
    seen.list.length = 0;
    for (const text of post.texts) {
      automaton.scan(text, hit);
      if (hashtags.size > 0) for (const name of extractHashtags(text)) add(hashtags.get(fold(name)));
    }
    for (const url of post.urls ?? []) automaton.scan(readableUrl(url), hit);
    for (const name of post.hashtags ?? []) {
      automaton.scan(name, hit);
      if (hashtags.size > 0) add(hashtags.get(fold(name)));
    }
    return seen;
  };
}

/** The words of an address: unescaped, its points and underscores being no part of words there. */
function readableUrl(url: string): string {
  let text = url;
  if (url.includes('%')) {
    try {
      text = decodeURIComponent(url);
    } catch {
      // Not UTF-8, or cut within an escape: read as it is.
    }
  }
  return text.replace(/[._:']/g, ' ');
}

/** Which events to look at for a post: by the terms seen and the author, and always those that ask for neither. */
function createCandidates(compiled: readonly Compiled[], terms: number): (seen: Seen, post: MatchablePost) => number[] {
  const byTerm: number[][] = Array.from({ length: terms }, () => []);
  const byAccount = new Map<string, number[]>();
  const always: number[] = [];
  compiled.forEach((event, index) => {
    const { accounts } = event.rule;
    for (const { key } of accounts) byAccount.set(key, [...byAccount.get(key) ?? [], index]);
    for (const term of event.any) byTerm[term]?.push(index);
    if (event.any.length > 0 || accounts.length > 0) return;
    if (event.all[0] === undefined) always.push(index);
    else byTerm[event.all[0]]?.push(index);
  });
  return (seen, post) => {
    const byAuthor = byAccount.size === 0 ? [] : authorKeys(post).flatMap((key) => byAccount.get(key) ?? []);
    if (seen.list.length === 0 && byAuthor.length === 0) return always;
    const found = new Set([...always, ...byAuthor, ...seen.list.flatMap((term) => byTerm[term] ?? [])]);
    return [...found].toSorted((a, b) => a - b);
  };
}

function authorKeys(post: MatchablePost): string[] {
  const keys: string[] = [];
  if (post.authorId !== undefined) keys.push(post.authorId);
  if (post.authorHandle !== undefined) keys.push(post.authorHandle.toLowerCase());
  return keys;
}

function holds(event: Compiled, seen: Seen, post: MatchablePost): boolean {
  const has = (term: number): boolean => seen.stamps[term] === seen.now;
  const { accounts, languages, places } = event.rule;
  if (event.none.some(has) || !event.all.every(has)) return false;
  const asksFor = event.any.length + accounts.length > 0;
  if (asksFor && !event.any.some(has) && accountsOf(event, post).length === 0) return false;
  const stated = post.languages ?? [];
  if (languages.length > 0 && !languages.some((wanted) => stated.some((one) => speaks(one, wanted)))) return false;
  return places.length === 0 || places.some((place) => lies(post.place, place));
}

function matchedOf(event: Compiled, seen: Seen, post: MatchablePost): string[] {
  const has = (terms: readonly Term[], numbers: readonly number[]): string[] =>
    terms.filter((_, index) => seen.stamps[numbers[index] ?? -1] === seen.now).map(({ written }) => written);
  return [...has(event.rule.any, event.any), ...has(event.rule.all, event.all), ...accountsOf(event, post)];
}

function accountsOf(event: Compiled, post: MatchablePost): string[] {
  const keys = authorKeys(post);
  return event.rule.accounts.filter(({ key }) => keys.includes(key)).map(({ written }) => written);
}

function speaks(stated: string, wanted: string): boolean {
  const language = stated.toLowerCase();
  return language === wanted || language.startsWith(`${wanted}-`);
}

function lies(at: MatchablePlace | undefined, wanted: Place): boolean {
  if (at === undefined) return false;
  switch (wanted.kind) {
    case 'country':
      return at.country === wanted.code;
    case 'name':
      return at.name !== undefined && ` ${keyOf(at.name)} `.includes(` ${wanted.key} `);
    case 'box':
      return at.longitude !== undefined && at.latitude !== undefined
        && at.longitude >= wanted.west && at.longitude <= wanted.east
        && at.latitude >= wanted.south && at.latitude <= wanted.north;
  }
}

function createMayMatch(compiled: readonly Compiled[]): Matcher['mayMatch'] {
  const keys = new Set<string>();
  const authors = new Set<string>();
  let always = false;
  for (const { rule } of compiled) {
    for (const { kind, key } of rule.accounts) {
      if (kind === 'id') authors.add(key);
      else always = true; // a handle does not stand in the JSON of every network
    }
    if (rule.any.length > 0 || rule.accounts.length > 0) {
      for (const { key } of rule.any) keys.add(key);
    } else {
      const rarest = rule.all.toSorted((a, b) => b.key.length - a.key.length)[0];
      if (rarest === undefined) always = true;
      else keys.add(rarest.key);
    }
  }
  const prefilter = buildPrefilter([...keys]);
  return (json, authorId) => always || (authorId !== undefined && authors.has(authorId)) || prefilter.mayHold(json);
}
