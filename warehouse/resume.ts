import type { Clock } from '#core/clock.ts';
import { storeNamespace } from '#core/contract/tables.ts';
import { WatershedError, isWatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog } from './catalog/catalog.ts';
import type { IdRange, LiveFiles } from './duplicates.ts';
import type { Batch } from './gather.ts';
import type { Landing } from './landing.ts';
import { loadMetadata, storeKey, type TableCache } from './table/files.ts';
import type { TableMetadata } from './table/metadata.ts';
import { planScan, type Filter } from './table/scan.ts';

export interface ResumeInput {
  readonly landing: Landing;
  readonly log: Log;
  readonly catalog: Catalog;
  readonly store: Store;
  readonly cache: TableCache;
  readonly clock: Clock;
}

export interface Resumed {
  readonly identity: string;
  /** The next offset of each partition. */
  readonly positions: Map<number, bigint>;
  /** Partitions of which the table holds an offset already. */
  readonly landed: Set<number>;
  readonly files: LiveFiles;
  readonly newestFirst: readonly { path: string; rows: number }[];
}

/**
 * Where a landing goes on: at the offsets in the properties of its table, which must be those at the end of the ledger.
 * Throws `corrupt` when they differ: then the database and the warehouse are not of the same moment.
 */
export async function resume(input: ResumeInput): Promise<Resumed> {
  const { landing, log, catalog } = input;
  const identity = await log.identity(landing.topic);
  const metadata = await readTable(input);
  const landed = await catalog.landed(landing.name, identity);
  const partitions = await log.partitions(landing.topic);
  const positions = new Map<number, bigint>();
  for (let partition = 0; partition < partitions; partition++) {
    const inTable = metadata.properties[offsetProperty(identity, partition)];
    const inLedger = landed.get(partition);
    if (inLedger === undefined ? inTable !== undefined : inTable !== String(inLedger)) {
      throw new WatershedError('corrupt', `table ${landing.table} ends at offset ${inTable ?? 'none'} of partition ${partition}, `
        + `the ledger of landing ${landing.name} at ${inLedger ?? 'none'}`, {
        hint: 'database and warehouse are not of the same moment: restore both from one backup',
      });
    }
    positions.set(partition, inLedger ?? (await log.bounds(landing.topic, partition)).earliest);
  }
  const files = await liveFiles(input, metadata);
  return { identity, positions, landed: new Set(landed.keys()), ...files };
}

/** The properties that a commit of this batch expects and sets: the offsets before and after it. */
export function offsetProperties(identity: string, batch: Batch, landed: ReadonlySet<number>): {
  properties: Record<string, string>;
  expectProperties: Record<string, string | undefined>;
} {
  return {
    properties: Object.fromEntries(batch.ranges.map(({ partition, to }) => [offsetProperty(identity, partition), String(to)])),
    expectProperties: Object.fromEntries(batch.ranges.map(({ partition, from }) => (
      [offsetProperty(identity, partition), landed.has(partition) ? String(from) : undefined]))),
  };
}

/** The table property that holds the next offset of a partition. */
export function offsetProperty(identity: string, partition: number): string {
  return `watershed.offset.${identity}.${partition}`;
}

async function readTable({ landing, catalog, store, cache }: ResumeInput): Promise<TableMetadata> {
  const location = await catalog.load({ namespace: storeNamespace, name: landing.table });
  if (location === undefined) throw new WatershedError('not_found', `there is no table ${storeNamespace}.${landing.table}`);
  return loadMetadata(store, cache, location);
}

async function liveFiles(input: ResumeInput, metadata: TableMetadata): Promise<{
  files: LiveFiles; newestFirst: readonly { path: string; rows: number }[];
}> {
  const { store, cache } = input;
  const plan = await planScan({ store, metadata, cache });
  const newest = plan.files.toSorted((a, b) => b.sequenceNumber - a.sequenceNumber);
  return {
    newestFirst: newest.map(({ path, recordCount }) => ({ path, rows: recordCount })),
    files: {
      async overlapping(ranges) {
        const current = await readTable(input);
        const found = await planScan({ store, metadata: current, cache, filter: admitting(ranges) });
        return found.files.map(({ path }) => path);
      },
      localPath: (path) => patiently(input, path),
    },
  };
}

/** The writer does not end because statements have filled the local disk's share: it waits until they let go. */
async function patiently({ store, clock }: ResumeInput, path: string): Promise<string> {
  for (;;) {
    try {
      return await store.localPath(storeKey(store, path));
    } catch (error) {
      if (!isWatershedError(error, 'limit_exceeded')) throw error;
      await clock.sleep(1_000);
    }
  }
}

function admitting(ranges: readonly IdRange[]): Filter {
  return {
    kind: 'or',
    of: ranges.map(({ eventId, low, high }) => ({
      kind: 'and',
      of: [
        { kind: 'compare', column: 'event_id', op: '=', value: eventId },
        { kind: 'compare', column: 'post_id', op: '>=', value: low },
        { kind: 'compare', column: 'post_id', op: '<=', value: high },
      ],
    })),
  };
}
