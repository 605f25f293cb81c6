import { randomUUID } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { tables } from '#core/contract/tables.ts';
import { literal, rowsOf } from '../duck.ts';
import { duckType, encodeParquet } from '../encode.ts';
import type { Batch } from '../gather.ts';
import type { EncodeContext, EncodedBatch, Fates, Landing } from '../landing.ts';
import { withParts } from '../normalise/projection.ts';
import { projections } from '../normalise/projections.ts';
import { isoInstant } from '../normalise/sql.ts';
import { isStaged, recordAt, recordsOf, stagePosts, type DeadRecord, type StagedFile } from '../stage.ts';
import { encodeDead } from './dead.ts';

/** Topic `posts` into table `posts`: one row per post and event, without those the table has already. */
export const postsLanding: Landing = { name: 'posts', topic: 'posts', table: 'posts', encode: encodePosts };

async function encodePosts(batch: Batch, context: EncodeContext): Promise<EncodedBatch> {
  const { connection } = context;
  const staged = await stagePosts(batch, (format) => join(context.staging, `${randomUUID()}.${format}.ndjson`));
  try {
    await project(staged.files, context);
    const dead = [...staged.dead, ...await findDead(batch, staged.files, context)];
    await context.duplicates.mark(connection);
    const rows = 'select * from projected where reason is null and not duplicate';
    const file = await encodeParquet(connection, rows, tables.posts, context.staging);
    const quarantined = await encodeDead(dead, 'posts', 'landing posts', context);
    const fates = await countFates(dead, context);
    const remembered = file === undefined ? undefined : await context.duplicates.remember(connection, file.localPath);
    return {
      files: [
        ...(file === undefined ? [] : [{ table: 'posts' as const, file }]),
        ...(quarantined === undefined ? [] : [{ table: 'quarantine' as const, file: quarantined }]),
      ],
      fates,
      onPlaced(paths) {
        const path = file === undefined ? undefined : paths.get(file.localPath);
        if (path !== undefined) remembered?.placed(path);
      },
      async onCommitted() {
        await remembered?.committed();
      },
    };
  } finally {
    await connection.run('drop table if exists projected');
    await Promise.all(staged.files.map((stagedFile) => rm(stagedFile.path, { force: true })));
  }
}

/**
 * Fills table `projected`: the rows of all staged files, with `key` (hash of the identity) and `reason` (why a row is
 * dead).
 */
async function project(files: readonly StagedFile[], { connection }: EncodeContext): Promise<void> {
  const columns = tables.posts.columns.map(({ name, type }) => `null::${duckType(type)} as ${name}`);
  await connection.run(`create or replace temp table projected as ${withFate(`select ${columns.join(', ')} where false`)}`);
  // One after another: the readers' buffers of all formats at once would be most of a small memory.
  for (const file of files) await connection.run(`insert into projected by name ${withFate(selectFrom(file))}`);
}

function withFate(rows: string): string {
  return `select *, false as duplicate, hash(event_id, source, post_id) as key,
      case when event_id is null then 'it belongs to no event'
        when post_id is null then 'it has no valid id'
        when created_at is null then 'it has no valid time of creation' end as reason
    from (${rows})`;
}

/** One row per record and event. Events come last: what `post` holds is never copied, only what is made of it. */
function selectFrom(file: StagedFile): string {
  const projection = projections[file.format];
  const fields = Object.entries(projection.select).map(([name, expression]) => `${expression} as ${name}`);
  const columns = `{o: 'BIGINT', p: 'INTEGER', events: 'STRUCT(id VARCHAR, matched VARCHAR[])[]', `
    + `receivedAt: 'VARCHAR', post: ${literal(projection.postType)}}`;
  const records = `read_json(${literal(file.path)}, format = 'newline_delimited', ignore_errors = true,
    maximum_object_size = ${file.lineBytesMax}, columns = ${columns})`;
  return `select event.id as event_id, event.matched as matched, * exclude (event)
    from (select * exclude (events), unnest(case when len(events) > 0 then events else [null] end) as event
      from (select ${literal(file.source)} as source, ${fields.join(', ')}, ${isoInstant('receivedAt')} as collected_at,
          list_filter(events, lambda e: e.id is not null) as events, p as log_partition, o as log_offset
        from ${withParts(projection, records)} where o is not null))`;
}

/** Records that came out without what a row needs, and those that DuckDB could not read as JSON at all. */
async function findDead(batch: Batch, files: readonly StagedFile[], { connection }: EncodeContext): Promise<DeadRecord[]> {
  const found = await rowsOf(connection, `select log_partition as p, log_offset as o, min(reason) as reason
    from projected where reason is not null group by all`);
  const dead = found.map((row) => record(batch, Number(row['p']), BigInt(String(row['o'])), String(row['reason'])));
  const [count] = await rowsOf(connection, 'select count(distinct (log_partition, log_offset)) as n from projected');
  const staged = files.reduce((sum, file) => sum + file.records, 0);
  if (Number(count?.['n']) === staged) return dead;
  const seen = new Set((await rowsOf(connection, 'select distinct log_partition as p, log_offset as o from projected'))
    .map((row) => `${Number(row['p'])}/${String(row['o'])}`));
  const alreadyDead = new Set(dead.map(({ partition, offset }) => `${partition}/${offset}`));
  for (const one of recordsOf(batch)) {
    const { partition, offset, buffer, from, to } = one;
    const place = `${partition}/${offset}`;
    if (seen.has(place) || alreadyDead.has(place) || !isStaged(one)) continue;
    dead.push({ partition, offset, reason: 'it is not valid JSON in UTF-8', bytes: buffer.subarray(from, to) });
  }
  return dead;
}

function record(batch: Batch, partition: number, offset: bigint, reason: string): DeadRecord {
  return { partition, offset, reason, bytes: recordAt(batch, partition, offset) };
}

async function countFates(dead: readonly DeadRecord[], { connection }: EncodeContext): Promise<Map<number, Fates>> {
  const rows = await rowsOf(connection, `select p, count(*) filter (kept) as kept, count(*) filter (not kept) as duplicate
    from (select log_partition as p, log_offset, bool_or(not duplicate) as kept from projected where reason is null group by all)
    group by p`);
  const fates = new Map(rows.map((row) => [
    Number(row['p']), { kept: Number(row['kept']), duplicate: Number(row['duplicate']), dead: 0 },
  ]));
  for (const { partition } of dead) {
    const entry = fates.get(partition) ?? { kept: 0, duplicate: 0, dead: 0 };
    entry.dead++;
    fates.set(partition, entry);
  }
  return fates;
}
