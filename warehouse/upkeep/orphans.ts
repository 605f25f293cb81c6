import { lakeSchema, storeNamespace, tables, type TableName } from '#core/contract/tables.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import { canonicalPath, keyOf, type Store } from '#core/store/store.ts';
import type { TableRef } from '../catalog/catalog.ts';
import { createTableCache, loadManifest, loadManifestList, loadMetadata } from '../table/files.ts';
import type { TableMetadata } from '../table/metadata.ts';
import { uuidFrom } from '../table/names.ts';
import type { CommitContext } from '../table/transaction.ts';

/**
 * No job runs longer than this: the runner ends it. So what is older than twice as long and is named by nothing
 * belongs to nobody who still works on it.
 */
export const longestJobMs = 12 * 3_600_000;

export interface SweepOptions {
  readonly context: CommitContext;
  /** What is younger stays, whoever made it. Never less than twice the longest job, whatever is given. */
  readonly minAgeMs: number;
  readonly signal: AbortSignal;
}

/** What a sweep would delete, found without changing anything. */
export interface OrphanPlan {
  readonly table: TableName;
  /** Objects below the table's folder, and how many of them something names or are too young to tell. */
  readonly listed: number;
  readonly kept: number;
  readonly orphans: readonly { readonly key: string; readonly bytes: number }[];
}

/**
 * Finds objects that crashed or fenced writers left behind. An object is an orphan only if
 *
 * - it lies below our own folder of this table, `store/<table>/`, and is no file that begins with `.` or `_`;
 * - it is older than `minAgeMs` by the clock of the store itself;
 * - no metadata names it: neither the current metadata, nor any snapshot in it with its manifests (also where they tell
 *   of a deletion), nor the metadata before that stand in its log, nor another table of the catalog;
 * - and no commit of unknown outcome does. Such a commit has left its metadata file, which names in its log the pointer
 *   that it expects: as long as this is the current one, the commit may still come true, and its metadata counts.
 *
 * The metadata is read after the objects were listed. **Errors**: `corrupt` where the table names a file that is not
 * there, for then nothing can be said of the others (it may be spelled in a way that we do not know).
 */
export async function findOrphans(options: SweepOptions, table: TableName): Promise<OrphanPlan> {
  const ref = { namespace: storeNamespace, name: table };
  for (let tries = 1; ; tries++) {
    const before = await options.context.catalog.load(ref);
    try {
      return await lookOnce(options, table);
    } catch (error) {
      // What expired while we looked is gone for good reason.
      const moved = await options.context.catalog.load(ref) !== before;
      if (!isWatershedError(error, 'corrupt') || !moved || tries >= looksMax) throw error;
    }
  }
}

const looksMax = 5;

async function lookOnce(options: SweepOptions, table: TableName): Promise<OrphanPlan> {
  const { context, signal } = options;
  const { store } = context;
  const oldMs = await storeNowMs(context) - Math.max(options.minAgeMs, 2 * longestJobMs);
  const listed: Listed = new Map();
  for await (const { key, ...object } of store.list(folderOf(table))) listed.set(key, object);
  signal.throwIfAborted();
  const names = await namedKeys(context, table, listed);
  await expectThere(store, table, names.live, listed);
  const orphans = [...listed].filter(([key, { modifiedAtMs }]) =>
    modifiedAtMs < oldMs && !names.all.has(key) && !isHidden(key)).map(([key, { bytes }]) => ({ key, bytes }));
  return { table, listed: listed.size, kept: listed.size - orphans.length, orphans };
}

/**
 * Deletes what `findOrphans` found, after reading once more what is named now. Resolves to the number of objects. Who
 * is killed in between has only deleted what nobody needs; the next sweep finds the rest.
 */
export async function deleteOrphans({ context, signal }: SweepOptions, plan: OrphanPlan): Promise<number> {
  if (plan.orphans.length === 0) return 0;
  const listed: Listed = new Map();
  for await (const { key, ...object } of context.store.list(`${folderOf(plan.table)}metadata/`)) listed.set(key, object);
  const { all } = await namedKeys(context, plan.table, listed);
  let deleted = 0;
  for (const { key } of plan.orphans) {
    signal.throwIfAborted();
    if (all.has(key) || !key.startsWith(folderOf(plan.table))) continue;
    await context.store.delete(key);
    context.crashPoint?.('swept');
    deleted++;
  }
  return deleted;
}

type Listed = Map<string, { readonly bytes: number; readonly modifiedAtMs: number }>;

const folderOf = (table: string): string => `${storeNamespace}/${table}/`;

/** Engines keep things of their own in such files; they do not count as parts of a table, and are not ours. */
const isHidden = (key: string): boolean => /(^|\/)[._]/.test(key);

/** Ages are told by the clock that stamps the objects: on S3 that is not ours. Milliseconds since 1970. */
export async function storeNowMs({ store, random }: CommitContext): Promise<number> {
  const key = `state/now/${uuidFrom(random)}`;
  await store.put(key, new Uint8Array(1));
  try {
    for await (const { modifiedAtMs } of store.list(key)) return modifiedAtMs;
  } finally {
    await store.delete(key);
  }
  throw new WatershedError('unavailable', 'the store does not list an object that was just put there', { retryable: true });
}

