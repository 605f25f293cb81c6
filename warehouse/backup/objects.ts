import { gunzipSync, gzipSync } from 'node:zlib';
import { WatershedError } from '#core/errors.ts';
import { canonicalPath, type Store } from '#core/store/store.ts';
import { asComplex, pairOf, type AvroSchema } from '../table/avro.ts';
import { readAvro, writeAvro } from '../table/avro-file.ts';
import { expireSnapshots } from '../table/expire.ts';
import { createTableCache, loadManifest, loadManifestList, loadMetadata, storeKey } from '../table/files.ts';
import { formatJson, parseJson } from '../table/json.ts';
import { status } from '../table/manifest.ts';
import { serialiseMetadata, type TableMetadata } from '../table/metadata.ts';

/** Iceberg names every file by its full path: metadata, lists and manifests are written anew when a lake moves. */
export type ObjectKind = 'plain' | 'manifest' | 'list' | 'metadata';

export interface FoundObject {
  readonly key: string;
  readonly kind: ObjectKind;
}

export interface Reach {
  /** What must be written first comes first: files, manifests, lists, metadata. */
  readonly objects: readonly FoundObject[];
  /** Files of position deletes hold paths within: such a lake can be restored at its own address only. */
  readonly positionDeletes: boolean;
  /** Metadata files without the snapshots that are left out, by key. */
  readonly trimmed: ReadonlyMap<string, Uint8Array>;
  /** Keys beside the tables that a table names in its properties: what a job keeps until its next commit. */
  readonly named: ReadonlySet<string>;
  /** Keys beside the tables that nothing names: they may go at any time, and are not missed. */
  readonly loose: ReadonlySet<string>;
}

const order: readonly ObjectKind[] = ['plain', 'manifest', 'list', 'metadata'];

/**
 * Everything that the newest snapshots of tables (and what branches and tags name) reach, and what lies in the store
 * beside the tables. Older snapshots are left out: in a lake that is written to, upkeep takes some of their files away
 * each half minute, and no backup would come to its end. `hold` is called with the snapshots before their files are
 * looked for.
 */
export async function reach(
  store: Store, locations: readonly string[], views: readonly string[], hold: (snapshots: readonly bigint[]) => Promise<void>,
): Promise<Reach> {
  const found = new Map<string, ObjectKind>();
  const folders: string[] = [];
  const trimmed = new Map<string, Uint8Array>();
  const values = new Set<string>();
  let positionDeletes = false;
  for (const location of views) found.set(storeKey(store, location), 'metadata');
  const states = new Map<string, TableMetadata>();
  for (const location of locations) states.set(location, withoutHistory(await loadMetadata(store, createTableCache(), location)));
  await hold([...states.values()].flatMap(({ snapshots }) => snapshots.map((snapshot) => snapshot['snapshot-id'])));
  for (const [location, metadata] of states) {
    const cache = createTableCache();
    found.set(storeKey(store, location), 'metadata');
    trimmed.set(storeKey(store, location), metadataBytes(location, metadata));
    for (const value of Object.values(metadata.properties)) values.add(value);
    folders.push(`${storeKey(store, metadata.location)}/`);
    for (const { 'statistics-path': path } of [...metadata.statistics ?? [], ...metadata['partition-statistics'] ?? []]) {
      found.set(storeKey(store, path), 'plain');
    }
    const seen = new Set<string>();
    for (const snapshot of metadata.snapshots) {
      found.set(storeKey(store, snapshot['manifest-list']), 'list');
      for (const manifest of await loadManifestList(store, cache, snapshot)) {
        if (seen.has(manifest.path)) continue;
        seen.add(manifest.path);
        found.set(storeKey(store, manifest.path), 'manifest');
        for (const entry of await loadManifest(store, manifest)) {
          if (entry.status === status.deleted) continue;
          if (entry.file.content === 1) positionDeletes = true;
          found.set(storeKey(store, entry.file.path), 'plain');
        }
      }
    }
  }
  const [named, loose] = [new Set<string>(), new Set<string>()];
  for await (const { key } of store.list('')) {
    if (folders.some((folder) => key.startsWith(folder))) continue;
    if (!found.has(key)) (values.has(key) ? named : loose).add(key);
    found.set(key, found.get(key) ?? 'plain');
  }
  const objects = [...found].map(([key, kind]) => ({ key, kind }))
    .toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  return { objects, positionDeletes, trimmed, named, loose };
}

function withoutHistory(metadata: TableMetadata): TableMetadata {
  return expireSnapshots(metadata, { olderThanMs: Number.POSITIVE_INFINITY, keep: 1 });
}

