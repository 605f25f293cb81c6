import { resolve } from 'node:path';
import { systemClock, type Clock } from '#core/clock.ts';
import { expandHome, type Config } from '#core/config.ts';
import { openDatabase, type Database } from '#core/database/database.ts';
import { runningEmbedded } from '#core/database/embedded.ts';
import { WatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import { openLog } from '#core/main.ts';

/** A command's own way to the database and the log of a lake whose server runs. */
export interface Client extends AsyncDisposable {
  readonly clock: Clock;
  readonly database: Database;
  readonly log: Log;
}

/** Throws `unavailable` where no server runs on the data folder and no DATABASE_URL is given. */
export async function openClient(config: Config): Promise<Client> {
  const dataDir = resolve(expandHome(config.WATERSHED_DATA_DIR));
  const url = config.DATABASE_URL ?? await runningEmbedded(dataDir);
  if (url === undefined) {
    throw new WatershedError('unavailable', `no Watershed runs on the data folder ${dataDir}`, {
      hint: 'start it in another terminal with `watershed start` (or `npm start`), or set WATERSHED_DATA_DIR to its folder',
    });
  }
  await using stack = new AsyncDisposableStack();
  const database = stack.use(openDatabase(url, { max: 6, clock: systemClock }));
  const log = stack.use(openLog(config, database, systemClock));
  const owned = stack.move();
  return { clock: systemClock, database, log, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
