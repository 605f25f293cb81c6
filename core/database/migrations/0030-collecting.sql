-- Two events of one name would be told apart by nobody. The name of a deleted one is free again; its id is not.
create unique index event_name on watershed.event (lower(name)) where deleted_at is null;

-- How each collector fares: for people, in the page and in `watershed status`.
create table watershed.collector (
  source text not null,
  account text not null,
  state text not null check (state in ('starting', 'connected', 'disconnected', 'failed')),
  since timestamptz not null default now(),
  -- Why it is disconnected or failed, in words.
  message text,
  -- The network's time up to which it has read, where the network has one.
  read_until timestamptz,
  updated_at timestamptz not null default now(),
  primary key (source, account)
);
