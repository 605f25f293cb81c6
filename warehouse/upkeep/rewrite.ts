import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import type { DuckDBConnection } from '@duckdb/node-api';
import { storeNamespace, type TableSpec } from '#core/contract/tables.ts';
import { isWatershedError } from '#core/errors.ts';
import { identifier, literal, rowsOf, type Duck } from '../duck.ts';
import { encodeParquet } from '../encode.ts';
import { selectRows } from '../select.ts';
import { dataFileFromStats, type AddedFile, type PartitionValues } from '../table/datafile.ts';
import { storeKey } from '../table/files.ts';
import type { TableMetadata } from '../table/metadata.ts';
import { commitReplace } from '../table/replace.ts';
import type { PlannedFile, ScanPlan } from '../table/scan.ts';
import type { CommitContext } from '../table/transaction.ts';
import type { Filing } from './plan.ts';

export interface RewriteInput {
  readonly context: CommitContext;
  readonly duck: Duck;
  readonly spec: TableSpec;
  /** The metadata and the plan by which the files were chosen. */
  readonly metadata: TableMetadata;
  readonly scan: ScanPlan;
  readonly files: readonly PlannedFile[];
}

/**
 * The files, all of one partition, become one, sorted. Rows that another engine deleted are gone afterwards.
 * **Errors**: `conflict` where the files were changed meanwhile, `disk`, and those of a commit. What was placed in vain
 * is deleted, unless the commit may be there. Resolves to false where there was nothing to do.
 */
export async function mergeFiles(input: RewriteInput): Promise<boolean> {
  const [first] = input.files;
  if (first === undefined) return false;
  const partition = Object.keys(first.partition).length === 0 ? undefined : { specId: first.specId, values: first.partition };
  await rewrite(input, async (rows, place) => {
    await place(rows, partition);
  });
  return true;
}

/**
 * The rows of hot files go into one file per partition of the default spec, as far as a partition is worth it; the
 * others stay hot, together. Resolves to false, and nothing was done, where none is. Errors as above.
 */
export async function fileAway(input: RewriteInput, filing: Filing): Promise<boolean> {
  const worth = await partitionsWorthAFile(input, filing);
  if (worth.length === 0) return false;
  await rewrite(input, async (rows, place, connection) => {
    try {
      await connection.run(`create or replace temp table filing as ${rows}`);
      for (const { condition, partition } of worth) await place(`select * from filing where ${condition}`, partition);
      // A condition that is neither true nor false is not true: those rows are left, and none is in two places.
      const taken = worth.map(({ condition }) => `coalesce(${condition}, false)`).join(' or ');
      await place(`select * from filing where not (${taken})`, undefined);
    } finally {
      await connection.run('drop table if exists filing');
    }
  });
  return true;
}

type Place = (rows: string, partition: PartitionValues | undefined) => Promise<void>;

async function rewrite(
  input: RewriteInput, work: (rows: string, place: Place, connection: DuckDBConnection) => Promise<void>,
): Promise<void> {
  const { context, duck, spec, files } = input;
  const { store } = context;
  const placed: AddedFile[] = [];
  const connection = await duck.connect();
  try {
    await work(await selectRows(store, spec, files, spec.columns.map(({ name }) => name)), async (rows, partition) => {
      const encoded = await encodeParquet(connection, `${rows} ${order(spec)}`, spec, duck.staging, 'kept');
      if (encoded === undefined) return;
      const key = `${storeNamespace}/${spec.name}/data/${randomUUID()}.parquet`;
      const file = dataFileFromStats(spec, `${store.uri}/${key}`, encoded.stats, partition);
      // Noted before it is there: one that fails half way is deleted too, and deleting what is not there is no error.
      placed.push(spec.sort.length === 0 ? file : { ...file, sortOrderId: 1 });
      try {
        await store.putFile(key, encoded.localPath);
      } finally {
        await rm(encoded.localPath, { force: true });
      }
      context.crashPoint?.('placed');
    }, connection);
    await replace(input, placed);
  } catch (error) {
    if (!isWatershedError(error, 'commit_unknown')) {
      // A failure to delete leaves an orphan; what went wrong first is what the caller must hear.
      await Promise.allSettled(placed.map(({ path }) => store.delete(storeKey(store, path))));
    }
    throw error;
  } finally {
    connection.closeSync();
  }
}

