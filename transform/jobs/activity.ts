import { randomUUID } from 'node:crypto';
import type { DuckDBConnection } from '@duckdb/node-api';
import Type from 'typebox';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Duck } from '#warehouse/duck.ts';
import { literal, rowsOf } from '#warehouse/duck.ts';
import { encodeParquet } from '#warehouse/encode.ts';
import { commitAppend, type CrashPoint } from '#warehouse/table/append.ts';
import { dataFileFromStats, type AddedFile, type PartitionValues } from '#warehouse/table/datafile.ts';
import { currentSchema, specById, type TableMetadata } from '#warehouse/table/metadata.ts';
import { commitReplace } from '#warehouse/table/replace.ts';
import type { PlannedFile } from '#warehouse/table/scan.ts';
import type { JobContext, JobDefinition } from './job.ts';
import { loadTables, showRows, type JobLake } from './lake-files.ts';
import { keptPosts, newestLabels, rollups, type Rollup } from './rollups.ts';
import { changesBetween, findTouched, hourOf, seenNow, touchedFilter, type Seen } from './touched.ts';

export interface ActivityOptions extends JobLake {
  readonly duck: Duck;
  readonly crashPoint: CrashPoint;
}

const Payload = Type.Object({}, { additionalProperties: false });

/** Counting takes at most this share of the time, and never waits longer than a minute. */
const shareMax = 0.25;
const pauseMsMax = 60_000;

/**
 * Counts posts, labels and terms anew wherever something changed since the last count, and puts the new rows in the
 * place of the old ones: exact also after late posts, other labels and what had to be forgotten.
 */
export function activityJob(options: ActivityOptions): JobDefinition<typeof Payload> {
  const pause = { untilMs: 0 };
  return {
    name: 'activity',
    description: 'Counts posts, labels and terms per event, so that no chart has to count posts',
    payload: Payload,
    schedule: { when: { everyMs: 15_000 }, payload: {} },
    concurrency: 1,
    attempts: 5,
    run: (_payload, context) => countAll(options, pause, context),
  };
}

async function countAll(options: ActivityOptions, pause: { untilMs: number }, context: JobContext): Promise<void> {
  const { clock, duck } = options;
  await clock.sleep(Math.max(0, pause.untilMs - clock.monotonic()), context.signal);
  const startedMs = clock.monotonic();
  const connection = await duck.connect();
  try {
    for (const rollup of rollups) {
      context.signal.throwIfAborted();
      const hours = await rollUp(options, connection, rollup);
      if (hours > 0) await context.progress({ table: rollup.table, hours });
    }
  } finally {
    connection.closeSync();
  }
  const tookMs = clock.monotonic() - startedMs;
  pause.untilMs = clock.monotonic() + Math.min(pauseMsMax, tookMs * (1 / shareMax - 1));
}

/** Another engine may have rewritten the table, another process may have counted: plan anew. */
const lostRacesMax = 5;

async function rollUp(options: ActivityOptions, connection: DuckDBConnection, rollup: Rollup): Promise<number> {
  for (let lost = 0; ; lost++) {
    try {
      return await rollUpOnce(options, connection, rollup);
    } catch (error) {
      const again = isWatershedError(error, 'fenced') || isWatershedError(error, 'conflict');
      if (!again || lost >= lostRacesMax) throw error;
    }
  }
}

/** The property that says what the counts have seen. */
const seenProperty = 'watershed.counted';

async function rollUpOnce(options: ActivityOptions, connection: DuckDBConnection, rollup: Rollup): Promise<number> {
  const metadata = await loadTables(options, ['posts', 'classifications', 'tombstones', rollup.table] as const);
  const target: TableMetadata = metadata[rollup.table];
  const stored = target.properties[seenProperty];
  // Written by this job alone.
  const before = stored === undefined ? {} : (JSON.parse(stored) as Seen);
  const now = seenNow(metadata, rollup.from);
  const changes = changesBetween(before, now);
  if (changes.length === 0) return 0;
  const hours = await findTouched(options, connection, metadata, changes);
  const mark: Mark = {
    expect: { [seenProperty]: stored },
    set: { [seenProperty]: JSON.stringify({ ...before, ...now }) },
  };
  options.crashPoint('found');
  if (hours === 0) {
    await commitMark(options, rollup, mark);
    return 0;
  }
  await count(options, connection, metadata, rollup);
  options.crashPoint('counted');
  await replace(options, connection, { rollup, target, mark });
  return hours;
}

interface Mark {
  readonly expect: Readonly<Record<string, string | undefined>>;
  readonly set: Readonly<Record<string, string>>;
}

const postColumns = [
  'event_id',
  'source',
  'post_id',
  'created_at',
  'author_id',
  'author_handle',
  'text',
  'lang',
  'hashtags',
  'mentions',
  'urls',
  'repost_of_id',
];
const labelColumns = [
  'event_id',
  'source',
  'post_id',
  'created_at',
  'classifier',
  'model_version',
  'label',
  'classified_at',
];

/** Fills temp table `counted` with the rows of the touched hours. */
async function count(
  options: ActivityOptions,
  connection: DuckDBConnection,
  metadata: {
    readonly posts: TableMetadata;
    readonly classifications: TableMetadata;
    readonly tombstones: TableMetadata;
  },
  rollup: Rollup,
): Promise<void> {
  const filter = await touchedFilter(connection, 'created_at', 'hour');
  await showRows(options, connection, 'some_posts', {
    table: 'posts',
    metadata: metadata.posts,
    columns: postColumns,
    filter,
  });
  await showRows(options, connection, 'some_labels', {
    table: 'classifications',
    metadata: metadata.classifications,
    columns: labelColumns,
    filter,
  });
  await showRows(options, connection, 'all_tombstones', {
    table: 'tombstones',
    metadata: metadata.tombstones,
    columns: ['source', 'kind', 'id', 'state', 'received_at', 'log_partition', 'log_offset'],
  });
  await connection.run(keptPosts);
  await connection.run(newestLabels);
  await connection.run(`create or replace temp table counted as ${rollup.sql}`);
}

