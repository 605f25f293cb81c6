import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyPluginAsync } from 'fastify';
import { openAuth } from '#core/auth/auth.ts';
import { adminToken } from '#core/auth/tokens.ts';
import { WatershedError } from '#core/errors.ts';
import { openFeeds } from '#core/events/feed.ts';
import { createOutbox } from '#core/events/outbox.ts';
import { createRegistry } from '#core/events/registry.ts';
import { announceLanded, onLanded } from '#core/landed.ts';
import { openQueue, type Foundation } from '#core/main.ts';
import { createAlerts } from '#core/reports/alerts.ts';
import { createReports } from '#core/reports/reports.ts';
import { beginningAnew, type Service } from '#core/service.ts';
import { layouts } from '#dashboards/reports/render.ts';
import { readCollectors } from '#ingest/cursor.ts';
import { createSamples, ingestProgram } from '#ingest/main.ts';
import { alertRoutes } from '#sql/http/alerts.ts';
import { reportRoutes } from '#sql/http/reports.ts';
import { eventRoutes } from '#sql/http/events.ts';
import { jobRoutes } from '#sql/http/jobs.ts';
import { previewOn } from '#sql/http/preview.ts';
import { liveRoutes } from '#sql/http/live.ts';
import { operationsRoutes } from '#sql/http/operations.ts';
import { quarantineRoutes } from '#sql/http/quarantine.ts';
import { tokenRoutes } from '#sql/http/tokens.ts';
import type { Engine } from '#sql/engine/engine.ts';
import { openDoors, openEngine } from '#sql/main.ts';
import type { JobDefinition } from '#transform/jobs/job.ts';
import { alertJob, look } from '#transform/jobs/alert.ts';
import { askOverHttp } from '#transform/jobs/report-ask.ts';
import { createSend } from '#transform/jobs/report-send.ts';
import { previewReport, reportJob } from '#transform/jobs/report.ts';
import { openTransform } from '#transform/main.ts';
import { healthProgram, readLandings } from '#warehouse/health.ts';
import { warehouseProgram, type Warehouse } from '#warehouse/main.ts';
import { readProgress } from './progress.ts';

/** What every program is made on. What a program opens is closed with `stack`. */
export interface Ground {
  readonly foundation: Foundation;
  readonly warehouse: Warehouse;
  readonly stack: AsyncDisposableStack;
  readonly note: (text: string) => void;
}

type Status = () => Promise<Readonly<Record<string, unknown>>>;

/** A program: services, in the order in which they lean on each other, and what it adds to the status. */
export interface Program {
  readonly services: readonly Service[];
  readonly status: Status;
}

const nothing: Status = async () => ({});

/** Sources to log. */
export async function ingest({ foundation }: Ground): Promise<Program> {
  const { database, clock } = foundation;
  const registry = createRegistry({ database, clock });
  await createSamples(foundation, registry);
  const feeds = await openFeeds({ database, registry, clock });
  return { services: [beginningAnew(feeds.service, foundation), ...(await ingestProgram(foundation, feeds)).map((one) => beginningAnew(one, foundation))], status: nothing };
}

/** Log to tables: one active writer, others stand by. */
export async function warehouse({ foundation, warehouse: lake }: Ground): Promise<Program> {
  const { database } = foundation;
  return {
    services: [
      warehouseProgram(foundation, lake, { onCommit: (landed) => announceLanded(database, landed) }),
      beginningAnew(createOutbox(foundation), foundation),
      beginningAnew(healthProgram(foundation), foundation),
    ],
    status: nothing,
  };
}

/**
 * The jobs. They learn of commits in whatever process by the database, and find by their schedule what was not told.
 */
export async function transform({ foundation, warehouse: lake, stack }: Ground): Promise<Program> {
  const queue = stack.use(await openQueue(foundation));
  const { job, watch } = reports(foundation);
  const { service, runner, onCommit } = stack.use(await openTransform(foundation, lake, queue, [job, watch(() => runner.hint('report'))]));
  stack.use(await onLanded(foundation.database, onCommit));
  return { services: [beginningAnew(service, foundation)], status: async () => ({ jobs: await runner.status() }) };
}

