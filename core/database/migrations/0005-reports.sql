-- A report that is rendered and sent on a schedule. `scheduled_until`: the slots up to here have been decided.
create table watershed.report (
  id text primary key,
  name text not null,
  owner text not null,
  layout text not null,
  parameters jsonb not null,
  cron text not null,
  time_zone text not null,
  catch_up text not null check (catch_up in ('skip', 'last', 'all')),
  deliveries jsonb not null,
  -- Signs the bodies of webhooks.
  secret text not null,
  status text not null check (status in ('active', 'paused')),
  version int not null check (version > 0),
  scheduled_until timestamptz not null,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_by text not null,
  deleted_at timestamptz
);

-- One slot of a report, written before anything of it is done; `definition` is the report as it was then.
create table watershed.report_run (
  id bigserial primary key,
  report_id text not null references watershed.report,
  slot timestamptz not null,
  version int not null,
  kind text not null check (kind in ('scheduled', 'test')),
  definition jsonb not null,
  state text not null check (state in ('planned', 'delivering', 'done', 'failed', 'skipped')),
  attempts int not null default 0,
  -- Nobody else works on it before this.
  not_before timestamptz not null,
  error text,
  created_at timestamptz not null,
  finished_at timestamptz
);
-- A slot happens once, whatever the report was edited to meanwhile.
create unique index report_run_slot on watershed.report_run (report_id, slot) where kind = 'scheduled';
create index report_run_open on watershed.report_run (not_before) where state in ('planned', 'delivering');

create table watershed.report_output (
  run_id bigint not null references watershed.report_run on delete cascade,
  format text not null,
  content_type text not null,
  bytes bytea not null,
  primary key (run_id, format)
);

-- One recipient of one run. `sending` that outlives its process means: perhaps it went out.
create table watershed.report_delivery (
  run_id bigint not null references watershed.report_run on delete cascade,
  position int not null,
  kind text not null check (kind in ('file', 'mail', 'webhook')),
  target text not null,
  format text not null,
  key text not null unique,
  state text not null check (state in ('pending', 'sending', 'sent', 'failed')),
  attempts int not null default 0,
  perhaps_twice boolean not null default false,
  error text,
  sent_at timestamptz,
  primary key (run_id, position)
);
