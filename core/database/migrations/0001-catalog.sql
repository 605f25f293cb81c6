create schema if not exists watershed;

create table watershed.migration (
  number int primary key,
  name text not null,
  checksum text not null,
  applied_at timestamptz not null default now()
);

-- The catalog of Iceberg's JdbcCatalog, schema version V1 (iceberg: core/jdbc/JdbcUtil.java). Other engines look for these
-- names on their search path, and make neither table nor column themselves.
create table if not exists public.iceberg_tables (
  catalog_name varchar(255) not null,
  table_namespace varchar(255) not null,
  table_name varchar(255) not null,
  metadata_location varchar(1000),
  previous_metadata_location varchar(1000),
  iceberg_type varchar(5),
  primary key (catalog_name, table_namespace, table_name)
);

create table if not exists public.iceberg_namespace_properties (
  catalog_name varchar(255) not null,
  namespace varchar(255) not null,
  property_key varchar(255) not null,
  property_value varchar(1000),
  primary key (catalog_name, namespace, property_key)
);

-- What became of the records [from_offset, to_offset) of one partition. The constraints make the rows of a partition one
-- chain: a row begins where another ends (foreign key: no gap), two never begin or end at one place (unique: no fork, no overlap),
-- and there is one beginning (from_offset null, its to_offset being the offset the landing started at).
create table watershed.ledger (
  landing text not null,
  log_identity text not null,
  topic text not null,
  partition int not null check (partition >= 0),
  from_offset bigint,
  to_offset bigint not null check (to_offset >= 0),
  kept bigint not null default 0 check (kept >= 0),
  duplicate bigint not null default 0 check (duplicate >= 0),
  dead bigint not null default 0 check (dead >= 0),
  committed_at timestamptz not null default now(),
  primary key (landing, log_identity, topic, partition, to_offset),
  unique nulls not distinct (landing, log_identity, topic, partition, from_offset),
  foreign key (landing, log_identity, topic, partition, from_offset)
    references watershed.ledger (landing, log_identity, topic, partition, to_offset),
  check (from_offset < to_offset)
);

-- What the lake is made of: a start with another log or warehouse is refused (architecture.md, section 3).
create table watershed.lake (
  only_one boolean primary key default true check (only_one),
  log_kind text not null,
  log_identity text not null,
  warehouse_uri text not null,
  created_at timestamptz not null default now()
);

create table watershed.lease (
  name text primary key,
  holder text not null,
  -- Grows with every acquisition; whoever commits under the lease checks it.
  epoch bigint not null check (epoch > 0),
  expires_at timestamptz not null
);