interface Reporting {
  readonly job: JobDefinition;
  readonly watch: (onTold: () => void) => JobDefinition;
  readonly routes: readonly FastifyPluginAsync[];
}

/**
 * Reports and alerts: the jobs that watch, render and deliver, and their APIs. They ask the SQL door, as anybody would.
 */
function reports({ config, database, clock, dataDir, store }: Foundation): Reporting {
  const known = createReports({ database, clock });
  const alerts = createAlerts({ database, clock });
  const url = (): string => config.WATERSHED_SQL_URL ?? addressIn(dataDir) ?? `http://127.0.0.1:${config.WATERSHED_HTTP_PORT}`;
  // Of a named token only a hash is kept: the questions are asked with the admin token, and what may be asked is the
  // same for all.
  const ask = askOverHttp({ url, tokenOf: () => adminToken(dataDir, config.WATERSHED_ADMIN_TOKEN) });
  const send = createSend({ smtpUrl: config.WATERSHED_SMTP_URL, mailFrom: config.WATERSHED_MAIL_FROM, clock, store });
  const hint = (): void => undefined; // the job looks every twenty seconds by itself
  return {
    job: reportJob({ database, reports: known, clock, ask, send, store }),
    watch: (onTold) => alertJob({ alerts, clock, ask, onTold }),
    routes: [
      reportRoutes({
        reports: known, clock, layouts, hint,
        preview: (report, at, format, signal) => previewReport({ ask }, report, at, format, signal),
      }),
      alertRoutes({ alerts, hint, look: (alert, signal) => look(ask, alert, clock.now(), signal) }),
    ],
  };
}

/** Tables to people: both doors and the page. `status` is what the other programs of this process add. */
export async function sql({ foundation, warehouse: lake, stack, note }: Ground, status: Status = nothing): Promise<Program> {
  const { config, database, clock, dataDir } = foundation;
  const registry = createRegistry({ database, clock });
  const token = await adminToken(dataDir, config.WATERSHED_ADMIN_TOKEN);
  const auth = openAuth({ database, adminToken: token, clock });
  const engine = stack.use(await openEngine(foundation, lake.catalog, lake.cache));
  const { routes } = reports(foundation);
  const queue = stack.use(await openQueue(foundation));
  const doors = stack.use(await openDoors({
    foundation, auth, engine, plugins: [eventRoutes({ registry, preview: previewOn(engine, config.WATERSHED_SQL_TIMEOUT_MS) }), tokenRoutes({ auth }), jobRoutes({ queue }), ...routes, ...pageRoutes(foundation, lake, engine)],
    status: async () => ({
      progress: await readProgress(foundation), collectors: await readCollectors(database), ...await status(),
    }),
  }));
  await writeFile(join(dataDir, 'address.json'), `${JSON.stringify({ http: doors.http.url, wire: doors.wire, pid: process.pid })}\n`);
  const admin = await auth.tokens.verify(token, 'start');
  if (admin === undefined) throw new WatershedError('internal', 'the admin token is not taken by the server that made it');
  const code = await auth.codes.create(admin);
  note(`Watershed is up. The page:   ${doors.http.url}/?code=${code}`);
  note(`The Postgres wire:           psql -h ${doors.wire.host} -p ${doors.wire.port} -U analyst lake   (password: ${join(dataDir, 'admin.token')})`);
  return { services: [doors.service], status: nothing };
}

/** What the page asks besides: what just came, the state of the tables, what was set aside. */
function pageRoutes(foundation: Foundation, { catalog, cache }: Warehouse, engine: Engine): FastifyPluginAsync[] {
  const { database, store, log, clock } = foundation;
  return [
    liveRoutes({ listen: (tell) => onLanded(database, tell), clock }),
    operationsRoutes({ database, catalog, store, cache, landings: () => readLandings(foundation) }),
    quarantineRoutes({ engine, log, clock }),
  ];
}

/** Where the SQL door of this data folder listens, as it wrote it down; undefined before it did. */
function addressIn(dataDir: string): string | undefined {
  try {
    const parsed: unknown = JSON.parse(readFileSync(join(dataDir, 'address.json'), 'utf8'));
    return typeof parsed === 'object' && parsed !== null && 'http' in parsed ? String(parsed.http) : undefined;
  } catch {
    return undefined;
  }
}