interface Partition {
  readonly condition: string;
  readonly partition: PartitionValues;
}

async function partitionsWorthAFile(
  { context, duck, spec, metadata, files }: RewriteInput, filing: Filing,
): Promise<Partition[]> {
  const specId = metadata['default-spec-id'];
  const ids = metadata['partition-specs'].find((candidate) => candidate['spec-id'] === specId)?.fields ?? [];
  // Days since 1970, which is how Iceberg keeps them (specification, Partition Transforms), before 1970 below zero:
  // `//` would cut towards zero.
  const keys = spec.partition.map(({ column, transform }) => transform === 'day'
    ? `(${identifier(column)}::date - date '1970-01-01')` : identifier(column));
  const connection = await duck.connect();
  try {
    // Only the columns that tell partitions apart are read.
    const rows = await selectRows(context.store, spec, files, [...new Set(spec.partition.map(({ column }) => column))]);
    const found = await rowsOf(connection, `select ${keys.map((key, index) => `${key} as k${index}`).join(', ')}, count(*) as n
      from (${rows}) group by all order by n desc`);
    return chosen(found, spec, files, filing).map((values) => ({
      condition: `(${keys.map((key, index) => {
        const value = values[index] ?? null;
        return value === null ? `${key} is null` : `${key} = ${typeof value === 'number' ? value : literal(value)}`;
      }).join(' and ')})`,
      partition: { specId, values: Object.fromEntries(ids.map((field, index) => [String(field['field-id']), values[index] ?? null])) },
    }));
  } finally {
    connection.closeSync();
  }
}

type Keys = readonly (number | string | null)[];

/** The keys of the partitions that are filed, of rows `k0, k1, …, n`, the largest first. */
function chosen(
  found: readonly Readonly<Record<string, unknown>>[], spec: TableSpec, files: readonly PlannedFile[], filing: Filing,
): Keys[] {
  const rows = found.reduce((sum, row) => sum + Number(row['n']), 0);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const dayAt = spec.partition.findIndex(({ transform }) => transform === 'day');
  let over = 0;
  return found.flatMap((row): Keys[] => {
    const values = spec.partition.map(({ transform }, index) => {
      const value = row[`k${index}`];
      return value === null || value === undefined ? null : transform === 'day' ? Number(value) : String(value);
    });
    const share = bytes * (Number(row['n']) / rows);
    if (share >= filing.partitionBytesMin) return [values];
    const day = values[dayAt];
    const isOver = typeof day === 'number' && filing.overBeforeDay !== undefined && day < filing.overBeforeDay;
    return isOver && Number(row['n']) >= filing.overRowsMin && ++over <= filing.overPartitionsMax ? [values] : [];
  });
}

function order(spec: TableSpec): string {
  return spec.sort.length === 0 ? '' : `order by ${spec.sort.map((name) => `${identifier(name)} nulls first`).join(', ')}`;
}

async function replace({ context, spec, scan, files }: RewriteInput, add: readonly AddedFile[]): Promise<void> {
  await commitReplace({
    ...context, ref: { namespace: storeNamespace, name: spec.name }, add, readAtSequenceNumber: scan.sequenceNumber,
    remove: [...files.map(({ path }) => path), ...servedDeletes(scan, files)], summary: { 'watershed.by': 'upkeep' },
  });
}

/** Delete files that hit no file but these: they have done their duty. */
function servedDeletes(scan: ScanPlan, files: readonly PlannedFile[]): string[] {
  const rewritten = new Set(files.map(({ path }) => path));
  const needed = new Set(scan.files.filter(({ path }) => !rewritten.has(path)).flatMap(({ deletes }) => deletes));
  return [...new Set(files.flatMap(({ deletes }) => deletes))].filter((path) => !needed.has(path));
}
