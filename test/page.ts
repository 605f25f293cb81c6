import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { FastifyPluginAsync } from 'fastify';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import type { Principal } from '#core/auth/access.ts';
import type { Auth } from '#core/auth/auth.ts';
import { createSlowdown } from '#core/auth/slowdown.ts';
import { systemClock } from '#core/clock.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { createRegistry, type Registry } from '#core/events/registry.ts';
import type { Landed } from '#core/landed.ts';
import { createMemoryLog } from '#core/log/memory.ts';
import type { Log } from '#core/log/log.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import type { Engine } from '#sql/engine/engine.ts';
import { eventRoutes } from '#sql/http/events.ts';
import { liveRoutes } from '#sql/http/live.ts';
import { operationsRoutes } from '#sql/http/operations.ts';
import { previewOn } from '#sql/http/preview.ts';
import { quarantineRoutes } from '#sql/http/quarantine.ts';
import { createHttpServer, type HttpServer } from '#sql/http/server.ts';
import { dashboardsLake, pageToken } from './dashboards-lake.ts';
import { startChromium } from './services/chromium.ts';
import { startPostgres } from './services/postgres.ts';
import { roomyLimits, type SqlLake } from './sql-lake.ts';

const root = join(import.meta.dirname, '..');
const admin: Principal = { name: 'admin', kind: 'admin', credential: 'a' };

/** The page as it is built, over the lake of the dashboards, in a real Chromium. */
export interface PageWorld extends AsyncDisposable {
  readonly url: string;
  readonly webRoot: string;
  readonly lake: SqlLake;
  readonly log: Log;
  readonly registry: Registry;
  /** Whether sessions hold; false is a token that was revoked in mid-work. */
  session: boolean;
  /** Tells all pages of a commit. */
  tell(landed: Landed): void;
  stopServer(): Promise<void>;
  startServer(): Promise<void>;
  /** A signed-in page; `troubles` are errors of scripts, answers of 500 and more, and requests to any other host. */
  open(path: string, options?: BrowserContextOptions): Promise<{ page: Page; troubles: string[] }>;
}

/** Builds the page into a folder of its own. */
async function buildPage(): Promise<string> {
  const webRoot = await mkdtemp(join(tmpdir(), 'watershed-page-'));
  await promisify(execFile)(process.execPath, [join(root, 'node_modules/vite/bin/vite.js'), 'build', 'dashboards/web', '--outDir', webRoot], { cwd: root });
  return webRoot;
}

/** What other routes may be made of; `url` is known once the server listens. */
interface Parts {
  readonly database: Database;
  readonly lake: SqlLake;
  readonly url: () => string;
}

/** `more`: routes of other rooms. A bearer of `pageToken` is an administrator too. */
export async function startPage(more: (parts: Parts) => readonly FastifyPluginAsync[] = () => []): Promise<PageWorld> {
  await using stack = new AsyncDisposableStack();
  const webRoot = await buildPage();
  stack.defer(async () => await rm(webRoot, { recursive: true, force: true }));
  const postgres = await startPostgres();
  stack.defer(async () => await postgres.stop());
  const database = stack.use(openDatabase(await postgres.createDatabase(), { max: 4 }));
  await migrate(database);
  const registry = createRegistry({ database, clock: systemClock });
  await registry.create({ name: 'Alberta floods', description: 'High water', sources: ['replay'], rule: { any: ['flood'] } }, 'admin', 'flood-2013');
  const lake = stack.use(await dashboardsLake());
  const log = createMemoryLog(systemClock);
  await Promise.all(['posts', 'quarantine'].map((topic) => log.ensureTopic(topic, 1)));
  const engine = lake.engine({ children: 2 });
  const browser = await startChromium();
  stack.defer(async () => await browser.close());
  const listeners = new Set<(landed: Landed) => void>();
  const state: { session: boolean; server: HttpServer | undefined; port: number } = { session: true, server: undefined, port: 0 };
  const start = async (): Promise<void> => {
    state.server = await createServer({ engine, database, lake, registry, log, webRoot, hasSession: () => state.session, listeners,
      plugins: more({ database, lake, url: () => `http://127.0.0.1:${state.port}` }) });
    ({ port: state.port } = await state.server.listen('127.0.0.1', state.port));
  };
  const stop = async (): Promise<void> => {
    await state.server?.[Symbol.asyncDispose]();
    state.server = undefined;
  };
  await start();
  stack.defer(stop);
  const url = `http://127.0.0.1:${state.port}`;
  const owned = stack.move();
  return {
    url, webRoot, lake, log, registry,
    get session() { return state.session; },
    set session(holds) { state.session = holds; },
    tell: (landed) => listeners.forEach((listener) => listener(landed)),
    stopServer: stop, startServer: start,
    open: (path, options) => openPage(browser, url, path, options),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function createServer({ engine, database, lake, registry, log, webRoot, hasSession, listeners, plugins }: {
  engine: Engine; database: Database; lake: SqlLake; registry: Registry; log: Log; webRoot: string; hasSession: () => boolean; listeners: Set<(landed: Landed) => void>;
  plugins: readonly FastifyPluginAsync[];
}): Promise<HttpServer> {
  const auth: Auth = {
    tokens: { verify: async (given) => (given === pageToken ? admin : undefined), create: async () => '', list: async () => [], revoke: async () => undefined, wireLogin: async () => undefined },
    codes: { create: async () => 'c', spend: async (code) => (code === 'code' ? 'cookie' : undefined) },
    slowdown: createSlowdown(systemClock),
    sessions: { verify: async (cookie) => (cookie === 'cookie' && hasSession() ? admin : undefined), end: async () => undefined },
  };
  return await createHttpServer({
    engine, auth, database, limits: roomyLimits, metrics: createMetrics(), logger: silentLogger, clock: systemClock, webRoot,
    status: async () => ({ progress: { committed: 2000, secondsBehind: 0.4 },
      collectors: [{ source: 'replay', state: 'connected', since: '2013-06-20T00:00:00Z', message: null, lagSeconds: 3 }] }),
    plugins: [
      ...plugins, eventRoutes({ registry, preview: previewOn(engine, 30_000) }), quarantineRoutes({ engine, log, clock: systemClock }),
      operationsRoutes({ database, catalog: lake.catalog, store: lake.store, cache: lake.cache, landings: async () => [] }),
      liveRoutes({ clock: systemClock, async listen(tell) {
        listeners.add(tell);
        return { [Symbol.asyncDispose]: async () => void listeners.delete(tell) };
      } }),
    ],
  });
}

async function openPage(browser: Browser, url: string, path: string, options: BrowserContextOptions = {}): Promise<{ page: Page; troubles: string[] }> {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(30_000);
  const page = await context.newPage();
  const troubles: string[] = [];
  page.on('pageerror', (error) => troubles.push(error.message));
  page.on('request', (request) => {
    if (!request.url().startsWith(url) && !request.url().startsWith('blob:')) troubles.push(request.url());
  });
  page.on('response', (response) => { if (response.status() >= 500) troubles.push(`${response.status()} ${response.url()}`); });
  await page.goto(`${url}/?code=code`);
  await page.goto(`${url}${path}`);
  return { page, troubles };
}
