import { WatershedError } from '../errors.ts';
import type { Rule } from '../contract/event.ts';
import { type Term, keyOf, parseTerm } from './term.ts';

/**
 * What a rule means, for every network:
 *
 *     (one of `any`, or written by one of `accounts`)   unless both are empty
 *     and every one of `all`
 *     and none of `none`
 *     and in one of `languages`, when there are any: "pt" takes pt-BR too
 *     and at one of `places`, when there are any: a country's code, a place's name, or a box "west,south,east,north"
 */
export interface ParsedRule {
  readonly any: readonly Term[];
  readonly all: readonly Term[];
  readonly none: readonly Term[];
  readonly accounts: readonly Account[];
  /** Lower case, BCP 47. */
  readonly languages: readonly string[];
  readonly places: readonly Place[];
}

export interface Account {
  readonly written: string;
  readonly kind: 'handle' | 'id';
  /** Lower case, without @; ids as they are. */
  readonly key: string;
}

export type Place =
  | { readonly kind: 'country'; readonly code: string }
  | { readonly kind: 'name'; readonly key: string }
  | Box;

export interface Box {
  readonly kind: 'box';
  readonly west: number;
  readonly south: number;
  readonly east: number;
  readonly north: number;
}

/** Understands a rule, or throws `bad_request` with a sentence about the first thing that is wrong with it. */
export function parseRule(rule: Rule): ParsedRule {
  const terms = (list: readonly string[] | undefined): Term[] =>
    unique((list ?? []).map(parseTerm), (term) => term.kind + term.key);
  const parsed: ParsedRule = {
    any: terms(rule.any),
    all: terms(rule.all),
    none: terms(rule.none),
    accounts: unique((rule.accounts ?? []).map(parseAccount), ({ key }) => key),
    languages: unique((rule.languages ?? []).map(parseLanguage), (language) => language),
    places: (rule.places ?? []).map(parsePlace),
  };
  const wanted = [...parsed.any, ...parsed.all];
  const same = (term: Term) => (other: Term): boolean => other.kind === term.kind && other.key === term.key;
  const unwanted = parsed.none.find((term) => wanted.some(same(term)));
  if (unwanted !== undefined) {
    throw refusal(`${unwanted.written} is both looked for and left out`,
      'take it out of `none`, or out of `any` and `all`');
  }
  return parsed;
}

/** Throws `bad_request` where a rule has nothing that a stream can be asked for: no term and no account. */
export function requireSubject(rule: ParsedRule): void {
  if (rule.any.length + rule.all.length + rule.accounts.length > 0) return;
  throw refusal('the rule looks for nothing', 'name at least one term in `any` or `all`, or one account');
}

function parseAccount(written: string): Account {
  const name = written.trim().replace(/^[@＠]/u, '');
  if (/^\d{1,20}$|^did:[a-z]+:[a-zA-Z0-9._:%-]{1,200}$/.test(name)) return { written, kind: 'id', key: name };
  const isX = /^[a-z0-9_]{1,15}$/i.test(name);
  const isDomain = name.length <= 253
    && /^([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]([a-z0-9-]{0,61}[a-z0-9])?$/i.test(name);
  if (isX || isDomain) return { written, kind: 'handle', key: name.toLowerCase() };
  throw refusal(`"${written}" is not an account`,
    'an account is a handle of X (at most 15 letters, digits, underscores) or Bluesky (nws.bsky.social), or an id');
}

function parseLanguage(written: string): string {
  const language = written.trim().toLowerCase();
  if (/^[a-z]{2,3}(-[a-z0-9]{1,8})*$/.test(language)) return language;
  throw refusal(`"${written}" is not a language`, 'write its code of two or three letters, such as en, pt-BR or und');
}

function parsePlace(written: string): Place {
  const text = written.trim();
  if (/^[A-Z]{2}$/.test(text)) return { kind: 'country', code: text };
  if (/^[\d\s,.+-]+$/.test(text)) return parseBox(text);
  const key = keyOf(text);
  if (key !== '') return { kind: 'name', key };
  throw refusal(`"${written}" is not a place`,
    'write a country code (TR), a name (Los Angeles) or a box (west,south,east,north)');
}

function parseBox(text: string): Place {
  const [west, south, east, north, ...rest] = text.split(',').map((part) => part.trim() === '' ? NaN : Number(part));
  const fits = west !== undefined && south !== undefined && east !== undefined && north !== undefined
    && rest.length === 0 && west >= -180 && east <= 180 && west < east && south >= -90 && north <= 90 && south < north;
  if (fits) return { kind: 'box', west, south, east, north };
  throw refusal(`"${text}" is not a box on the map`,
    'write west,south,east,north in degrees, such as -118.9,33.7,-117.6,34.8; one across the date line is two boxes');
}

function unique<T>(items: readonly T[], keyOfItem: (item: T) => string): T[] {
  const seen = new Set<string>();
  return items.filter((item) => !seen.has(keyOfItem(item)) && seen.add(keyOfItem(item)));
}

function refusal(message: string, hint: string): WatershedError {
  return new WatershedError('bad_request', message, { hint });
}
