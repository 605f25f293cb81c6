-- Every statement that came through a door: who, when, what, how it went. `outcome` is `done` or the code of the error.
create table watershed.statement_audit (
  id bigserial primary key,
  at timestamptz not null,
  principal text not null,
  door text not null,
  statement text not null,
  outcome text not null,
  rows bigint not null,
  bytes bigint not null,
  elapsed_ms double precision not null
);
create index statement_audit_at on watershed.statement_audit (at);

-- A statement kept under a name; `parameters` are [{name, type, default}], the first one being $1.
create table watershed.saved_query (
  id text primary key,
  name text not null,
  description text not null,
  owner text not null,
  statement text not null,
  parameters jsonb not null,
  version int not null check (version > 0),
  created_at timestamptz not null,
  updated_at timestamptz not null,
  updated_by text not null
);
create unique index saved_query_name on watershed.saved_query (owner, name);
