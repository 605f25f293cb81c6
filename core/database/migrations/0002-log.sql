create table watershed.log_topic (
  topic text primary key check (topic ~ '^[a-z][a-z0-9_]{0,39}$'),
  -- Made with the topic: a topic made anew under the same name is another.
  identity text not null unique,
  partitions int not null check (partitions > 0),
  created_at timestamptz not null default now()
);

-- The row that an append locks until it commits: so no reader sees offset n + 1 before n.
create table watershed.log_partition (
  topic text not null references watershed.log_topic on delete cascade,
  partition int not null check (partition >= 0),
  next_offset bigint not null default 0,
  -- Never smaller than that of any batch of the partition: time and offset grow together, and slices of time can be
  -- skipped when reading and dropped when trimming.
  appended_at timestamptz not null default '-infinity',
  -- Below this nobody reads any more.
  trimmed_below bigint not null default 0,
  primary key (topic, partition)
) with (fillfactor = 50);

-- One row is a batch of records. Below it, one table per topic; below that, one table per slice of time, made by core/log.
create table watershed.log_batch (
  topic text not null,
  partition int not null,
  base_offset bigint not null,
  count int not null check (count > 0),
  -- Of the records as lines, before compression.
  bytes int not null,
  codec text not null check (codec in ('zstd', 'none')),
  body bytea not null,
  appended_at timestamptz not null,
  primary key (topic, partition, base_offset, appended_at)
) partition by list (topic);

-- The body is compressed already: to try again costs more than half of the speed.
alter table watershed.log_batch alter column body set storage external;
