import type { Database, Sql } from '../database/database.ts';
import { sqlStateOf } from '../database/database.ts';
import { WatershedError, isWatershedError } from '../errors.ts';

// watershed.log_batch is cut twice: a table per topic (log_posts), and below it one per slice of time
// (log_posts_<start, ms since 1970>), made when the first batch comes that belongs there. A slice is dropped whole,
// once nothing in it is wanted and nothing can come into it.

const advisoryLock = 5_439_180_002n; // one at a time makes or drops tables of the log
const lockNotAvailable = '55P03';

/**
 * A slice of the default length: short enough that a busy topic gives space back soon, long enough that a week is
 * 168.
 */
export const sliceMsDefault = 3_600_000;

/**
 * Makes the topic where there is none. Names become table names: `bad_request` for others than [a-z][a-z0-9_]{0,39}.
 */
export async function makeTopic(database: Database, topic: string, partitions: number): Promise<void> {
  if (!/^[a-z][a-z0-9_]{0,39}$/.test(topic))
    throw new WatershedError('bad_request', `a topic cannot be called ${JSON.stringify(topic)}`);
  if (!Number.isInteger(partitions) || partitions < 1)
    throw new WatershedError('bad_request', `a topic cannot have ${partitions} partitions`);
  await database.transaction(async (sql) => {
    await sql.query('select pg_advisory_xact_lock($1)', [advisoryLock]);
    const made = await sql.execute(
      `insert into watershed.log_topic (topic, identity, partitions) values ($1, 'postgres:' || gen_random_uuid(), $2)
       on conflict do nothing`,
      [topic, partitions],
    );
    if (made === 0) return;
    await sql.execute('insert into watershed.log_partition (topic, partition) select $1, generate_series(0, $2 - 1)', [
      topic,
      partitions,
    ]);
    await sql.execute(
      `create table watershed.log_${topic} partition of watershed.log_batch
         for values in ('${topic}') partition by range (appended_at)`,
    );
  });
}

/** Makes the slice for batches of this moment, by the database's clock, unless another was quicker. */
export async function makeSlice(database: Database, topic: string, sliceMs: number): Promise<void> {
  await database.transaction(async (sql) => {
    await sql.query('select pg_advisory_xact_lock($1)', [advisoryLock]);
    const slices = await slicesOf(sql, topic);
    const [clock] = await sql.query<{ now: number }>(
      `select extract(epoch from greatest(max(appended_at), clock_timestamp()))::float8 * 1000 as now
         from watershed.log_partition where topic = $1`,
      [topic],
    );
    const now = clock?.now ?? 0;
    if (slices.some(({ from, to }) => from <= now && now < to)) return;
    // Between neighbours that were made when slices were longer or shorter there may be less room than a whole one.
    const start = Math.max(
      Math.floor(now / sliceMs) * sliceMs,
      ...slices.filter(({ to }) => to <= now).map(({ to }) => to),
    );
    const end = Math.min(
      (Math.floor(now / sliceMs) + 1) * sliceMs,
      ...slices.filter(({ from }) => from > now).map(({ from }) => from),
    );
    const bound = (ms: number): string => `'${new Date(ms).toISOString()}'`;
    // Made beside and then attached: `partition of` would wait for everybody who reads the topic, a backup among them,
    // and all appends behind it (PostgreSQL manual, 5.12.2.2).
    await sql.execute(
      `create table watershed.log_${topic}_${start} (like watershed.log_${topic} including all);
       alter table watershed.log_${topic} attach partition watershed.log_${topic}_${start}
         for values from (${bound(start)}) to (${bound(end)})`,
    );
  });
}

/**
 * Drops the slices of which every batch lies below the trim mark of its partition. One that is in use stays till the
 * next time.
 */
export async function dropSlices(database: Database, topic: string): Promise<void> {
  // Tables are locked before rows here, never rows first: an append locks the table, then its partition's row.
  for (const { table } of await unwantedSlices(database, topic)) {
    try {
      await database.transaction(async (sql) => {
        await sql.query('select pg_advisory_xact_lock($1)', [advisoryLock]);
        await sql.execute(`set local lock_timeout = '2s'`);
        await sql.execute(`drop table if exists watershed.${table}`);
      });
    } catch (error) {
      if (isWatershedError(error) && sqlStateOf(error) === lockNotAvailable) return;
      throw error;
    }
  }
}

interface Slice {
  readonly table: string;
  /** Bounds in ms since 1970; `to` is exclusive. */
  readonly from: number;
  readonly to: number;
}

async function slicesOf(sql: Sql, topic: string): Promise<Slice[]> {
  return sql.query<Slice>(
    `select relname as "table", extract(epoch from bounds[1]::timestamptz)::float8 * 1000 as "from",
            extract(epoch from bounds[2]::timestamptz)::float8 * 1000 as "to"
       from pg_inherits join pg_class on pg_class.oid = inhrelid,
            regexp_match(pg_get_expr(relpartbound, pg_class.oid), '\\(''([^'']+)''\\) TO \\(''([^'']+)''\\)') as bounds
      where inhparent = to_regclass($1) order by "from"`,
    [`watershed.log_${topic}`],
  );
}

async function unwantedSlices(database: Database, topic: string): Promise<Slice[]> {
  const unwanted: Slice[] = [];
  for (const slice of await slicesOf(database, topic)) {
    const [wanted] = await database.query<{ wanted: boolean; open: boolean }>(
      `select exists (
         select from watershed.log_partition p, lateral (
           select base_offset + count as ends_at from watershed.${slice.table} b
            where b.topic = p.topic and b.partition = p.partition order by base_offset desc limit 1) last
          where p.topic = $1 and last.ends_at > p.trimmed_below) as wanted,
        exists (select from watershed.log_partition p
          where p.topic = $1 and greatest(p.appended_at, clock_timestamp()) < to_timestamp($2::float8 / 1000)) as open`,
      [topic, slice.to],
    );
    // Slices are in order of time, and so of offset: what comes after a wanted one is wanted too.
    if (wanted === undefined || wanted.wanted || wanted.open) break;
    unwanted.push(slice);
  }
  return unwanted;
}
