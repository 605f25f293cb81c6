import { fold, foldedUnits, mustFold, needsFolding } from './fold.ts';
import { isEdge, isTermBoundary, wordClass as c, wordClasses } from './wordbreak.ts';

const inWord = 0;
const gap = 1;
const byNeighbours = 2; // apostrophes, points, colons: part of "don't", "3.5" and "example.com", else a gap
const byPrevious = 3; // marks belong to what stands before them
const highSurrogate = 4;

const kinds: Uint8Array = kindsOfUnits();

function kindsOfUnits(): Uint8Array {
  const kindOfClass = new Uint8Array(32).fill(inWord);
  for (const value of [c.other, c.space, c.carriageReturn, c.lineFeed, c.newline]) kindOfClass[value] = gap;
  const between = [c.midLetter, c.midNumber, c.midBoth, c.singleQuote, c.doubleQuote];
  for (const value of between) kindOfClass[value] = byNeighbours;
  for (const value of [c.extend, c.format, c.zeroWidthJoiner]) kindOfClass[value] = byPrevious;
  return Uint8Array.from({ length: 0x10000 }, (_, unit) => {
    if (unit >= 0xd800 && unit <= 0xdfff) return unit < 0xdc00 ? highSurrogate : inWord;
    return kindOfClass[wordClasses[unit] ?? 0] ?? gap;
  });
}

/**
 * True where the code unit belongs to no word: spaces, punctuation, signs. Between the words of a phrase any may stand.
 */
export function isGap(text: string, at: number): boolean {
  const kind = kinds[text.charCodeAt(at)];
  if (kind === inWord) return false;
  if (kind === gap) return true;
  if (kind === byNeighbours) return isTermBoundary(text, at) || isTermBoundary(text, at + 1);
  if (kind === byPrevious) return at === 0 || isGap(text, at - 1);
  const value = wordClasses[text.codePointAt(at) ?? 0] ?? 0;
  return value === c.other;
}

/**
 * A tree of patterns over code units. A pattern is a folded text in which a space stands for any run of gaps. Found are
 * patterns that begin and end at an edge (`isEdge`). The text is walked from edges only; the inside of words is passed
 * over at two table look-ups a character, so that no failure links are needed.
 */
export interface Automaton {
  /** Calls `hit` with the index of each pattern in the text; the same one may come twice. */
  scan(text: string, hit: (pattern: number) => void): void;
}

const spaceUnit = 32;
const unitsAsTheyAre = Uint16Array.from({ length: 0x10000 }, (_, unit) => unit);

export function buildAutomaton(patterns: readonly string[]): Automaton {
  const { edges, ends } = buildTree(patterns);
  const first = beginnings(edges, patterns);
  return {
    scan(given, hit) {
      const whole = mustFold(given);
      const text = whole ? fold(given) : given;
      const units = whole ? unitsAsTheyAre : foldedUnits;
      for (let at = 0; at < text.length; at++) {
        const unit = text.charCodeAt(at);
        const node = whole ? edges.child(rootNode, unit) : first[unit] ?? 0;
        if (node !== 0 && isEdge(text, at)) walk(edges, ends, text, units, node, at + 1, hit);
      }
    },
  };
}

function walk(
  edges: Edges, ends: Int32Array, text: string, units: Uint16Array, start: number, from: number,
  hit: (pattern: number) => void,
): void {
  let node = start;
  for (let at = from; ; ) {
    const end = ends[node] ?? -1;
    if (end >= 0 && isEdge(text, at)) hit(end);
    if (at >= text.length) return;
    let unit = units[text.charCodeAt(at)] ?? 0;
    if (kinds[unit] !== inWord && isGap(text, at)) {
      do at++; while (at < text.length && isGap(text, at));
      unit = spaceUnit;
    } else {
      at++;
    }
    node = edges.child(node, unit);
    if (node === 0) return;
  }
}

/** Says whether a JSON text may hold a pattern in one of its strings: after a quick no it need not be parsed. */
export interface Prefilter {
  mayHold(json: string): boolean;
}

const backslash = 92;
const percent = 37;