/** Readers in Java tell compression by the file's name. */
function metadataBytes(path: string, metadata: TableMetadata): Uint8Array {
  const plain = serialiseMetadata(metadata);
  return /\.gz\.metadata\.json$|\.gz$/.test(path) ? gzipSync(plain) : plain;
}

/** Where things were and where they go. */
export interface Move {
  readonly from: string;
  readonly to: string;
}

/**
 * The key under which an object is restored: `%` of other engines' partition folders, which we do not write, becomes
 * `_`.
 */
export const restoredKey = (key: string): string => key.replaceAll('%', '_');

/** The path after the move; what lies elsewhere stays what it is. */
export function moved(path: string, { from, to }: Move): string {
  const root = canonicalPath(from);
  const canonical = canonicalPath(path);
  if (canonical === root) return to;
  return canonical.startsWith(`${root}/`) ? `${to}/${restoredKey(canonical.slice(root.length + 1))}` : path;
}

/**
 * The bytes of an object after the move. `lengths` holds the lengths of the manifests that were rewritten, by their new
 * paths: a list names them. **Errors**: `corrupt`.
 */
export function rewrite(object: FoundObject, bytes: Uint8Array, move: Move, lengths: Map<string, number>): Uint8Array {
  switch (object.kind) {
    case 'plain': return bytes;
    case 'metadata': return rewriteMetadata(bytes, move);
    case 'manifest': {
      const written = rewriteAvro(object, bytes, (entry) => {
        const file = entry['f2'];
        if (!isRecord(file)) throw new WatershedError('corrupt', `${object.key} has an entry without a file`);
        for (const id of ['f100', 'f143']) file[id] = movedIfText(file[id], move);
      });
      lengths.set(moved(`${move.from}/${object.key}`, move), written.length);
      return written;
    }
    case 'list': return rewriteAvro(object, bytes, (entry) => {
      const path = movedIfText(entry['f500'], move);
      entry['f500'] = path;
      entry['f501'] = lengths.get(String(path)) ?? entry['f501'];
    });
  }
}

function rewriteMetadata(bytes: Uint8Array, move: Move): Uint8Array {
  // Readers in Java tell compression by the file's name, which stays.
  if (bytes[0] === 0x1f && bytes[1] === 0x8b) return gzipSync(rewriteMetadata(gunzipSync(bytes), move));
  const walk = (value: unknown): unknown => {
    if (typeof value === 'string') return moved(value, move);
    if (Array.isArray(value)) return value.map(walk);
    return isRecord(value) ? Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, walk(inner)])) : value;
  };
  const metadata = walk(parseJson(Buffer.from(bytes).toString('utf8')));
  if (!isRecord(metadata)) throw new WatershedError('corrupt', 'a metadata file in the backup is no JSON object');
  // Older metadata files are not in a backup.
  return Buffer.from(formatJson('metadata-log' in metadata ? { ...metadata, 'metadata-log': [] } : metadata));
}

function rewriteAvro({ key }: FoundObject, bytes: Uint8Array, change: (record: Record<string, unknown>) => void): Uint8Array {
  const { header, records } = readAvro(bytes, (id) => `f${id}`, key);
  for (const record of records) {
    if (!isRecord(record)) throw new WatershedError('corrupt', `${key} holds something that is no record`);
    change(record);
  }
  const { 'avro.schema': schema, 'avro.codec': _codec, ...rest } = Object.fromEntries(header);
  const parsed: AvroSchema = JSON.parse(schema ?? 'null');
  const ofMaps = mapMembers(parsed);
  return writeAvro(parsed, (id) => (id < 0 || ofMaps.has(id) ? undefined : `f${id}`), rest, records);
}

/** Field ids of keys and values of maps, which the codec knows by their names. */
function mapMembers(schema: AvroSchema): Set<number> {
  if (typeof schema === 'string') return new Set();
  if (Array.isArray(schema)) return new Set(schema.flatMap((branch) => [...mapMembers(branch)]));
  const { type, items, fields = [] } = asComplex(schema);
  const inner = [type, ...items === undefined ? [] : [items], ...fields.map((field) => field.type)];
  const found = new Set(inner.flatMap((part) => [...mapMembers(part)]));
  if (items === undefined || pairOf(items) === undefined) return found;
  for (const field of asComplex(items).fields ?? []) found.add(field['field-id'] ?? -1);
  return found;
}

function movedIfText(value: unknown, move: Move): unknown {
  return typeof value === 'string' ? moved(value, move) : value;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