interface ReplaceInput {
  readonly rollup: Rollup;
  readonly target: TableMetadata;
  readonly mark: Mark;
}

/** Writes the files of the touched days anew: the rows of their other hours as they were, and what was counted. */
async function replace(
  options: ActivityOptions,
  connection: DuckDBConnection,
  { rollup, target, mark }: ReplaceInput,
): Promise<void> {
  const plan = await showRows(options, connection, 'old_rows', {
    table: rollup.table,
    metadata: target,
    columns: tables[rollup.table].columns.map(({ name }) => name),
    filter: await touchedFilter(connection, rollup.instant, 'day'),
  });
  await connection.run(`create or replace temp table new_rows as
    select *, cast(floor(${hourOf(rollup.instant)} / 24) as bigint) as day from (
      select o.* from old_rows o anti join hours h
        on o.event_id = h.event_id and ${hourOf(`o.${rollup.instant}`)} = h.hour
      union all by name select * from counted)`);
  const placed: AddedFile[] = [];
  try {
    for (const { where, partition } of await divide(connection, target)) {
      const file = await placeRows(options, connection, { rollup, where, partition });
      if (file !== undefined) placed.push(file);
    }
    options.crashPoint('placed');
    await commitFiles(options, { rollup, mark, plan, placed });
  } catch (error) {
    if (!isWatershedError(error, 'commit_unknown')) await discard(options, placed);
    throw error;
  }
}

/** More days of events than this go into one file, as hot rows do: upkeep files them away later. */
const filedDaysMax = 16;

interface Part {
  readonly where: string;
  readonly partition: PartitionValues | undefined;
}

/** How the new rows are divided into files: one for each event and day, or all in one when there are many. */
async function divide(connection: DuckDBConnection, target: TableMetadata): Promise<readonly Part[]> {
  const days = await rowsOf(connection, 'select distinct event_id, day from new_rows order by all');
  if (days.length > filedDaysMax) return [{ where: 'true', partition: undefined }];
  return days.map((row) => {
    const [event, day] = [String(row['event_id']), Number(row['day'])];
    return { where: `event_id = ${literal(event)} and day = ${day}`, partition: partitionOf(target, event, day) };
  });
}

async function placeRows(
  { store, duck }: ActivityOptions,
  connection: DuckDBConnection,
  { rollup, where, partition }: Part & { readonly rollup: Rollup },
): Promise<AddedFile | undefined> {
  const spec = tables[rollup.table];
  const query = `select * exclude (day) from new_rows where ${where} order by event_id, ${rollup.instant}`;
  const file = await encodeParquet(connection, query, spec, duck.staging);
  if (file === undefined) return undefined;
  const key = `${storeNamespace}/${rollup.table}/data/${randomUUID()}.parquet`;
  await store.putFile(key, file.localPath);
  return dataFileFromStats(spec, `${store.uri}/${key}`, file.stats, partition);
}

async function commitFiles(
  options: ActivityOptions,
  input: {
    readonly rollup: Rollup;
    readonly mark: Mark;
    readonly placed: readonly AddedFile[];
    readonly plan: { readonly files: readonly PlannedFile[]; readonly sequenceNumber: number };
  },
): Promise<void> {
  const { catalog, store, cache, clock, random, crashPoint } = options;
  if (input.plan.files.length === 0 && input.placed.length === 0) {
    await commitMark(options, input.rollup, input.mark);
    return;
  }
  await commitReplace({
    catalog,
    store,
    cache,
    clock,
    random,
    crashPoint,
    ref: { namespace: storeNamespace, name: input.rollup.table },
    remove: input.plan.files.map(({ path }) => path),
    add: input.placed,
    readAtSequenceNumber: input.plan.sequenceNumber,
    operation: 'overwrite',
    properties: input.mark.set,
    expectProperties: input.mark.expect,
  });
}

async function commitMark(
  { catalog, store, cache, clock, random, crashPoint }: ActivityOptions,
  rollup: Rollup,
  mark: Mark,
): Promise<void> {
  await commitAppend({
    catalog,
    store,
    cache,
    clock,
    random,
    crashPoint,
    ledger: [],
    tables: [
      {
        ref: { namespace: storeNamespace, name: rollup.table },
        files: [],
        properties: mark.set,
        expectProperties: mark.expect,
      },
    ],
  });
}

async function discard({ store }: ActivityOptions, files: readonly AddedFile[]): Promise<void> {
  await Promise.allSettled(files.map(({ path }) => store.delete(path.slice(store.uri.length + 1))));
}

/**
 * Where the row's event and day belong in the table's default spec; undefined (the unpartitioned spec) when somebody
 * changed that.
 */
function partitionOf(metadata: TableMetadata, event: string, day: number): PartitionValues | undefined {
  const spec = specById(metadata, metadata['default-spec-id']);
  const names = new Map(currentSchema(metadata).fields.map(({ id, name }) => [id, name]));
  const values: Record<string, string | number> = {};
  for (const field of spec.fields) {
    const name = names.get(field['source-id']);
    if (field.transform === 'identity' && name === 'event_id') values[String(field['field-id'])] = event;
    else if (field.transform === 'day' && (name === 'minute' || name === 'hour'))
      values[String(field['field-id'])] = day;
    else return undefined;
  }
  return spec.fields.length === 0 ? undefined : { specId: spec['spec-id'], values };
}
