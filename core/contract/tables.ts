/**
 * The tables of the lake: columns with their Iceberg field ids, partition spec 1 and sort order. All fields are
 * optional.
 */

export type PrimitiveType = 'boolean' | 'int' | 'long' | 'double' | 'string' | 'timestamptz' | 'binary';
export type ColumnType = PrimitiveType | { readonly list: PrimitiveType; readonly elementId: number };

export interface Column {
  readonly id: number;
  readonly name: string;
  readonly type: ColumnType;
  readonly doc: string;
}

export interface PartitionField {
  readonly column: string;
  readonly transform: 'identity' | 'day';
}

export interface TableSpec {
  readonly name: string;
  readonly columns: readonly Column[];
  /** Partition spec 1; empty for tables that stay unpartitioned. */
  readonly partition: readonly PartitionField[];
  /** Sort order 1, ascending, nulls first. */
  readonly sort: readonly string[];
  /** Columns whose file bounds are worth keeping; the rest have none, so that manifests stay small. */
  readonly bounds: readonly string[];
  readonly comment: string;
}

type ColumnRow = readonly [name: string, type: PrimitiveType | 'strings', doc: string];

// Element ids of lists follow the ids of all columns (100 on), so that a column can be added without renumbering.
function columns(rows: readonly ColumnRow[]): readonly Column[] {
  return rows.map(([name, type, doc], index) => ({
    id: index + 1,
    name,
    type: type === 'strings' ? { list: 'string', elementId: 101 + index } : type,
    doc,
  }));
}

const posts: TableSpec = {
  name: 'posts',
  comment: 'One post as matched to one event',
  columns: columns([
    ['event_id', 'string', 'The event that this row belongs to'],
    ['source', 'string', 'The network: x, bluesky'],
    ['post_id', 'string', "The network's id of the post; for Bluesky the record key, a slash and the DID"],
    ['created_at', 'timestamptz', 'When it was written, as the network states it'],
    ['collected_at', 'timestamptz', 'When it reached us'],
    ['author_id', 'string', 'Stable id of the author'],
    ['author_handle', 'string', 'Handle, without @'],
    ['author_name', 'string', 'Display name'],
    ['author_followers', 'long', 'Followers at that moment'],
    ['author_location', 'string', 'Location as the author states it'],
    ['author_created_at', 'timestamptz', 'When the account was made'],
    ['author_verified', 'boolean', 'Whether the network calls the author verified'],
    ['text', 'string', 'The full text'],
    ['lang', 'string', 'Language, BCP 47, as the network states it'],
    ['hashtags', 'strings', 'Without #, as written'],
    ['mentions', 'strings', 'Handles (X) or DIDs (Bluesky) of mentioned accounts'],
    ['urls', 'strings', 'Links, expanded'],
    ['media', 'strings', 'Addresses or ids of attached media'],
    ['conversation_id', 'string', 'Id of the post that began the conversation'],
    ['in_reply_to_id', 'string', 'The post that this one answers'],
    ['repost_of_id', 'string', 'The post that this one repeats'],
    ['quote_of_id', 'string', 'The post that this one quotes'],
    ['reposts', 'long', 'Number of reposts at that moment'],
    ['replies', 'long', 'Number of replies at that moment'],
    ['likes', 'long', 'Number of likes at that moment'],
    ['quotes', 'long', 'Number of quotes at that moment'],
    ['latitude', 'double', 'Degrees north, WGS 84'],
    ['longitude', 'double', 'Degrees east, WGS 84'],
    ['place', 'string', 'Name of the place the post is tagged with'],
    ['country', 'string', 'ISO 3166-1 alpha-2 of that place'],
    ['matched', 'strings', 'The terms of the rule that matched'],
    ['uri', 'string', 'Where the post can be seen'],
    ['log_partition', 'int', 'Partition of topic posts that this row came from'],
    ['log_offset', 'long', 'Offset in that partition'],
  ]),
  partition: [{ column: 'event_id', transform: 'identity' }, { column: 'created_at', transform: 'day' }],
  sort: ['event_id', 'created_at'],
  bounds: ['event_id', 'source', 'post_id', 'created_at', 'collected_at', 'log_partition', 'log_offset'],
};

