import type { Database, Sql } from '#core/database/database.ts';
import { WatershedError, isWatershedError } from '#core/errors.ts';
import type { Catalog, CommitRequest, LedgerRow, TableRef } from './catalog.ts';
import { chainError, conflictError } from './errors.ts';

/**
 * The catalog in Postgres: Iceberg's JDBC layout V1 (iceberg core/jdbc/JdbcUtil.java) in `public`, so that Trino, Spark
 * and PyIceberg read and write the same tables; ledger and lease beside it in `watershed`. `catalogName` is the
 * `catalog_name` of the rows.
 */
export function openPostgresCatalog(database: Database, options: { readonly catalogName: string }): Catalog {
  const { catalogName } = options;
  const loadAll = async (tables: readonly TableRef[]): Promise<(string | undefined)[]> => {
    const rows = await database.query<{ table_namespace: string; table_name: string; metadata_location: string }>(
      `select table_namespace, table_name, metadata_location from public.iceberg_tables
        where catalog_name = $1 and (table_namespace, table_name) in (select * from unnest($2::text[], $3::text[]))
          and (iceberg_type = 'TABLE' or iceberg_type is null)`,
      [catalogName, tables.map(({ namespace }) => namespace), tables.map(({ name }) => name)],
    );
    return tables.map(({ namespace, name }) =>
      rows.find((row) => row.table_namespace === namespace && row.table_name === name)?.metadata_location);
  };
  return {
    load: async (table) => (await loadAll([table]))[0],
    loadAll,
    async list(namespace) {
      const rows = await database.query<{ table_name: string; iceberg_type: string | null }>(
        `select table_name, iceberg_type from public.iceberg_tables
          where catalog_name = $1 and table_namespace = $2 order by table_name collate "C"`,
        [catalogName, namespace],
      );
      return rows.map((row) => ({ name: row.table_name, kind: row.iceberg_type === 'VIEW' ? 'view' : 'table' }));
    },
    create: (table, metadataLocation, kind) =>
      database.transaction((sql) => create(sql, catalogName, table, metadataLocation, kind)),
    commit: (request) => database.transaction((sql) => commit(sql, catalogName, request)),
    async landed(landing, logIdentity) {
      // The rows without from_offset are the beginnings of the chains: one for each partition.
      const rows = await database.query<{ partition: number; end: bigint }>(
        `select partition, (select max(to_offset) from watershed.ledger
             where landing = $1 and log_identity = $2 and topic = first.topic and partition = first.partition) as "end"
           from watershed.ledger first where landing = $1 and log_identity = $2 and from_offset is null`,
        [landing, logIdentity],
      );
      return new Map(rows.map((row) => [row.partition, row.end]));
    },
  };
}

async function create(
  sql: Sql,
  catalogName: string,
  table: TableRef,
  metadataLocation: string,
  kind: 'table' | 'view',
): Promise<void> {
  // The property by which Iceberg's own clients see that a namespace exists, also when it is empty.
  await sql.execute(
    `insert into public.iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
     values ($1, $2, 'exists', 'true') on conflict do nothing`,
    [catalogName, table.namespace],
  );
  const made = await sql.execute(
    `insert into public.iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
     values ($1, $2, $3, $4, $5) on conflict do nothing`,
    [catalogName, table.namespace, table.name, metadataLocation, kind === 'view' ? 'VIEW' : 'TABLE'],
  );
  if (made === 0) {
    throw new WatershedError('already_exists', `there is a table or view ${table.namespace}.${table.name} already`);
  }
}

async function commit(sql: Sql, catalogName: string, request: CommitRequest): Promise<void> {
  const { epoch, ledger } = request;
  if (epoch !== undefined) {
    const held = await sql.query(
      'select from watershed.lease where name = $1 and epoch = $2 for share',
      [epoch.lease, epoch.epoch],
    );
    if (held.length === 0) {
      throw new WatershedError('fenced', `lease ${epoch.lease} is no longer at epoch ${epoch.epoch}: another took it`, {
        hint: 'Stop: another process writes now.',
        context: { lease: epoch.lease, epoch: epoch.epoch },
      });
    }
  }
  // All who commit several tables take the rows in the same order, so that none waits for another in a circle.
  const swaps = request.swaps.toSorted((a, b) => (nameOf(a.table) < nameOf(b.table) ? -1 : 1));
  for (const { table, expected, next } of swaps) {
    const changed = await sql.execute(
      `update public.iceberg_tables set metadata_location = $1, previous_metadata_location = $2
        where catalog_name = $3 and table_namespace = $4 and table_name = $5 and metadata_location = $2
          and (iceberg_type = 'TABLE' or iceberg_type is null)`,
      [next, expected, catalogName, table.namespace, table.name],
    );
    if (changed !== 1) throw conflictError(table, expected);
  }
  for (const row of ledger) await addToLedger(sql, row);
}

/**
 * The constraints of the ledger keep the chain; here only the beginning of one is made, and their refusals get a name.
 */
async function addToLedger(sql: Sql, row: LedgerRow): Promise<void> {
  const partition = [row.landing, row.logIdentity, row.topic, row.partition];
  try {
    await sql.execute(
      `with beginning as materialized (
         insert into watershed.ledger (landing, log_identity, topic, partition, from_offset, to_offset)
         values ($1, $2, $3, $4, null, $5) on conflict do nothing)
       insert into watershed.ledger
         (landing, log_identity, topic, partition, from_offset, to_offset, kept, duplicate, dead)
       values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
      [...partition, row.from, row.to, row.kept, row.duplicate, row.dead],
    );
  } catch (error) {
    if (!isWatershedError(error) || !chainStates.has(String(error.context['sqlState']))) throw error;
    throw chainError(row, error);
  }
}

/** Foreign key, unique and check violations (PostgreSQL manual, Appendix A). */
const chainStates = new Set(['23503', '23505', '23514']);

function nameOf({ namespace, name }: TableRef): string {
  return JSON.stringify([namespace, name]);
}
