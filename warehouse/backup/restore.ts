import { appendFile, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Database } from '#core/database/database.ts';
import { migrate, readMigrations } from '#core/database/migrate.ts';
import { WatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import { checkArchive, readArchive } from './archive.ts';
import { partName, type BackedUpObject, type BackupAbout } from './backup.ts';
import { finishLoad, loadRows, makePartitions, requireEmptyDatabase, tableOf } from './dump.ts';
import { moved, restoredKey, rewrite, type Move } from './objects.ts';

export interface RestoreOptions {
  /** Empty, at an address of its own; it is migrated here. */
  readonly database: Database;
  readonly store: Store;
  /** Of this machine, for objects on their way; removed afterwards. */
  readonly staging: string;
  readonly signal?: AbortSignal;
  readonly onProgress?: (progress: { readonly objects: number; readonly of: number }) => void;
}

/**
 * Puts a backup into an empty place, which may be another folder, bucket or database: paths in the tables are written
 * anew. The whole file is checked before anything is written; the database comes last and in one transaction, so a
 * restore that breaks off leaves no lake, only files to be removed.
 *
 * **Errors**: `corrupt` (the file is not whole), `already_exists` (the place is not empty), `foreign_lake` (a newer
 * Watershed made it, or position deletes bind it to its address), `disk`, `unavailable`.
 */
export async function restore(path: string, options: RestoreOptions): Promise<BackupAbout> {
  const { database, store, staging, signal } = options;
  const { about } = await checkArchive<BackupAbout>(path);
  const migrations = await requireReadable(about, store);
  await requireEmptyDatabase(database);
  await requireEmptyStore(store);
  await migrate(database, migrations.filter(({ number }) => number <= about.database.migration));
  await mkdir(staging, { recursive: true });
  try {
    await restoreObjects(path, about, options);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  await database.transaction(async (sql) => {
    await makePartitions(sql, about.database);
    for await (const { name, bytes } of readArchive(path)) {
      signal?.throwIfAborted();
      const table = tableOf(name);
      if (table === undefined) break; // rows come first
      // Its checksum was that of what `dumpDatabase` made: a list of strings.
      await loadRows(sql, about.database, table, JSON.parse(Buffer.from(bytes).toString('utf8')) as string[]);
    }
    await finishLoad(sql, about.database);
    const move = { from: about.warehouseUri, to: store.uri };
    for (const { name, location } of await sql.query<{ name: string; location: string }>(
      'select table_name as name, metadata_location as location from public.iceberg_tables')) {
      await sql.execute('update public.iceberg_tables set metadata_location = $2, previous_metadata_location = null where table_name = $1',
        [name, moved(location, move)]);
    }
    await sql.execute('update watershed.lake set warehouse_uri = $1', [store.uri]);
  });
  await migrate(database, migrations);
  return about;
}

async function requireReadable(about: BackupAbout, store: Store): Promise<Awaited<ReturnType<typeof readMigrations>>> {
  const migrations = await readMigrations();
  const newest = migrations.at(-1)?.number ?? 0;
  if (about.format !== 1 || about.database.migration > newest) {
    throw new WatershedError('foreign_lake', `the backup was made by a newer Watershed (migration ${about.database.migration}; this one knows ${newest})`, {
      hint: 'restore it with that version, or a newer one',
    });
  }
  if (about.positionDeletes && about.warehouseUri !== store.uri) {
    throw new WatershedError('foreign_lake', `the backup has position deletes of another engine, which hold paths below ${about.warehouseUri}`, {
      hint: 'restore it at that address, or let that engine compact its tables and take another backup',
    });
  }
  return migrations;
}

async function requireEmptyStore(store: Store): Promise<void> {
  for await (const { key } of store.list('')) {
    throw new WatershedError('already_exists', `${store.uri} is not empty: it holds ${key}`, {
      hint: 'restore into a new data folder (WATERSHED_DATA_DIR) or an empty prefix (WAREHOUSE_URI); after a restore that broke off remove what it left',
    });
  }
}

async function restoreObjects(path: string, about: BackupAbout, { store, staging, signal, onProgress }: RestoreOptions): Promise<void> {
  const move: Move = { from: about.warehouseUri, to: store.uri };
  const lengths = new Map<string, number>();
  const objects = about.objects.entries();
  let current = objects.next().value;
  let part = 1;
  let held: Uint8Array[] = [];
  const staged = join(staging, 'object');
  for await (const { name, bytes } of readArchive(path)) {
    if (!name.startsWith('objects/')) continue;
    signal?.throwIfAborted();
    if (current === undefined || name !== partName(current[0], part)) {
      throw new WatershedError('corrupt', `${path} holds ${name} in a place where its index names something else`);
    }
    const [number, object] = current;
    if (object.kind === 'plain') await appendFile(staged, bytes);
    else held.push(bytes);
    part += 1;
    if (part <= object.parts) continue;
    await place(store, object, { staged, held, move, lengths });
    onProgress?.({ objects: number + 1, of: about.objects.length });
    current = objects.next().value;
    [part, held] = [1, []];
  }
  if (current !== undefined) throw new WatershedError('corrupt', `${path} ends before ${current[1].key}`);
}

async function place(
  store: Store, object: BackedUpObject,
  { staged, held, move, lengths }: { staged: string; held: readonly Uint8Array[]; move: Move; lengths: Map<string, number> },
): Promise<void> {
  if (object.kind === 'plain') return store.putFile(restoredKey(object.key), staged);
  return store.put(restoredKey(object.key), rewrite(object, Buffer.concat(held), move, lengths));
}
