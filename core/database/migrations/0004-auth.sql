-- Named tokens. Of a token only what can check it is kept: its SHA-256 for HTTP, and the SCRAM-SHA-256 verifier
-- (RFC 5802, section 3) for the Postgres wire. Revoked ones stay, for the audit.
create table watershed.token (
  id bigserial primary key,
  name text not null,
  kind text not null check (kind in ('admin', 'read')),
  hash bytea not null unique,
  scram_salt bytea not null,
  scram_iterations int not null,
  scram_stored_key bytea not null,
  scram_server_key bytea not null,
  created_at timestamptz not null default now(),
  created_by text not null,
  revoked_at timestamptz
);
create unique index token_name on watershed.token (name) where revoked_at is null;

-- One-time codes, by which a browser gets its session. `issuer` is the token that vouches: the session ends with it.
create table watershed.login_code (
  hash bytea primary key,
  name text not null,
  kind text not null check (kind in ('admin', 'read')),
  issuer bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);

create table watershed.session (
  hash bytea primary key,
  name text not null,
  kind text not null check (kind in ('admin', 'read')),
  issuer bytea not null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null
);
