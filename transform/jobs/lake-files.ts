import type { DuckDBConnection } from '@duckdb/node-api';
import type { Clock, Random } from '#core/clock.ts';
import { storeNamespace, tables, type TableName } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog } from '#warehouse/catalog/catalog.ts';
import { selectRows } from '#warehouse/select.ts';
import { loadMetadata, type TableCache } from '#warehouse/table/files.ts';
import type { TableMetadata } from '#warehouse/table/metadata.ts';
import { planScan, type Filter, type ScanPlan } from '#warehouse/table/scan.ts';

/** The lake as jobs see it. */
export interface JobLake {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly cache: TableCache;
  readonly clock: Clock;
  readonly random: Random;
}

/** The current metadata of several tables, read at one instant. Throws `not_found` where one is missing. */
export async function loadTables<const Names extends readonly TableName[]>(
  { catalog, store, cache }: JobLake,
  names: Names,
): Promise<{ readonly [Name in Names[number]]: TableMetadata }> {
  const locations = await catalog.loadAll(names.map((name) => ({ namespace: storeNamespace, name })));
  const entries = await Promise.all(
    names.map(async (name, index) => {
      const location = locations[index];
      if (location === undefined)
        throw new WatershedError('not_found', `there is no table ${storeNamespace}.${name} yet`);
      return [name, await loadMetadata(store, cache, location)] as const;
    }),
  );
  // One entry for each of the names.
  return Object.fromEntries(entries) as { readonly [Name in Names[number]]: TableMetadata };
}

/** Plans a scan and makes a view of its rows, for one connection. */
export async function showRows(
  lake: JobLake,
  connection: DuckDBConnection,
  view: string,
  of: {
    readonly table: TableName;
    readonly metadata: TableMetadata;
    readonly columns: readonly string[];
    readonly filter?: Filter;
  },
): Promise<ScanPlan> {
  const { store, cache } = lake;
  const plan = await planScan({
    store,
    cache,
    metadata: of.metadata,
    ...(of.filter === undefined ? {} : { filter: of.filter }),
  });
  await connection.run(
    `create or replace temp view ${view} as ${await selectRows(store, tables[of.table], plan.files, of.columns)}`,
  );
  return plan;
}
