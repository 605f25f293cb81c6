import { type TableName, tables } from '#core/contract/tables.ts';

/**
 * The views of schema `lake`: what people see. Written in SQL that DuckDB and Trino both understand, over
 * `store.<table>`
 * and the helpers below; columns are listed, since `SELECT *` makes a view stale when a column is added.
 */
export interface LakeView {
  /** The table whose rows these are. Conditions on its columns may be used to leave out its files. */
  readonly of: TableName;
  /** Columns on which a condition leaves out whole rows of `of` without changing which of the others win. */
  readonly prunable: 'all' | readonly string[];
  readonly uses: readonly TableName[];
  readonly helpers: readonly HelperName[];
  readonly sql: string;
}

export interface Helper {
  readonly uses: readonly TableName[];
  readonly columns: readonly string[];
  readonly sql: string;
}

/**
 * Small relations that several views need, written as `helper.<name>` there. DuckDB computes them once per state of
 * their
 * tables and sees when they are empty (then the views cost nothing); for Trino they are put in as subqueries.
 */
export const helpers = {
  /** Posts and authors that must be forgotten: those whose latest state is `gone`. */
  gone: {
    uses: ['tombstones'],
    columns: ['source', 'kind', 'id'],
    sql: `SELECT source, kind, id FROM (
  SELECT source, kind, id, state,
    row_number() OVER (PARTITION BY source, kind, id ORDER BY received_at DESC, log_partition DESC, log_offset DESC) AS newest
  FROM store.tombstones) AS states WHERE newest = 1 AND state = 'gone'`,
  },
  deleted_events: {
    uses: ['events'],
    columns: ['event_id'],
    sql: `SELECT event_id FROM (
  SELECT event_id, status, row_number() OVER (PARTITION BY event_id ORDER BY version DESC) AS newest
  FROM store.events) AS states WHERE newest = 1 AND status = 'deleted'`,
  },
} as const satisfies Record<string, Helper>;

export type HelperName = keyof typeof helpers;

const columnsOf = (table: TableName, alias: string): string =>
  tables[table].columns.map(({ name }) => `${alias}."${name}"`).join(', ');

const notDeleted = (alias: string): string =>
  `NOT EXISTS (SELECT 1 FROM helper.deleted_events AS d WHERE d.event_id = ${alias}.event_id)`;

const postGone = (alias: string): string =>
  `SELECT 1 FROM helper.gone AS g WHERE g.kind = 'post' AND g.source = ${alias}.source AND g.id = ${alias}.post_id`;

const authorGone = (alias: string): string =>
  `SELECT 1 FROM helper.gone AS g WHERE g.kind = 'author' AND g.source = ${alias}.source AND g.id = ${alias}.author_id`;

const plain = (table: TableName): LakeView => ({
  of: table,
  prunable: 'all',
  uses: [table],
  helpers: [],
  sql: `SELECT ${columnsOf(table, 't')} FROM store.${table} AS t`,
});

const ofLiveEvents = (table: TableName): LakeView => ({
  of: table,
  prunable: 'all',
  uses: [table],
  helpers: ['deleted_events'],
  sql: `SELECT ${columnsOf(table, 't')} FROM store.${table} AS t WHERE ${notDeleted('t')}`,
});

export const lakeViews: Readonly<Record<TableName, LakeView>> = {
  posts: {
    of: 'posts',
    prunable: 'all',
    uses: ['posts'],
    helpers: ['gone', 'deleted_events'],
    sql: `SELECT ${columnsOf('posts', 'p')} FROM store.posts AS p
WHERE NOT EXISTS (${postGone('p')}) AND NOT EXISTS (${authorGone('p')}) AND ${notDeleted('p')}`,
  },
  // A record has no post id of its own: what must be forgotten is found through the posts that came from it.
  raw: {
    of: 'raw',
    prunable: 'all',
    uses: ['raw', 'posts'],
    helpers: ['gone'],
    sql: `SELECT ${columnsOf('raw', 'r')} FROM store.raw AS r
WHERE NOT EXISTS (SELECT 1 FROM store.posts AS p JOIN helper.gone AS g ON g.source = p.source
    AND ((g.kind = 'post' AND g.id = p.post_id) OR (g.kind = 'author' AND g.id = p.author_id))
  WHERE p.log_partition = r.log_partition AND p.log_offset = r.log_offset)`,
  },
  // Of several model versions that judged a post, the one that judged last.
  classifications: {
    of: 'classifications',
    prunable: ['event_id', 'source', 'post_id', 'created_at', 'classifier'],
    uses: ['classifications'],
    helpers: ['gone', 'deleted_events'],
    sql: `SELECT ${columnsOf('classifications', 'c')} FROM (
  SELECT ${columnsOf('classifications', 't')},
    row_number() OVER (PARTITION BY event_id, source, post_id, classifier ORDER BY classified_at DESC, model_version DESC) AS newest
  FROM store.classifications AS t) AS c
WHERE c.newest = 1 AND NOT EXISTS (${postGone('c')}) AND ${notDeleted('c')}`,
  },
  events: {
    of: 'events',
    prunable: ['event_id'],
    uses: ['events'],
    helpers: [],
    sql: `SELECT ${columnsOf('events', 'e')} FROM (
  SELECT ${columnsOf('events', 't')}, row_number() OVER (PARTITION BY event_id ORDER BY version DESC) AS newest
  FROM store.events AS t) AS e WHERE e.newest = 1 AND (e.status IS NULL OR e.status <> 'deleted')`,
  },
  journal: plain('journal'),
  // Putting a record back is a row of its own, hidden here, that names the row it is about
  // (`cli/commands/quarantine.ts`): by its place
  // in its topic, or where it never was in the log, by the place of the row itself.
  quarantine: {
    of: 'quarantine',
    prunable: ['at', 'component', 'reason'],
    uses: ['quarantine'],
    helpers: [],
    sql: `SELECT ${tables.quarantine.columns.map(({ name }) => (name === 'replayed_at' ? 'r.replayed_at' : `q."${name}"`)).join(', ')}
FROM store.quarantine AS q LEFT JOIN (
  SELECT "at", component, topic, "partition", "offset", max(replayed_at) AS replayed_at
  FROM store.quarantine WHERE replayed_at IS NOT NULL GROUP BY "at", component, topic, "partition", "offset") AS r
ON r."at" = q."at" AND r.component = q.component AND r.topic = CASE WHEN q."offset" IS NULL THEN 'quarantine' ELSE q.topic END
  AND r."partition" = coalesce(q."partition", q.log_partition) AND r."offset" = coalesce(q."offset", q.log_offset)
WHERE q.replayed_at IS NULL`,
  },
  tombstones: plain('tombstones'),
  activity: ofLiveEvents('activity'),
  activity_labels: ofLiveEvents('activity_labels'),
  activity_terms: ofLiveEvents('activity_terms'),
};
