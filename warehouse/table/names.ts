import type { Random } from '#core/clock.ts';
import type { TableMetadata } from './metadata.ts';

/** Names of the files and snapshots of a table. */

/** A random (version 4) UUID. */
export function uuidFrom(random: Random): string {
  const bytes = Buffer.from(Array.from({ length: 16 }, () => Math.floor(random() * 256)));
  bytes.writeUInt8((bytes.readUInt8(6) & 0x0f) | 0x40, 6);
  bytes.writeUInt8((bytes.readUInt8(8) & 0x3f) | 0x80, 8);
  return bytes.toString('hex').replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5');
}

/** A snapshot id of 53 random bits: exact as a number in every JavaScript client. */
export function newSnapshotId(random: Random): bigint {
  return BigInt(1 + Math.floor(random() * (Number.MAX_SAFE_INTEGER - 1)));
}

/** Where the next metadata file of a table goes: the version of the one before, plus one, and a UUID. */
export function nextMetadataPath(metadata: TableMetadata, before: string | undefined, random: Random): string {
  const version = /\/v?(\d{1,9})(?:-[^/]*)?\.(?:gz\.)?metadata\.json(?:\.gz)?$/.exec(before ?? '')?.[1];
  const next = before === undefined ? 0 : Number(version ?? metadata['metadata-log'].length) + 1;
  return `${metadata.location}/metadata/${String(next).padStart(5, '0')}-${uuidFrom(random)}.metadata.json`;
}

export function manifestPath(metadata: TableMetadata, name: string): string {
  return `${metadata.location}/metadata/${name}.avro`;
}