interface Names {
  readonly all: Set<string>;
  /** Of those the ones that must be there. */
  readonly live: Set<string>;
}

async function namedKeys(context: CommitContext, table: TableName, listed: Listed): Promise<Names> {
  const { catalog, store } = context;
  const names: Names = { all: new Set(), live: new Set() };
  const ours = await metadataOf(context, { namespace: storeNamespace, name: table });
  if (keyOf(store, ours.metadata.location) !== `${storeNamespace}/${table}`) {
    throw new WatershedError('unsupported', `table ${table} lies in ${ours.metadata.location}: what is there is not ours to sweep`, {
      hint: 'let the engine that moved the table remove its orphans',
    });
  }
  await addNames(store, ours, names, true);
  for (const entry of ours.metadata['metadata-log']) add(store, names.all, entry['metadata-file']);
  for (const pending of await pendingCommits(store, ours.location, listed, names)) await addNames(store, pending, names, false);
  // Whoever registered a second table over our files, or writes one into our folder, keeps them too.
  for (const namespace of [storeNamespace, lakeSchema]) {
    for (const { name, kind } of await catalog.list(namespace)) {
      if (kind !== 'table' || (namespace === storeNamespace && Object.hasOwn(tables, name))) continue;
      await addNames(store, await metadataOf(context, { namespace, name }), names, false);
    }
  }
  return names;
}

interface Located {
  readonly location: string;
  readonly metadata: TableMetadata;
}

async function metadataOf({ catalog, store }: CommitContext, ref: TableRef): Promise<Located> {
  const location = await catalog.load(ref);
  if (location === undefined) throw new WatershedError('not_found', `there is no table ${ref.namespace}.${ref.name}`);
  return { location, metadata: await loadMetadata(store, createTableCache(), location) };
}

/** Metadata files that nobody made current, and that may still become it. One that cannot be read stays as it is. */
async function pendingCommits(store: Store, current: string, listed: Listed, names: Names): Promise<Located[]> {
  const sinceMs = listed.get(keyOf(store, current) ?? '')?.modifiedAtMs ?? 0;
  const pending: Located[] = [];
  for (const [key, { modifiedAtMs }] of listed) {
    if (modifiedAtMs < sinceMs || names.all.has(key) || !/\.metadata\.json[^/]*$/.test(key)) continue;
    try {
      const location = `${store.uri}/${key}`;
      const metadata = await loadMetadata(store, createTableCache(), location);
      const expects = metadata['metadata-log'].at(-1)?.['metadata-file'];
      if (expects !== undefined && canonicalPath(expects) === canonicalPath(current)) pending.push({ location, metadata });
    } catch (error) {
      if (!isWatershedError(error, 'not_found')) names.all.add(key);
    }
  }
  return pending;
}

/** Manifests are read so many at a time. */
const readsAtOnce = 16;

async function addNames(store: Store, { location, metadata }: Located, names: Names, whole: boolean): Promise<void> {
  const note = (path: string, live: boolean): void => {
    add(store, names.all, path);
    if (whole && live) add(store, names.live, path);
  };
  note(location, true);
  for (const file of [...metadata.statistics ?? [], ...metadata['partition-statistics'] ?? []]) note(file['statistics-path'], false);
  const manifests = new Map<string, Parameters<typeof loadManifest>[1]>();
  for (const snapshot of metadata.snapshots) {
    note(snapshot['manifest-list'], true);
    const listed = await unlessGone(whole, loadManifestList(store, createTableCache(), snapshot));
    for (const manifest of listed) manifests.set(manifest.path, manifest);
  }
  const all = [...manifests.values()];
  for (let start = 0; start < all.length; start += readsAtOnce) {
    await Promise.all(all.slice(start, start + readsAtOnce).map(async (manifest) => {
      note(manifest.path, true);
      for (const entry of await unlessGone(whole, loadManifest(store, manifest))) note(entry.file.path, entry.status !== 2);
    }));
  }
}

/** What a commit that was given up named may be gone; what the table itself names may not. */
async function unlessGone<Item>(whole: boolean, reading: Promise<readonly Item[]>): Promise<readonly Item[]> {
  try {
    return await reading;
  } catch (error) {
    if (!isWatershedError(error, 'not_found')) throw error;
    if (!whole) return [];
    throw new WatershedError('corrupt', `a snapshot names what is not there: ${error.message}`, {
      cause: error, hint: 'nothing was deleted. Restore the file from a backup, or let the snapshot expire',
    });
  }
}

function add(store: Store, keys: Set<string>, path: string): void {
  const key = keyOf(store, path);
  if (key !== undefined) keys.add(key);
}

/** What came to be after the listing is looked for by its name. */
async function expectThere(store: Store, table: TableName, live: ReadonlySet<string>, listed: Listed): Promise<void> {
  for (const key of live) {
    if (listed.has(key) || await store.size(key) !== undefined) continue;
    throw new WatershedError('corrupt', `table ${table} names ${key}, which is not there: nothing is swept`, {
      hint: 'restore the file from a backup; until then no object of the table can be told to be an orphan',
    });
  }
}
