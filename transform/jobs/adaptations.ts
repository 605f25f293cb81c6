import { randomUUID } from 'node:crypto';
import { WatershedError } from '#core/errors.ts';
import { storeNamespace } from '#core/contract/tables.ts';
import type { Store } from '#core/store/store.ts';
import { changeMetadata } from '#warehouse/table/ensure.ts';
import type { CommitContext } from '#warehouse/table/transaction.ts';
import { storeNowMs } from '#warehouse/upkeep/orphans.ts';

/**
 * What a classifier adapted to, kept beside the tables: the commit that adds labels also names, in a property of
 * `classifications`, the object that holds the adaptation after them. An object holds the states that this commit
 * changed, and where those of all other events lie:
 *
 *     length of the index (32 bits, little-endian) · index in JSON {event: [key, start, end]} · states
 */
export interface Adaptations {
  /** The key of the object that holds this adaptation; undefined before the first. */
  readonly key: string | undefined;
  readonly index: ReadonlyMap<string, Place>;
  readonly states: ReadonlyMap<string, Uint8Array>;
}

type Place = readonly [key: string, start: number, end: number];

const root = 'state/classify';

/**
 * The adaptation that an object holds; only the states of `events` are fetched. Reuses what `known` has of the same
 * key.
 */
export async function loadAdaptations(
  store: Store,
  key: string | undefined,
  events: readonly string[],
  known?: Adaptations,
): Promise<Adaptations> {
  const base: Adaptations =
    known !== undefined && known.key === key
      ? known
      : { key, index: key === undefined ? new Map() : await readIndex(store, key), states: new Map() };
  const states = new Map(base.states);
  await Promise.all(
    events.map(async (event) => {
      const place = base.index.get(event);
      if (states.has(event) || place === undefined) return;
      states.set(event, await store.get(place[0], { start: place[1], end: place[2] }));
    }),
  );
  return { ...base, states };
}

async function readIndex(store: Store, key: string): Promise<Map<string, Place>> {
  const head = Buffer.from(await store.get(key, { start: 0, end: 4 }));
  const length = head.length === 4 ? head.readUInt32LE(0) : 0;
  const json = Buffer.from(await store.get(key, { start: 4, end: 4 + length })).toString('utf8');
  try {
    // Written by `saveAdaptations` alone: the shape is that of its index.
    return new Map(Object.entries(JSON.parse(json) as Record<string, Place>));
  } catch (error) {
    throw new WatershedError('corrupt', `${key} does not hold what a classifier adapted to`, {
      cause: error,
      hint: 'restore the object from a backup; without it, the events are learned anew by a new model version',
    });
  }
}

/** Writes the states that changed as a new object. It counts once a commit names it. */
export async function saveAdaptations(
  store: Store,
  before: Adaptations,
  changed: ReadonlyMap<string, Uint8Array>,
  version: string,
): Promise<Adaptations> {
  const key = `${root}/${version}/${randomUUID()}`;
  // Places count from the end of the index, whose own length depends on them: the index is padded to a size known
  // before.
  const others = [...before.index].filter(([event]) => !changed.has(event));
  const room =
    JSON.stringify(Object.fromEntries([...others, ...[...changed.keys()].map((event) => [event, [key, 1e12, 1e12]])]))
      .length * 4;
  const index = new Map<string, Place>(others);
  let at = 4 + room;
  for (const [event, state] of changed) {
    index.set(event, [key, at, at + state.length]);
    at += state.length;
  }
  const head = Buffer.alloc(4 + room, ' ');
  head.writeUInt32LE(room, 0);
  head.write(JSON.stringify(Object.fromEntries(index)), 4);
  await store.put(key, Buffer.concat([head, ...changed.values()]));
  return { key, index, states: new Map([...before.states, ...changed]) };
}

/** Deletes what the new adaptation no longer needs of the one before. */
export async function dropUnneeded(store: Store, before: Adaptations, now: Adaptations): Promise<void> {
  const needed = keysOf(now);
  await Promise.allSettled([...keysOf(before)].filter((key) => !needed.has(key)).map((key) => store.delete(key)));
}

const adaptedPrefix = 'watershed.adapted.';

/** The property of `classifications` that names the object with what a model version adapted to. */
export function adaptedProperty(version: string): string {
  return `${adaptedPrefix}${version}`;
}

/**
 * Deletes objects that no commit names and that are older than `minAgeMs`: what crashed runs left behind, and what
 * older model versions adapted to. A version is given up when it has labelled nothing for so long and `version` has
 * marks of its own wherever that one had some; its marks go with it. Resolves to the number of objects.
 */
export async function sweepAdaptations(context: CommitContext, version: string, minAgeMs: number): Promise<number> {
  const { store } = context;
  const oldMs = await storeNowMs(context) - minAgeMs;
  const made = new Map<string, number>();
  for await (const { key, modifiedAtMs } of store.list(`${root}/`)) made.set(key, modifiedAtMs);
  const isOld = (key: string): boolean => (made.get(key) ?? Infinity) < oldMs;
  let named: readonly string[] = [];
  await changeMetadata(context, { namespace: storeNamespace, name: 'classifications' }, (base) => {
    const left = withoutOthers(base.properties, version, isOld);
    named = Object.entries(left).filter(([name]) => name.startsWith(adaptedPrefix)).map(([, key]) => key);
    return Object.keys(left).length === Object.keys(base.properties).length ? base : { ...base, properties: left };
  });
  const needed = new Set<string>();
  for (const key of named) for (const each of keysOf(await loadAdaptations(store, key, []))) needed.add(each);
  const unneeded = [...made.keys()].filter((key) => !needed.has(key) && isOld(key));
  for (const key of unneeded) await store.delete(key);
  return unneeded.length;
}

/** The properties of `classifications` without those of versions that are given up. */
function withoutOthers(
  properties: Readonly<Record<string, string>>, version: string, isOld: (key: string) => boolean,
): Readonly<Record<string, string>> {
  const names = Object.keys(properties);
  const given = names.filter((name) => name.startsWith(adaptedPrefix) && isOld(properties[name] ?? ''))
    .map((name) => name.slice(adaptedPrefix.length))
    .filter((other) => other !== version && marksOf(names, other).every((place) =>
      properties[`watershed.classified.${version}.${place}`] !== undefined));
  const gone = given.flatMap((other) => [adaptedProperty(other), ...['classified', 'reclassified'].flatMap((kind) =>
    marksOf(names, other).map((place) => `watershed.${kind}.${other}.${place}`))]);
  return Object.fromEntries(Object.entries(properties).filter(([name]) => !gone.includes(name)));
}

/** The places (log identity and partition) that a version has marks of. */
function marksOf(names: readonly string[], version: string): string[] {
  const prefix = `watershed.classified.${version}.`;
  return names.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
}

function keysOf({ key, index }: Adaptations): Set<string> {
  return new Set([...(key === undefined ? [] : [key]), ...[...index.values()].map(([place]) => place)]);
}
