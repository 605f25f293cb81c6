import { randomUUID } from 'node:crypto';
import type { DuckDBConnection } from '@duckdb/node-api';
import { storeNamespace, type TableSpec } from '#core/contract/tables.ts';
import { identifier, literal, rowsOf, type Duck } from '../duck.ts';
import { encodeParquet, type EncodedFile } from '../encode.ts';
import { selectRows } from '../select.ts';
import { dataFileFromStats, type AddedFile } from '../table/datafile.ts';
import type { TableMetadata } from '../table/metadata.ts';
import { commitReplace } from '../table/replace.ts';
import type { PlannedFile } from '../table/scan.ts';
import type { CommitContext } from '../table/transaction.ts';

export interface RewriteInput {
  readonly context: CommitContext;
  readonly duck: Duck;
  readonly spec: TableSpec;
  /** The metadata by which the files were planned. */
  readonly metadata: TableMetadata;
  readonly sequenceNumber: number;
  readonly files: readonly PlannedFile[];
}

/** The same files become one of the same partition, sorted. Rows that another engine deleted are gone afterwards. */
export async function mergeFiles(input: RewriteInput): Promise<void> {
  const { duck, spec, files } = input;
  const first = files[0];
  if (first === undefined) return;
  const connection = await duck.connect();
  try {
    const rows = await selectRows(input.context.store, spec, files, spec.columns.map(({ name }) => name));
    const file = await encodeParquet(connection, `${rows} ${order(spec)}`, spec, duck.staging);
    const partition = Object.keys(first.partition).length === 0 ? undefined : { specId: first.specId, values: first.partition };
    await replace(input, file === undefined ? [] : [await place(input, file, partition)]);
  } finally {
    connection.closeSync();
  }
}

/** An event and day is worth a file of its own from this size on; smaller ones stay hot together until they have grown. */
const partitionBytesMin = 4 * 1024 * 1024;

/** The rows of hot files go into one file per partition of the default spec; what is too little for one stays hot. */
export async function fileAway(input: RewriteInput): Promise<void> {
  const { duck, spec, metadata, files } = input;
  const connection = await duck.connect();
  try {
    const rows = await selectRows(input.context.store, spec, files, spec.columns.map(({ name }) => name));
    await connection.run(`create or replace temp table filing as ${rows}`);
    const added: AddedFile[] = [];
    const taken: string[] = [];
    for (const { condition, values } of await partitionsWorthAFile(connection, input)) {
      const file = await encodeParquet(connection, `select * from filing where ${condition} ${order(spec)}`, spec, duck.staging);
      taken.push(`(${condition})`);
      if (file !== undefined) added.push(await place(input, file, { specId: metadata['default-spec-id'], values }));
    }
    const rest = taken.length === 0 ? 'true' : `not coalesce(${taken.join(' or ')}, false)`;
    const left = await encodeParquet(connection, `select * from filing where ${rest} ${order(spec)}`, spec, duck.staging);
    if (left !== undefined) added.push(await place(input, left, undefined));
    await replace(input, added);
  } finally {
    await connection.run('drop table if exists filing');
    connection.closeSync();
  }
}

interface Partition {
  readonly condition: string;
  readonly values: Readonly<Record<string, string | number | null>>;
}

async function partitionsWorthAFile(connection: DuckDBConnection, { spec, metadata, files }: RewriteInput): Promise<Partition[]> {
  const ids = metadata['partition-specs'].find((candidate) => candidate['spec-id'] === metadata['default-spec-id'])?.fields ?? [];
  // Dates as days since 1970, which is also how Iceberg keeps them (specification, Partition Transforms).
  const keys = spec.partition.map(({ column, transform }) => transform === 'day'
    ? `epoch_us(${identifier(column)}) // 86400000000` : identifier(column));
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const found = await rowsOf(connection, `select ${keys.map((key, index) => `${key} as k${index}`).join(', ')}, count(*) as n,
    (select count(*) from filing) as total from filing group by all`);
  return found.filter((row) => total * (Number(row['n']) / Math.max(1, Number(row['total']))) >= partitionBytesMin).map((row) => {
    const values = spec.partition.map(({ transform }, index) => {
      const value = row[`k${index}`];
      return value === null || value === undefined ? null : transform === 'day' ? Number(value) : String(value);
    });
    return {
      condition: keys.map((key, index) => {
        const value = values[index] ?? null;
        return value === null ? `${key} is null` : `${key} = ${typeof value === 'number' ? value : literal(value)}`;
      }).join(' and '),
      values: Object.fromEntries(ids.map((field, index) => [String(field['field-id']), values[index] ?? null])),
    };
  });
}

function order(spec: TableSpec): string {
  return spec.sort.length === 0 ? '' : `order by ${spec.sort.map((name) => `${identifier(name)} nulls first`).join(', ')}`;
}

async function place(
  { context, spec }: RewriteInput, file: EncodedFile,
  partition: { specId: number; values: AddedFile['partition'] } | undefined,
): Promise<AddedFile> {
  const key = `${storeNamespace}/${spec.name}/data/${randomUUID()}.parquet`;
  await context.store.putFile(key, file.localPath);
  const added = dataFileFromStats(spec, `${context.store.uri}/${key}`, file.stats, partition);
  return spec.sort.length === 0 ? added : { ...added, sortOrderId: 1 };
}

async function replace({ context, spec, files, sequenceNumber }: RewriteInput, add: readonly AddedFile[]): Promise<void> {
  await commitReplace({
    ...context, ref: { namespace: storeNamespace, name: spec.name }, add, readAtSequenceNumber: sequenceNumber,
    remove: files.map(({ path }) => path), summary: { 'watershed.by': 'upkeep' },
  });
}