/** Never says no to a text that `buildAutomaton(patterns)` finds something in, once its strings are decoded. */
export function buildPrefilter(patterns: readonly string[]): Prefilter {
  const runs = patterns.map(firstRun);
  const { edges, ends } = buildTree(runs);
  const first = beginnings(edges, runs);
  return {
    mayHold(json) {
      let inside = false; // within a word, where no pattern begins
      for (let at = 0; at < json.length; at++) {
        const unit = json.charCodeAt(at);
        if (foldedUnits[unit] === needsFolding) return true;
        const escaped = unit === backslash || unit === percent ? escapeLength(json, at) : 0;
        if (escaped < 0) return true;
        if (escaped > 0) {
          at += escaped - 1;
          inside = false;
          continue;
        }
        const value = wordClasses[unit] ?? 0;
        // Not the underscore: it parts the words of an address.
        const joins = value === c.letter || value === c.numeric || value === c.hebrew;
        let node = inside && joins ? 0 : first[unit] ?? 0;
        for (let next = at + 1; node !== 0; next++) {
          if ((ends[node] ?? -1) >= 0) return true;
          node = next < json.length ? edges.child(node, foldedUnits[json.charCodeAt(next)] ?? 0) : 0;
        }
        inside = joins;
      }
      return false;
    },
  };
}

/** The length of an escape (JSON's or an address's) of a sign; 0 where there is none, -1 where it may be a letter. */
function escapeLength(json: string, at: number): number {
  const next = json[at + 1] ?? '';
  if (json[at] === '\\') return next === 'u' ? -1 : 2;
  if (!/^[0-9a-f]{2}$/i.test(json.slice(at + 1, at + 3))) return 0; // "50%2" at the end of a line is no escape
  return next === '2' ? 3 : -1; // %20 to %2F: a space or punctuation
}

// What a pattern begins with, up to the first character that may be written in several ways or escaped in JSON.
function firstRun(pattern: string): string {
  let at = 1;
  while (at < pattern.length) {
    const unit = pattern.charCodeAt(at);
    if (kinds[unit] !== inWord && kinds[unit] !== highSurrogate) break;
    at++;
  }
  return pattern.slice(0, at);
}

const rootNode = 1;

function buildTree(patterns: readonly string[]): { edges: Edges; ends: Int32Array } {
  const edges = createEdges(patterns.reduce((sum, pattern) => sum + pattern.length, 0));
  const ends: number[] = [-1, -1]; // by node: the pattern that ends there; node 0 is none
  patterns.forEach((pattern, index) => {
    let node = rootNode;
    for (let at = 0; at < pattern.length; at++) {
      const unit = pattern.charCodeAt(at);
      node = edges.child(node, unit) || edges.add(node, unit, ends.push(-1) - 1);
    }
    ends[node] = index;
  });
  return { edges, ends: Int32Array.from(ends) };
}

/** The node that each code unit leads to from the root, as it stands in a text that need not be folded. */
function beginnings(edges: Edges, patterns: readonly string[]): Int32Array {
  const first = new Int32Array(0x10000);
  for (const unit of new Set(patterns.map((pattern) => pattern.charCodeAt(0)))) {
    for (const written of writings.get(unit) ?? []) first[written] = edges.child(rootNode, unit);
  }
  return first;
}

/** The code units that fold to each code unit. */
const writings: ReadonlyMap<number, readonly number[]> = Map.groupBy(
  Array.from({ length: 0x10000 }, (_, unit) => unit), (unit) => foldedUnits[unit] ?? unit);

interface Edges {
  /** The node that `unit` leads to from `node`, or 0. */
  child(node: number, unit: number): number;
  add(node: number, unit: number, child: number): number;
}

// Open addressing in two typed arrays: a Map with keys above 2^31 costs ten times as much a look-up.
function createEdges(count: number): Edges {
  const size = 2 ** Math.max(4, Math.ceil(Math.log2(count * 2 + 1)));
  const mask = size - 1;
  const keys = new Float64Array(size); // node * 65536 + unit; 0 is free, for nodes begin at 1
  const children = new Int32Array(size);
  const slotOf = (node: number, unit: number): number => {
    const key = node * 0x10000 + unit;
    let slot = (Math.imul(node, 0x9e3779b1) ^ Math.imul(unit, 0x85ebca6b)) >>> 7 & mask;
    while (keys[slot] !== 0 && keys[slot] !== key) slot = slot + 1 & mask;
    return slot;
  };
  return {
    child: (node, unit) => children[slotOf(node, unit)] ?? 0,
    add(node, unit, child) {
      const slot = slotOf(node, unit);
      keys[slot] = node * 0x10000 + unit;
      children[slot] = child;
      return child;
    },
  };
}
