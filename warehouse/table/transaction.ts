import type { Clock, Random } from '#core/clock.ts';
import { WatershedError, isWatershedError, messageOf } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog, CommitRequest, TableRef } from '../catalog/catalog.ts';
import { createTableCache, loadMetadata, storeKey } from './files.ts';
import { nextMetadataPath } from './names.ts';
import type { TableCache } from './files.ts';
import type { ManifestFile } from './manifest-list.ts';
import { serialiseMetadata, snapshotById } from './metadata.ts';
import type { TableMetadata } from './metadata.ts';
import { logMetadata } from './snapshot.ts';

/**
 * The commit of changes to one or several tables at once: staged on the metadata just read, written beside it, and made
 * true by one compare-and-swap in the catalog. Who loses stages anew on what the winner left.
 *
 *     read pointers ──▶ ours already there? ──yes──▶ done
 *          ▲                  │ no
 *          │                  ▼
 *          │      stage ──▶ write objects ──▶ swap pointers ──▶ done
 *          │                                   │        │
 *          └── wait ◀──────────── conflict ◀───┘        └──▶ answer lost: in doubt, nothing is deleted
 *          └── wait ◀───────────────────────────────────────────────┘
 */
export interface CommitContext {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly clock: Clock;
  readonly random: Random;
  /** What was read of immutable files; share one among all that work on the same store. */
  readonly cache?: TableCache;
  readonly crashPoint?: CrashPoint;
}

/**
 * Called after each step with its name; a test ends the process there. What recovery owes: nothing before `committed`
 * is visible, so the batch is written again from the offsets in the table (files left behind are orphans); after
 * `committed` the offsets in the table say so.
 */
export type CrashPoint = (name: string) => void;

/** A change of one table. `stage` must be a function of its base: it runs once per attempt. */
export interface TableChange {
  readonly ref: TableRef;
  /** The snapshot that this change adds, by which it is found after a lost answer. */
  readonly snapshotId?: bigint;
  stage(base: TableMetadata): Promise<Staged>;
}

export interface Staged {
  /** The base itself where nothing changes. */
  readonly metadata: TableMetadata;
  readonly objects: readonly StagedObject[];
  /** The new manifest list as it will be read. */
  readonly list?: { readonly path: string; readonly manifests: readonly ManifestFile[] };
}

export interface StagedObject {
  readonly kind: 'manifest' | 'manifest-list';
  readonly path: string;
  readonly bytes: Uint8Array;
}

export interface Committed {
  readonly ref: TableRef;
  readonly location: string;
  readonly metadata: TableMetadata;
  readonly attempts: number;
  /** Files of our own that nothing names and that could not be deleted: for the orphan sweep. */
  readonly leftovers: readonly string[];
}

/** Enough for a writer at 20 commits a second beside us: losing 30 times in a row does not happen. */
const attemptsMax = 30;
const waitMinMs = 20;
const waitMaxMs = 500;

interface Attempt {
  readonly tables: readonly AttemptedTable[];
}

interface AttemptedTable {
  readonly ref: TableRef;
  readonly expected: string;
  readonly location: string;
  readonly metadata: TableMetadata;
  readonly staged: Staged;
  readonly forgotten: readonly string[];
}

/**
 * Commits all changes or none. **Errors**: whatever `stage` throws; `conflict` after 30 lost races; `fenced` and
 * `corrupt` from the catalog; `not_found` for a table that is not there; `commit_unknown` when the catalog did not come
 * back to say.
 */
export async function commitChanges(
  context: CommitContext,
  changes: readonly TableChange[],
  request: Omit<CommitRequest, 'swaps'>,
): Promise<readonly Committed[]> {
  const cache = context.cache ?? createTableCache();
  const state: State = { context, changes, cache, written: new Set(), attempts: [] };
  for (let tries = 1; ; tries += 1) {
    try {
      const attempt = await tryOnce(state, request);
      return await finish(state, attempt, tries);
    } catch (error) {
      const wait = isWatershedError(error, 'commit_unknown') || (isWatershedError(error) && error.retryable &&
        (error.code === 'conflict' || (error.code === 'unavailable' && state.inDoubt !== undefined)));
      if (!wait || tries >= attemptsMax) throw await giveUp(state, error);
    }
    await context.clock.sleep(context.random() * Math.min(waitMaxMs, waitMinMs * 2 ** Math.min(tries, 10)));
  }
}

interface State {
  readonly context: CommitContext;
  readonly changes: readonly TableChange[];
  readonly cache: TableCache;
  /** Paths that are in the store. */
  readonly written: Set<string>;
  readonly attempts: Attempt[];
  /** The attempt whose commit got no answer, as long as it may still come true. */
  inDoubt?: { readonly attempt: Attempt; readonly error: unknown } | undefined;
}

async function tryOnce(state: State, request: Omit<CommitRequest, 'swaps'>): Promise<Attempt> {
  const { context, changes } = state;
  const bases = await loadBases(state);
  const landed = resolveDoubt(state, bases);
  if (landed !== undefined) return landed;
  const tables = await Promise.all(changes.map((change, index) => stageTable(state, change, bases[index])));
  const attempt: Attempt = { tables };
  state.attempts.push(attempt);
  const swaps = tables
    .filter(({ location, expected }) => location !== expected)
    .map(({ ref, expected, location: next }) => ({ table: ref, expected, next }));
  if (swaps.length === 0 && request.ledger.length === 0) return attempt;
  await Promise.all(tables.map((table) => writeObjects(state, table)));
  try {
    await context.catalog.commit({ swaps, ...request });
  } catch (error) {
    if (isWatershedError(error, 'commit_unknown')) state.inDoubt = { attempt, error };
    throw error;
  }
  context.crashPoint?.('committed');
  return attempt;
}