const raw: TableSpec = {
  name: 'raw',
  comment: 'The log record behind posts, once, whatever number of events it matched',
  columns: columns([
    ['source', 'string', 'The network'],
    ['format', 'string', 'Shape of the body: x.v2, x.v1, bluesky, crisislex'],
    ['received_at', 'timestamptz', 'When it reached us'],
    ['body', 'string', "The source's own JSON, byte for byte"],
    ['log_partition', 'int', 'Partition of topic posts'],
    ['log_offset', 'long', 'Offset in that partition'],
  ]),
  partition: [{ column: 'received_at', transform: 'day' }],
  sort: ['log_partition', 'log_offset'],
  bounds: ['source', 'received_at', 'log_partition', 'log_offset'],
};

const classifications: TableSpec = {
  name: 'classifications',
  comment: 'What a model said of a post',
  columns: columns([
    ['event_id', 'string', 'Event of the post'],
    ['source', 'string', 'Network of the post'],
    ['post_id', 'string', 'Id of the post'],
    ['created_at', 'timestamptz', 'When the post was written'],
    ['classifier', 'string', 'What was asked: relevance, information_type, language'],
    ['model_version', 'string', 'Version of the model that answered'],
    ['label', 'string', 'The answer'],
    ['score', 'double', 'Calibrated probability of the answer, 0 to 1'],
    ['scores', 'string', 'JSON object of all labels with their probabilities'],
    ['classified_at', 'timestamptz', 'When it was classified'],
    ['log_partition', 'int', 'Partition of topic posts'],
    ['log_offset', 'long', 'Offset in that partition'],
  ]),
  partition: [{ column: 'event_id', transform: 'identity' }, { column: 'created_at', transform: 'day' }],
  sort: ['event_id', 'created_at'],
  bounds: ['event_id', 'created_at', 'classifier', 'model_version', 'log_partition', 'log_offset'],
};

const events: TableSpec = {
  name: 'events',
  comment: 'The state of an event after a change, and who made it',
  columns: columns([
    ['event_id', 'string', 'Slug, made once from the name and never used again'],
    ['version', 'long', 'Grows by one with every change of this event'],
    ['name', 'string', 'Name for people'],
    ['description', 'string', 'What the event is'],
    ['status', 'string', 'active, paused, archived or deleted'],
    ['sources', 'strings', 'Where it collects: x, bluesky, replay'],
    ['rule', 'string', 'JSON of the rule: any, all, none, accounts, languages, places'],
    ['start_at', 'timestamptz', 'Begin of the time that the event covers'],
    ['end_at', 'timestamptz', 'End of that time, if it has one'],
    ['action', 'string', 'created, edited, paused, resumed, archived, restored, deleted'],
    ['changed_by', 'string', 'Name of the token that made the change'],
    ['changed_at', 'timestamptz', 'When it was made'],
    ['log_partition', 'int', 'Partition of topic events'],
    ['log_offset', 'long', 'Offset in that partition'],
  ]),
  partition: [],
  sort: ['event_id', 'version'],
  bounds: ['event_id', 'changed_at'],
};

const journal: TableSpec = {
  name: 'journal',
  comment: 'What a collector lived through',
  columns: columns([
    ['at', 'timestamptz', 'When it happened'],
    ['source', 'string', 'The network, or the part of this system that speaks'],
    ['event_id', 'string', 'The event concerned, null for all'],
    ['kind', 'string', 'connected, disconnected, gap, rate_limited, rules_changed, undelivered'],
    ['since', 'timestamptz', 'Begin of a gap'],
    ['until', 'timestamptz', 'End of a gap'],
    ['cause', 'string', 'Why'],
    ['filled_at', 'timestamptz', 'When the gap was filled, null while it is not'],
    ['count', 'long', 'How many posts it concerns, as far as the network tells'],
    ['detail', 'string', 'JSON with whatever else is known'],
    ['log_partition', 'int', 'Partition of topic journal'],
    ['log_offset', 'long', 'Offset in that partition'],
  ]),
  partition: [{ column: 'at', transform: 'day' }],
  sort: ['at'],
  bounds: ['at', 'source', 'kind'],
};

