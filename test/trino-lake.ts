import { join } from 'node:path';
import { seededRandom, systemClock } from '#core/clock.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import type { Database } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { createTrinoEngine } from '#sql/engine/trino/engine.ts';
import type { Engine } from '#sql/engine/engine.ts';
import type { TrinoViewsOptions } from '#sql/engine/trino/views.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { ensureTables } from '#warehouse/tables.ts';
import { startPostgres } from './services/postgres.ts';
import { startTrino } from './services/trino.ts';
import type { TrinoService } from './services/trino.ts';
import { sqlLake } from './sql-lake.ts';
import type { SqlLake } from './sql-lake.ts';

/** A lake that both engines read: files and metadata of `sqlLake`, and a catalog in Postgres for a Trino of its own. */
export interface TrinoLake extends AsyncDisposable {
  readonly lake: SqlLake;
  readonly database: Database;
  readonly trino: TrinoService;
  /** What `writeTrinoViews` needs for this lake. */
  readonly views: TrinoViewsOptions;
  /** Lets Trino see what was appended since. */
  publish(): Promise<void>;
  engine(): Engine;
}

/** Trino has catalog `lake`, read-only, as a deployment should have it, and `workshop`, the same one with all rights. */
export async function trinoLake(): Promise<TrinoLake> {
  const server = await startPostgres();
  const url = await server.createDatabase();
  const database = openDatabase(url, { max: 4 });
  await migrate(database);
  const lake = await sqlLake();
  await ensureTables({ catalog: lake.catalog, store: lake.store, cache: lake.cache, clock: systemClock, random: seededRandom(3) });
  const catalog = openPostgresCatalog(database, { catalogName: 'watershed' });
  const publish = async (): Promise<void> => {
    for (const name of Object.keys(tables)) {
      const table = { namespace: storeNamespace, name };
      const next = await lake.catalog.load(table);
      const expected = await catalog.load(table);
      if (next === undefined || next === expected) continue;
      if (expected === undefined) await catalog.create(table, next, 'table');
      else await catalog.commit({ swaps: [{ table, expected, next }], ledger: [] });
    }
  };
  await publish();
  const warehouse = `file://${join(lake.folder, 'lake')}`;
  const shared = { database: url, name: 'watershed', warehouse };
  const trino = await startTrino({ catalogs: { lake: { ...shared, readOnly: true }, workshop: shared } });
  return {
    lake, database, trino, publish,
    views: { database, store: lake.store, clock: systemClock, catalogName: 'watershed', trinoCatalog: 'lake', owner: 'watershed' },
    engine: () => createTrinoEngine({ url: trino.url, catalog: 'lake', schema: 'lake', schemas: ['lake', 'store'], clock: systemClock }),
    async [Symbol.asyncDispose]() {
      await trino.stop();
      await lake[Symbol.asyncDispose]();
      await database[Symbol.asyncDispose]();
      await server.stop();
    },
  };
}