interface Base {
  readonly location: string;
  readonly metadata: TableMetadata;
}

async function loadBases({ context, changes, cache }: State): Promise<readonly Base[]> {
  const locations = await context.catalog.loadAll(changes.map(({ ref }) => ref));
  return Promise.all(locations.map(async (location, index) => {
    const ref = changes[index]?.ref;
    if (location === undefined) {
      throw new WatershedError('not_found', `there is no table ${ref?.namespace}.${ref?.name} in the catalog`);
    }
    return { location, metadata: await loadMetadata(context.store, cache, location) };
  }));
}

/**
 * The attempt that came true unnoticed, if one did: a pointer is its metadata file, or a snapshot or the metadata log
 * of a table holds ours. A pointer that is neither ours nor the one expected means that it never will.
 */
function resolveDoubt(state: State, bases: readonly Base[]): Attempt | undefined {
  const doubt = state.inDoubt;
  if (doubt === undefined) return undefined;
  const landed = state.attempts.find((attempt) => attempt.tables.some((table, index) => {
    const base = bases[index];
    const id = state.changes[index]?.snapshotId;
    if (base === undefined) return false;
    const ours = table.location;
    const metadata = base.metadata;
    return base.location === ours || metadata['metadata-log'].some((entry) => entry['metadata-file'] === ours) ||
      (id !== undefined && listOf(metadata, id) !== undefined && listOf(metadata, id) === table.staged.list?.path);
  }));
  if (landed !== undefined) return landed;
  if (doubt.attempt.tables.some((table, index) => bases[index]?.location !== table.expected)) state.inDoubt = undefined;
  return undefined;
}

function listOf(metadata: TableMetadata, snapshotId: bigint): string | undefined {
  return snapshotById(metadata, snapshotId)?.['manifest-list'];
}

async function stageTable(state: State, change: TableChange, base: Base | undefined): Promise<AttemptedTable> {
  if (base === undefined) throw new WatershedError('internal', 'a catalog answered for fewer tables than it was asked');
  // A table that nobody changed since the last attempt (another lost the race) keeps what was staged for it.
  const before = state.attempts.at(-1)?.tables.find(({ ref }) => ref === change.ref);
  if (before?.expected === base.location && before.ref === change.ref && state.inDoubt === undefined) return before;
  const staged = await change.stage(base.metadata);
  if (staged.metadata === base.metadata) {
    const { location, metadata } = base;
    return { ref: change.ref, expected: location, location, metadata, staged, forgotten: [] };
  }
  const { metadata, forgotten } = logMetadata(staged.metadata, base);
  const location = nextMetadataPath(metadata, base.location, state.context.random);
  return { ref: change.ref, expected: base.location, location, metadata, staged, forgotten };
}

/** Writes what is not there yet. The order does not matter: nothing names these objects before the swap. */
async function writeObjects(state: State, table: AttemptedTable): Promise<void> {
  const { context, written, cache } = state;
  const put = async (kind: string, path: string, bytes: () => Uint8Array): Promise<number> => {
    if (written.has(path)) return 0;
    written.add(path);
    const content = bytes();
    await context.store.put(storeKey(context.store, path), content);
    context.crashPoint?.(`${kind}-written`);
    return content.length;
  };
  const metadata = async (): Promise<void> => {
    if (table.location === table.expected) return;
    const bytes = await put('metadata', table.location, () => serialiseMetadata(table.metadata));
    if (bytes > 0) cache.metadata.set(table.location, table.metadata, bytes);
  };
  await Promise.all([
    ...table.staged.objects.map(({ kind, path, bytes }) => put(kind, path, () => bytes)),
    metadata(),
  ]);
  const { list } = table.staged;
  if (list !== undefined) cache.manifestLists.set(list.path, list.manifests, list.manifests.length + 1);
}

/** After success: lost attempts and forgotten metadata files go. A failure to delete is no failure of the commit. */
async function finish(state: State, winner: Attempt, attempts: number): Promise<readonly Committed[]> {
  const kept = new Set(winner.tables.flatMap(({ location, staged: { objects } }) =>
    [location, ...objects.map(({ path }) => path)]));
  const lost = [...state.written].filter((path) => !kept.has(path));
  const forgotten = winner.tables.flatMap((table) => table.forgotten);
  const leftovers = await discard(state.context.store, [...lost, ...forgotten]);
  return winner.tables.map(({ ref, location, metadata }) => ({ ref, location, metadata, attempts, leftovers }));
}

/**
 * After failure: what was written is of no use and goes. But while an attempt may still come true nothing is deleted,
 * and whatever failed since, the caller must hear that the commit may be there.
 */
async function giveUp({ context, inDoubt, written }: State, error: unknown): Promise<unknown> {
  if (inDoubt === undefined) {
    await discard(context.store, [...written]);
    return error;
  }
  if (isWatershedError(error, 'commit_unknown')) return error;
  return new WatershedError('commit_unknown', `a commit got no answer, and then: ${messageOf(error)}`, {
    cause: error,
    hint: 'Read the tables again: they tell whether it took effect. Delete no files before.',
  });
}

/** Deletes what it can and returns the rest. */
async function discard(store: Store, paths: readonly string[]): Promise<readonly string[]> {
  const results = await Promise.allSettled(paths.map((path) => store.delete(storeKey(store, path))));
  return paths.filter((_, index) => results[index]?.status === 'rejected');
}