const quarantine: TableSpec = {
  name: 'quarantine',
  comment: 'Records that could not be kept, with their bytes and the reason',
  columns: columns([
    ['at', 'timestamptz', 'When it was set aside'],
    ['component', 'string', 'Who set it aside'],
    ['reason', 'string', 'Why'],
    ['topic', 'string', 'Where it came from'],
    ['partition', 'int', 'Partition there, null before the log'],
    ['offset', 'long', 'Offset there, null before the log'],
    ['bytes', 'binary', 'The record itself, cut after 1 MiB'],
    ['bytes_length', 'long', 'Its whole length in bytes'],
    ['replayed_at', 'timestamptz', 'When it was put back, null while it was not'],
    ['log_partition', 'int', 'Partition of the topic whose landing wrote this row'],
    ['log_offset', 'long', 'Offset in that partition'],
  ]),
  partition: [{ column: 'at', transform: 'day' }],
  sort: ['at'],
  bounds: ['at', 'component', 'topic', 'offset'],
};

const tombstones: TableSpec = {
  name: 'tombstones',
  comment: 'Posts and authors that must be forgotten; the latest state wins',
  columns: columns([
    ['source', 'string', 'The network'],
    ['kind', 'string', 'post or author'],
    ['id', 'string', 'Post id or author id'],
    ['state', 'string', 'gone or back: accounts come back'],
    ['why', 'string', 'deleted, takendown, suspended, deactivated, event_deleted'],
    ['received_at', 'timestamptz', 'When the network told us'],
    ['log_partition', 'int', 'Partition of topic tombstones'],
    ['log_offset', 'long', 'Offset in that partition'],
  ]),
  partition: [],
  sort: ['source', 'id'],
  bounds: ['source', 'id', 'received_at'],
};

const activity: TableSpec = {
  name: 'activity',
  comment: 'Posts per event, source, minute and language',
  columns: columns([
    ['event_id', 'string', 'Event'],
    ['source', 'string', 'Network'],
    ['minute', 'timestamptz', 'Begin of the minute, UTC'],
    ['lang', 'string', 'Language'],
    ['posts', 'long', 'Number of posts'],
    ['authors', 'long', 'Number of different authors'],
    ['reposts', 'long', 'Number of them that are reposts'],
  ]),
  partition: [{ column: 'event_id', transform: 'identity' }, { column: 'minute', transform: 'day' }],
  sort: ['event_id', 'minute'],
  bounds: ['event_id', 'minute'],
};

const activityLabels: TableSpec = {
  name: 'activity_labels',
  comment: 'Posts per event, source, minute, classifier and label',
  columns: columns([
    ['event_id', 'string', 'Event'],
    ['source', 'string', 'Network'],
    ['minute', 'timestamptz', 'Begin of the minute, UTC'],
    ['classifier', 'string', 'What was asked'],
    ['label', 'string', 'The answer'],
    ['posts', 'long', 'Number of posts'],
  ]),
  partition: [{ column: 'event_id', transform: 'identity' }, { column: 'minute', transform: 'day' }],
  sort: ['event_id', 'minute'],
  bounds: ['event_id', 'minute'],
};

const activityTerms: TableSpec = {
  name: 'activity_terms',
  comment: 'The most frequent hashtags, mentions, domains, authors and words per event and hour',
  columns: columns([
    ['event_id', 'string', 'Event'],
    ['hour', 'timestamptz', 'Begin of the hour, UTC'],
    ['kind', 'string', 'hashtag, mention, domain, author or word'],
    ['value', 'string', 'The term'],
    ['posts', 'long', 'Number of posts'],
  ]),
  partition: [{ column: 'event_id', transform: 'identity' }, { column: 'hour', transform: 'day' }],
  sort: ['event_id', 'hour'],
  bounds: ['event_id', 'hour', 'kind'],
};

export const tables = {
  posts,
  raw,
  classifications,
  events,
  journal,
  quarantine,
  tombstones,
  activity,
  activity_labels: activityLabels,
  activity_terms: activityTerms,
} as const;

export type TableName = keyof typeof tables;

/** The Iceberg namespace of the tables as they are, and the schema of the views that people see. */
export const storeNamespace = 'store';
export const lakeSchema = 'lake';
export const catalogName = 'watershed';
