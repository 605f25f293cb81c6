import type { Clock } from '#core/clock.ts';
import type { Database, Sql } from '#core/database/database.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import { partBytesMax, writeArchive, type Member } from './archive.ts';
import { dumpDatabase, type DatabaseAbout } from './dump.ts';
import { holdSnapshots } from './hold.ts';
import { reach, type FoundObject } from './objects.ts';

/** What a backup says of itself, in its index. */
export interface BackupAbout {
  readonly format: 1;
  readonly createdAt: string;
  readonly warehouseUri: string;
  readonly logKind: string;
  readonly positionDeletes: boolean;
  readonly database: DatabaseAbout;
  readonly objects: readonly BackedUpObject[];
}

export interface BackedUpObject extends FoundObject {
  readonly bytes: number;
  /** How many members `objects/NNNNNNNN-NNNN` it is cut into. */
  readonly parts: number;
}

export interface BackupOptions {
  readonly database: Database;
  readonly store: Store;
  readonly clock: Clock;
  /** Aborted between two members. */
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly objects: number; readonly of: number; readonly bytes: number }) => void;
}

/**
 * Each time that something a table named was gone before it was read, the backup begins anew at a later moment. Our own
 * upkeep leaves the snapshots that a backup holds; that of other engines does not know of it.
 */
const attempts = 5;

/**
 * Writes database and warehouse at one point in time into one file: the rows as one transaction sees them, and every
 * object that the newest snapshots of that moment reach. Everything may go on meanwhile: objects never change. A log in
 * Kafka is not in it, nor the history of tables.
 *
 * **Errors**: `not_found` (no lake yet), `conflict` (objects went away five times while it ran), `disk`, `unavailable`.
 */
export async function backUp(path: string, options: BackupOptions): Promise<BackupAbout> {
  for (let attempt = 1; ; attempt++) {
    try {
      // A transaction of its own, for it lasts as long as the copying.
      return await options.database.transaction((holding) =>
        options.database.transaction((sql) => backUpOnce(path, sql, holding, options)));
    } catch (error) {
      if (attempt === attempts || !isWatershedError(error, 'conflict')) throw error;
    }
  }
}

async function backUpOnce(path: string, sql: Sql, holding: Sql, { store, clock, signal, onProgress }: BackupOptions): Promise<BackupAbout> {
  await sql.execute('set transaction isolation level repeatable read, read only');
  const { logKind, tables, views } = await readLake(sql);
  const createdAt = new Date(clock.now()).toISOString();
  const found = await reach(store, tables, views, (ids) => holdSnapshots(holding, ids)).catch(goneMeanwhile);
  // What a job names now it replaces with its next commit, some seconds from here.
  const early = new Map(found.trimmed);
  for (const key of found.named) early.set(key, await store.get(key).catch(goneMeanwhile));
  const objects: BackedUpObject[] = [];
  let rows: DatabaseAbout | undefined;
  const members = async function* (): AsyncGenerator<Member> {
    for await (const member of dumpDatabase(sql, (about) => (rows = about))) {
      signal?.throwIfAborted();
      yield member;
    }
    // The rows are read. Held on to, their snapshot would keep the database from tidying up until the last object.
    await sql.execute('commit; begin');
    let bytes = 0;
    for (const object of found.objects) {
      let parts = 0;
      const before = bytes;
      for await (const part of partsOf(store, object.key, { known: early.get(object.key), mayBeGone: found.loose.has(object.key) })) {
        signal?.throwIfAborted();
        parts += 1;
        bytes += part.length;
        yield { name: partName(objects.length, parts), bytes: part };
      }
      if (parts > 0) objects.push({ ...object, bytes: bytes - before, parts });
      onProgress?.({ objects: objects.length, of: found.objects.length, bytes });
    }
  };
  const { about } = await writeArchive<BackupAbout>(path, members(), () => {
    if (rows === undefined) throw new WatershedError('internal', 'the database was not read to its end');
    return { format: 1, createdAt, warehouseUri: store.uri, logKind, positionDeletes: found.positionDeletes, database: rows, objects };
  });
  return about;
}

async function readLake(sql: Sql): Promise<{ logKind: string; tables: string[]; views: string[] }> {
  const [present] = await sql.query<{ present: boolean }>(`select to_regclass('watershed.lake') is not null as present`);
  const [lake] = present?.present === true ? await sql.query<{ log_kind: string }>('select log_kind from watershed.lake') : [];
  if (lake === undefined) throw new WatershedError('not_found', 'this database holds no lake yet', { hint: 'start Watershed once first' });
  const entries = await sql.query<{ location: string; view: boolean }>(
    `select metadata_location as location, coalesce(iceberg_type, 'TABLE') = 'VIEW' as view from public.iceberg_tables order by 1`);
  const locations = (view: boolean): string[] => entries.filter((entry) => entry.view === view).map(({ location }) => location);
  return { logKind: lake.log_kind, tables: locations(false), views: locations(true) };
}

export const partName = (object: number, part: number): string =>
  `objects/${String(object).padStart(8, '0')}-${String(part).padStart(4, '0')}`;

/** The object in pieces; none where nothing names it and it is gone. */
async function* partsOf(
  store: Store, key: string, { known, mayBeGone }: { known: Uint8Array | undefined; mayBeGone: boolean },
): AsyncGenerator<Uint8Array> {
  const size = known?.length ?? await store.size(key);
  if (size === undefined) {
    if (mayBeGone) return;
    goneMeanwhile(new WatershedError('not_found', `there is no object ${key}`));
  }
  for (let start = 0; start < size; start += partBytesMax) {
    const end = Math.min(size, start + partBytesMax);
    yield known?.subarray(start, end) ?? await store.get(key, { start, end }).catch(goneMeanwhile);
  }
  if (size === 0) yield new Uint8Array();
}

function goneMeanwhile(error: unknown): never {
  if (!isWatershedError(error, 'not_found')) throw error;
  throw new WatershedError('conflict', `an object that the tables named is gone: ${error.message}`, {
    cause: error, hint: 'upkeep took it away while this backup ran: run it again; `watershed doctor` tells if it is missing for good',
  });
}
