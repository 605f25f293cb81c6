import { join, resolve } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { expandHome, type Config } from '#core/config.ts';
import { openDatabase, type Database } from '#core/database/database.ts';
import { openEmbedded, runningEmbedded } from '#core/database/embedded.ts';
import { hasCluster } from '#core/database/server.ts';
import { createLogger } from '#core/logger.ts';
import { openStore } from '#core/main.ts';
import type { Store } from '#core/store/store.ts';

/** Database and store of a lake, whether its server runs or not. */
export interface LakeParts extends AsyncDisposable {
  readonly dataDir: string;
  readonly database: Database;
  readonly store: Store;
  /** True where the embedded database was already running, so a server owns the data folder. */
  readonly running: boolean;
}

export const dataDirOf = (config: Config): string => resolve(expandHome(config.WATERSHED_DATA_DIR));

/** True where there is something to open: a database of its own, or one that is named. */
export async function holdsLake(config: Config): Promise<boolean> {
  return config.DATABASE_URL !== undefined || await hasCluster(join(dataDirOf(config), 'postgres'));
}

/**
 * Joins the embedded database that runs, or starts it for the while. Nothing is migrated. Errors are those of the
 * parts.
 */
export async function openLakeParts(config: Config): Promise<LakeParts> {
  const dataDir = dataDirOf(config);
  await using stack = new AsyncDisposableStack();
  const running = config.DATABASE_URL === undefined ? await runningEmbedded(dataDir) : undefined;
  const url = config.DATABASE_URL ?? running
    ?? stack.use(await openEmbedded({ dataDir, logger: createLogger(config.WATERSHED_LOG_LEVEL), clock: systemClock })).url;
  const database = stack.use(openDatabase(url, { max: 6, clock: systemClock }));
  const store = await openStore(config, dataDir, systemClock, stack);
  const owned = stack.move();
  return { dataDir, database, store, running: running !== undefined, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
