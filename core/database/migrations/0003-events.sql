-- An event that people follow. A deleted one keeps its row, so that its id is never given again.
create table watershed.event (
  id text primary key,
  name text not null,
  state jsonb not null,
  version int not null check (version > 0),
  created_at timestamptz not null default now(),
  created_by text not null,
  updated_at timestamptz not null default now(),
  updated_by text not null,
  deleted_at timestamptz,
  deleted_by text
);

-- Who changed what, when: one row per version.
create table watershed.event_history (
  event_id text not null references watershed.event,
  version int not null,
  at timestamptz not null default now(),
  by text not null,
  change text not null,
  before jsonb,
  after jsonb,
  primary key (event_id, version)
);

-- Records that were decided in a transaction and go to the log after it, in order of id.
create table watershed.outbox (
  id bigserial primary key,
  topic text not null,
  record bytea not null,
  created_at timestamptz not null default now()
);

-- How far a collector has read its source. Opaque to all but that source.
create table watershed.cursor (
  source text not null,
  account text not null,
  cursor text not null,
  updated_at timestamptz not null default now(),
  primary key (source, account)
);
