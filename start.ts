import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openAuth } from '#core/auth/auth.ts';
import { adminToken } from '#core/auth/tokens.ts';
import type { Config } from '#core/config.ts';
import { openFeeds } from '#core/events/feed.ts';
import { createOutbox } from '#core/events/outbox.ts';
import { createRegistry } from '#core/events/registry.ts';
import { openFoundation, openQueue } from '#core/main.ts';
import { WatershedError } from '#core/errors.ts';
import { runTogether } from '#core/service.ts';
import { createSamples, ingestProgram } from '#ingest/main.ts';
import { eventRoutes } from '#sql/http/events.ts';
import { tokenRoutes } from '#sql/http/tokens.ts';
import { openDoors, openEngine } from '#sql/main.ts';
import { openTransform } from '#transform/main.ts';
import { healthProgram } from '#warehouse/health.ts';
import { openWarehouse, warehouseProgram } from '#warehouse/main.ts';
import { readProgress, showProgress } from './progress.ts';

export interface StartOptions {
  readonly config: Config;
  readonly signal: AbortSignal;
  readonly note: (text: string) => void;
  /** True where standard error is a terminal: the progress line rewrites itself there. */
  readonly interactive: boolean;
  /** A made-up crisis on fake networks: everything people see says so. */
  readonly simulated?: boolean;
}

/** All programs in one process: what `npm start` runs. Resolves when everything is drained and stopped. */
export async function start({ config, signal, note, interactive, simulated = false }: StartOptions): Promise<void> {
  await using foundation = await openFoundation(config);
  const { database, log, clock, metrics, dataDir } = foundation;
  const warehouse = await openWarehouse(foundation);
  const registry = createRegistry({ database, clock });
  await createSamples(foundation, registry);
  const feeds = await openFeeds({ database, registry, clock });
  const token = await adminToken(dataDir, config.WATERSHED_ADMIN_TOKEN);
  const auth = openAuth({ database, adminToken: token, clock });
  await using queue = await openQueue(foundation);
  await using transform = await openTransform(foundation, warehouse, queue);
  await using engine = await openEngine(foundation, warehouse.catalog, warehouse.cache);
  await using doors = await openDoors({
    foundation, auth, engine, plugins: [eventRoutes({ registry }), tokenRoutes({ auth })],
    status: async () => ({ simulated, progress: await readProgress(foundation), jobs: await transform.runner.status() }),
  });
  await writeFile(join(dataDir, 'address.json'), `${JSON.stringify({ http: doors.http.url, wire: doors.wire, pid: process.pid })}\n`);
  const admin = await auth.tokens.verify(token, 'start');
  if (admin === undefined) throw new WatershedError('internal', 'the admin token is not taken by the server that made it');
  const code = await auth.codes.create(admin);
  if (simulated) note('SIMULATED: a made-up crisis on a fake network; no post of it is real.');
  note(`Watershed is up. The page:   ${doors.http.url}/?code=${code}`);
  note(`The Postgres wire:           psql -h ${doors.wire.host} -p ${doors.wire.port} -U analyst lake   (password: ${join(dataDir, 'admin.token')})`);
  note('Ctrl-C drains and stops everything; starting again goes on where it was.');
  await runTogether([
    doors.service,
    transform.service,
    warehouseProgram(foundation, warehouse, transform),
    createOutbox({ database, log, clock }),
    healthProgram(foundation),
    feeds.service,
    ...await ingestProgram(foundation, feeds),
    { name: 'progress', run: (stop) => showProgress({ foundation, note, interactive, metrics }, stop) },
  ], signal);
  note('Everything that was read is in the log or in the table; stopped.');
}
