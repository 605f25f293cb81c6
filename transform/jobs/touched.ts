import type { DuckDBConnection } from '@duckdb/node-api';
import { rowsOf } from '#warehouse/duck.ts';
import type { TableMetadata } from '#warehouse/table/metadata.ts';
import type { Filter } from '#warehouse/table/scan.ts';
import { showRows, type JobLake } from './lake-files.ts';
import { labelledRanges } from './marks.ts';
import { conditionOf, filterOf, type OffsetRange } from './ranges.ts';

/**
 * What a roll-up has seen of the tables it is made from: the offsets that landed in `posts` and `tombstones`, and the
 * marks of the classifier, by the names of the properties that hold them.
 */
export type Seen = Readonly<Record<string, string>>;

export interface Sources {
  readonly posts: TableMetadata;
  readonly classifications: TableMetadata;
  readonly tombstones: TableMetadata;
}

export type SourceName = 'posts' | 'labels' | 'tombstones';

/** How far the sources are now. */
export function seenNow(sources: Sources, of: readonly SourceName[]): Seen {
  const seen: Record<string, string> = {};
  const offsets = (kind: string, metadata: TableMetadata): void => {
    for (const [name, value] of Object.entries(metadata.properties))
      if (offsetName.test(name)) seen[`${kind}:${name}`] = value;
  };
  if (of.includes('posts')) offsets('posts', sources.posts);
  if (of.includes('tombstones')) offsets('tombstones', sources.tombstones);
  if (of.includes('labels'))
    for (const [name, value] of labelledRanges(sources.classifications)) seen[`labels:${name}`] = value;
  return seen;
}

const offsetName = /^watershed\.offset\..*\.\d+$/;

interface Change {
  readonly source: SourceName;
  readonly range: OffsetRange;
}

/** The records between what was seen and what is there now. */
export function changesBetween(before: Seen, now: Seen): Change[] {
  return Object.entries(now).flatMap(([name, value]): Change[] => {
    const from = BigInt(before[name]?.split('/')[0] ?? '0');
    const to = BigInt(value.split('/')[0] ?? '0');
    const partition = Number(/\d+$/.exec(name)?.[0]);
    const source = name.slice(0, name.indexOf(':'));
    if (from >= to || (source !== 'posts' && source !== 'labels' && source !== 'tombstones')) return [];
    return [{ source, range: { partition, from, to } }];
  });
}

/** The hour of an instant, in hours since 1970. */
export const hourOf = (column: string): string => `cast(floor(epoch_us(${column}) / 3600000000) as bigint)`;

/**
 * Fills temp table `touched (event_id, hour)` with the hours of events whose counts may have changed: those of posts
 * that came or were classified, and of posts that are to be forgotten or come back. Returns their number.
 */
export async function findTouched(
  lake: JobLake,
  connection: DuckDBConnection,
  sources: Sources,
  changes: readonly Change[],
): Promise<number> {
  await connection.run('create or replace temp table touched (event_id varchar, hour bigint)');
  const ranges = changes.filter(({ source }) => source !== 'tombstones').map(({ range }) => range);
  if (ranges.length > 0) {
    await showRows(lake, connection, 'changed_posts', {
      table: 'posts',
      metadata: sources.posts,
      columns: ['event_id', 'created_at', 'log_partition', 'log_offset'],
      filter: filterOf(ranges),
    });
    await connection.run(
      `insert into touched select distinct event_id, ${hourOf('created_at')} from changed_posts where ${conditionOf(ranges)}`,
    );
  }
  const forgotten = changes.filter(({ source }) => source === 'tombstones').map(({ range }) => range);
  if (forgotten.length > 0) await findForgotten(lake, connection, sources, forgotten);
  const [row] = await rowsOf(
    connection,
    `select count(*) as n from
    (select distinct event_id, hour from touched)`,
  );
  return Number(row?.['n']);
}

async function findForgotten(
  lake: JobLake,
  connection: DuckDBConnection,
  { posts, tombstones }: Sources,
  ranges: readonly OffsetRange[],
): Promise<void> {
  await showRows(lake, connection, 'changed_tombstones', {
    table: 'tombstones',
    metadata: tombstones,
    columns: ['source', 'kind', 'id', 'log_partition', 'log_offset'],
    filter: filterOf(ranges),
  });
  const ids = await rowsOf(connection, `select distinct kind, id from changed_tombstones where ${conditionOf(ranges)}`);
  if (ids.length === 0) return;
  // Files are told apart by the ids of their posts, not by those of their authors.
  const onlyPosts = ids.every((row) => row['kind'] === 'post');
  await showRows(lake, connection, 'all_posts', {
    table: 'posts',
    metadata: posts,
    columns: ['event_id', 'source', 'post_id', 'author_id', 'created_at'],
    ...(onlyPosts ? { filter: { kind: 'in', column: 'post_id', values: ids.map((row) => String(row['id'])) } } : {}),
  });
  await connection.run(`insert into touched select distinct p.event_id, ${hourOf('p.created_at')}
    from all_posts p join (select distinct source, kind, id from changed_tombstones where ${conditionOf(ranges)}) t
      on p.source = t.source and ((t.kind = 'post' and t.id = p.post_id) or (t.kind = 'author' and t.id = p.author_id))`);
}

/**
 * Files that may hold rows of a touched hour; `column` is the instant by which the table is divided in days, whole
 * days if told.
 */
export async function touchedFilter(
  connection: DuckDBConnection,
  column: string,
  unit: 'hour' | 'day',
): Promise<Filter> {
  const micros = 3_600_000_000;
  const spans = await rowsOf(
    connection,
    `select event_id, min(hour) as first, max(hour) as last from touched group by all order by all`,
  );
  return {
    kind: 'or',
    of: spans.map((row): Filter => {
      const [first, last] = [Number(row['first']), Number(row['last'])];
      const from = unit === 'hour' ? first : Math.floor(first / 24) * 24;
      const to = unit === 'hour' ? last + 1 : (Math.floor(last / 24) + 1) * 24;
      return {
        kind: 'and',
        of: [
          { kind: 'compare', column: 'event_id', op: '=', value: String(row['event_id']) },
          { kind: 'compare', column, op: '>=', value: from * micros },
          { kind: 'compare', column, op: '<', value: to * micros },
        ],
      };
    }),
  };
}
