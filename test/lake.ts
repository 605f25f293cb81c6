import { systemClock, seededRandom } from '#core/clock.ts';
import type { Clock } from '#core/clock.ts';
import type { TableSpec } from '#core/contract/tables.ts';
import { createMemoryStore } from '#core/store/memory.ts';
import type { Store } from '#core/store/store.ts';
import { createMemoryCatalog } from '#warehouse/catalog/memory.ts';
import type { MemoryCatalog } from '#warehouse/catalog/memory.ts';
import type { TableRef } from '#warehouse/catalog/catalog.ts';
import { stageSnapshot } from '#warehouse/table/append.ts';
import type { AddedFile } from '#warehouse/table/datafile.ts';
import { ensureTable } from '#warehouse/table/ensure.ts';
import { createTableCache, loadManifestList, loadMetadata } from '#warehouse/table/files.ts';
import { manifestPath } from '#warehouse/table/names.ts';
import { status, writeManifest } from '#warehouse/table/manifest.ts';
import type { DataFile } from '#warehouse/table/manifest.ts';
import { currentSnapshot, specById } from '#warehouse/table/metadata.ts';
import type { TableMetadata } from '#warehouse/table/metadata.ts';
import { planScan } from '#warehouse/table/scan.ts';
import { commitChanges } from '#warehouse/table/transaction.ts';
import type { CommitContext } from '#warehouse/table/transaction.ts';
import { encodeValue } from '#warehouse/table/values.ts';

/** A table small enough to think about: partitioned by event and day, as the big ones are. */
export const notes: TableSpec = {
  name: 'notes',
  comment: 'Notes',
  columns: [
    { id: 1, name: 'event_id', type: 'string', doc: 'Event' },
    { id: 2, name: 'post_id', type: 'string', doc: 'Id' },
    { id: 3, name: 'created_at', type: 'timestamptz', doc: 'When' },
    { id: 4, name: 'likes', type: 'long', doc: 'Likes' },
    { id: 5, name: 'tags', type: { list: 'string', elementId: 105 }, doc: 'Tags' },
  ],
  partition: [{ column: 'event_id', transform: 'identity' }, { column: 'created_at', transform: 'day' }],
  sort: ['event_id', 'created_at'],
  bounds: ['event_id', 'post_id', 'created_at'],
};

export const notesRef: TableRef = { namespace: 'store', name: 'notes' };

/** A store in memory that tells which keys it holds. */
export interface WatchedStore extends Store {
  readonly keys: ReadonlySet<string>;
}

export function watchedStore(uri = 'file:///lake'): WatchedStore {
  const store = createMemoryStore(uri);
  const keys = new Set<string>();
  return {
    ...store,
    keys,
    async put(key, bytes) {
      await store.put(key, bytes);
      keys.add(key);
    },
    async delete(key) {
      await store.delete(key);
      keys.delete(key);
    },
  };
}

/** A clock that does not wait, so that a hundred lost races take no time; its `now` grows by a millisecond per question. */
export function hurriedClock(): Clock {
  let now = 1_700_000_000_000;
  return { ...systemClock, now: () => (now += 1), sleep: () => new Promise((resolve) => setImmediate(resolve)) };
}

export interface TestLake extends CommitContext {
  readonly catalog: MemoryCatalog;
  readonly store: WatchedStore;
  /** As another process would read it: nothing kept from before. */
  current(ref?: TableRef): Promise<TableMetadata>;
  /** Paths of the live data files of the current snapshot, sorted. */
  livePaths(ref?: TableRef): Promise<string[]>;
}

/** A lake in memory with the table `notes`, empty. */
export async function memoryLake(seed = 1): Promise<TestLake> {
  const store = watchedStore();
  const catalog = createMemoryCatalog();
  const context: CommitContext = { catalog, store, clock: hurriedClock(), random: seededRandom(seed) };
  await ensureTable(context, notesRef, notes);
  const current = async (ref = notesRef): Promise<TableMetadata> => {
    const location = await catalog.load(ref);
    if (location === undefined) throw new Error(`no table ${ref.name}`);
    return loadMetadata(store, createTableCache(), location);
  };
  return {
    ...context,
    catalog,
    store,
    current,
    livePaths: async (ref = notesRef) =>
      (await planScan({ store, metadata: await current(ref) })).files.map(({ path }) => path).sort(),
  };
}

/** The entry of a file that nobody reads: `notes` rows of one event and day, with bounds. */
export function noteFile(name: string, of: { event?: string; day?: number; ids?: readonly [string, string]; rows?: number } = {}): AddedFile {
  const { event = 'flood', day = 15_876, ids = ['1', '9'], rows = 10 } = of;
  const micros = day * 86_400_000_000;
  return {
    content: 0,
    path: `file:///lake/store/notes/data/${name}.parquet`,
    format: 'PARQUET',
    partition: {},
    recordCount: rows,
    bytes: rows * 100,
    columnSizes: new Map([[1, 10], [2, 20]]),
    valueCounts: new Map([[1, rows], [2, rows], [3, rows]]),
    nullCounts: new Map([[1, 0], [2, 0], [3, 0], [4, rows]]),
    lowerBounds: new Map([
      [1, encodeValue('string', event)], [2, encodeValue('string', ids[0])], [3, encodeValue('timestamptz', micros)],
    ]),
    upperBounds: new Map([
      [1, encodeValue('string', event)], [2, encodeValue('string', ids[1])], [3, encodeValue('timestamptz', micros + 1)],
    ]),
    sortOrderId: 0,
  };
}

/** The same file in spec 1. */
export function filedNote(name: string, of: Parameters<typeof noteFile>[1] & { event: string; day: number }): AddedFile {
  return { ...noteFile(name, of), specId: 1, partition: { '1000': of.event, '1001': of.day }, sortOrderId: 1 };
}

/** Adds a manifest of delete files, as another engine would. */
export async function addDeletes(
  lake: CommitContext, specId: number, files: readonly Partial<DataFile>[], ref: TableRef = notesRef,
): Promise<void> {
  const snapshotId = BigInt(files.length + Math.floor(lake.random() * 1e9));
  await commitChanges(lake, [{
    ref,
    async stage(base) {
      const carried = await loadManifestList(lake.store, createTableCache(), currentSnapshot(base));
      const manifest = writeManifest({
        metadata: base, spec: specById(base, specId), content: 'deletes', path: manifestPath(base, `deletes-${snapshotId}`), snapshotId,
        entries: files.map((file) => ({
          status: status.added, snapshotId, sequenceNumber: null, fileSequenceNumber: null,
          file: { content: 1, path: 'file:///lake/d.parquet', format: 'PARQUET', partition: {}, recordCount: 1, bytes: 1, ...file },
        })),
      });
      const none = { files: 0, records: 0, bytes: 0 };
      return stageSnapshot(base, {
        snapshotId, operation: 'overwrite', listPath: manifestPath(base, `snap-${snapshotId}`), manifests: [manifest.listed, ...carried],
        written: [manifest], added: none, removed: none, removedDeletes: none, partitions: 1, summary: {}, properties: {}, nowMs: 1,
      });
    },
  }], { ledger: [] });
}
