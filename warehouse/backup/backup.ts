import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import { partBytesMax, writeArchive, type Member } from './archive.ts';
import { dumpDatabase, type DatabaseAbout } from './dump.ts';
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
 * Writes database and warehouse at one point in time into one file: the rows as one transaction sees them, and every
 * object that the table metadata of that moment reaches. Everything may go on meanwhile: objects never change. A log in
 * Kafka is not in it.
 *
 * **Errors**: `not_found` (no lake yet), `conflict` (upkeep took an object away meanwhile: run it again), `disk`,
 * `unavailable`.
 */
export async function backUp(path: string, options: BackupOptions): Promise<BackupAbout> {
  const { database, store, clock, signal } = options;
  return database.transaction(async (sql) => {
    await sql.execute('set transaction isolation level repeatable read, read only');
    const [present] = await sql.query<{ present: boolean }>(`select to_regclass('watershed.lake') is not null as present`);
    const [lake] = present?.present === true ? await sql.query<{ log_kind: string }>('select log_kind from watershed.lake') : [];
    if (lake === undefined) throw new WatershedError('not_found', 'this database holds no lake yet', { hint: 'start Watershed once first' });
    const entries = await sql.query<{ location: string; view: boolean }>(
      `select metadata_location as location, coalesce(iceberg_type, 'TABLE') = 'VIEW' as view from public.iceberg_tables order by 1`);
    const locations = (view: boolean): string[] => entries.filter((entry) => entry.view === view).map(({ location }) => location);
    const createdAt = new Date(clock.now()).toISOString();
    const found = await reach(store, locations(false), locations(true)).catch(goneMeanwhile);
    const objects: BackedUpObject[] = [];
    let rows: DatabaseAbout | undefined;
    const members = async function* (): AsyncGenerator<Member> {
      for await (const member of dumpDatabase(sql, (about) => (rows = about))) {
        signal?.throwIfAborted();
        yield member;
      }
      let bytes = 0;
      for (const object of found.objects) {
        let parts = 0;
        const before = bytes;
        for await (const part of partsOf(store, object.key)) {
          signal?.throwIfAborted();
          parts += 1;
          bytes += part.length;
          yield { name: partName(objects.length, parts), bytes: part };
        }
        objects.push({ ...object, bytes: bytes - before, parts });
        options.onProgress?.({ objects: objects.length, of: found.objects.length, bytes });
      }
    };
    const { about } = await writeArchive<BackupAbout>(path, members(), () => {
      if (rows === undefined) throw new WatershedError('internal', 'the database was not read to its end');
      return {
        format: 1, createdAt, warehouseUri: store.uri, logKind: lake.log_kind, positionDeletes: found.positionDeletes,
        database: rows, objects,
      };
    });
    return about;
  });
}

export const partName = (object: number, part: number): string =>
  `objects/${String(object).padStart(8, '0')}-${String(part).padStart(4, '0')}`;

async function* partsOf(store: Store, key: string): AsyncGenerator<Uint8Array> {
  const size = await store.size(key);
  if (size === undefined) return goneMeanwhile(new WatershedError('not_found', `there is no object ${key}`));
  for (let start = 0; start < size; start += partBytesMax) {
    yield await store.get(key, { start, end: Math.min(size, start + partBytesMax) }).catch(goneMeanwhile);
  }
  if (size === 0) yield new Uint8Array();
}

function goneMeanwhile(error: unknown): never {
  if (!isWatershedError(error, 'not_found')) throw error;
  throw new WatershedError('conflict', `an object that the tables named is gone: ${error.message}`, {
    cause: error, hint: 'upkeep took it away while this backup ran: run it again; `watershed doctor` tells if it is missing for good',
  });
}
