import fastify, { type FastifyInstance, type FastifyPluginAsync, type FastifyRequest } from 'fastify';
import { requireCan } from '#core/auth/access.ts';
import type { Auth } from '#core/auth/auth.ts';
import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { isWatershedError, systemCode, messageOf, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import type { Engine, Limits } from '../engine/engine.ts';
import { readAhead } from './ahead.ts';
import { completionRoutes } from './completion.ts';
import { downloadRoutes } from './downloads.ts';
import { addIdentity, principalOf } from './identity.ts';
import { describeApi } from './openapi.ts';
import { loginPage, pages } from './pages.ts';
import { knownError, sendProblem } from './problems.ts';
import { queryRoutes } from './queries.ts';
import { sqlRoutes } from './sql-routes.ts';
import { statementRoutes } from './statement-routes.ts';
import { createLongStatements } from './statements.ts';
import { tablesFor } from './tables.ts';

export interface HttpServerOptions {
  readonly engine: Engine;
  readonly auth: Auth;
  /** The most a statement may ask for. */
  readonly limits: Limits;
  readonly metrics: Metrics;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Names besides `localhost` and IP addresses by which the server may be called. */
  readonly hosts?: readonly string[];
  /** WATERSHED_HTTP_ORIGIN. */
  readonly origin?: string | undefined;
  /** The folder of the built page. */
  readonly webRoot?: string | undefined;
  /** Where saved queries are kept; without it there are none. */
  readonly database?: Database;
  /** A folder of our own for the results of long statements, kept over restarts; without it there are none. */
  readonly resultsFolder?: string;
  /** A folder for rows that slow clients leave lying; without it they hold the engine back. */
  readonly spoolFolder?: string;
  /** Routes of other parts; each sees who asks by `principalOf(request)`. */
  readonly plugins?: readonly FastifyPluginAsync[];
  /** Why the server is not ready to answer; undefined when it is. */
  readonly unready?: () => Promise<string | undefined>;
  /** What `GET /api/status` answers: how far the parts are. */
  readonly status?: () => Promise<Readonly<Record<string, unknown>>>;
}

export interface HttpServer extends AsyncDisposable {
  readonly app: FastifyInstance;
  /** Begins to listen; port 0 takes a free one. `bad_config` where the port is in use or the address is not ours. */
  listen(host: string, port: number): Promise<{ readonly port: number; readonly url: string }>;
}

/** The page and every API. All routes but /healthz and /readyz ask who it is. */
export async function createHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { logger, metrics, clock } = options;
  const stopping = new AbortController();
  const app = fastify({
    logger: false,
    bodyLimit: 8 * 1024 * 1024,
    forceCloseConnections: true,
    routerOptions: { ignoreTrailingSlash: true },
    // Values are taken as they are sent: "5" is no number.
    ajv: { customOptions: { coerceTypes: false, removeAdditional: false } },
  });
  addHeaders(app);
  measure(app, metrics, clock);
  addIdentity(app, { auth: options.auth, hosts: options.hosts ?? [], origin: options.origin });
  app.setErrorHandler(async (error, request, reply) => {
    const known = knownError(error, logger);
    if (reply.raw.headersSent) return; // the rows were on their way: the connection is broken off
    if (known.code === 'unauthorized' && wantsPage(request)) return await loginPage(reply);
    await sendProblem(reply, known);
  });
  app.setNotFoundHandler(async (request, reply) => {
    await sendProblem(
      reply,
      new WatershedError('not_found', `there is nothing at ${request.method} ${request.url.split('?')[0] ?? ''}`, {
        hint: 'GET /api/openapi.json lists what there is.',
      }),
    );
  });
  await describeApi(app);
  const { engine, limits, database, resultsFolder } = options;
  const statements =
    resultsFolder === undefined
      ? undefined
      : await createLongStatements({ engine, folder: resultsFolder, clock, logger });
  const paced = { engine, limits, logger, stopping: stopping.signal, ...paceOf(options) };
  for (const routes of [sqlRoutes(paced), downloadRoutes(paced)]) await app.register(routes);
  if (statements !== undefined) await app.register(statementRoutes({ statements, limits }));
  if (database !== undefined) await app.register(queryRoutes({ database, ...paced }));
  await app.register(completionRoutes({ engine }));
  await app.register(infoRoutes(options));
  for (const plugin of options.plugins ?? []) await app.register(plugin);
  await app.register(pages({ auth: options.auth, origin: options.origin, webRoot: options.webRoot }));
  return {
    app,
    async listen(host, port) {
      try {
        await app.listen({ host, port });
      } catch (error) {
        throw listenError(error, host, port);
      }
      const [address] = app.addresses();
      const bound = typeof address === 'object' ? address.port : port;
      return {
        port: bound,
        url: `http://${host === '0.0.0.0' || host === '::' ? 'localhost' : host.includes(':') ? `[${host}]` : host}:${bound}`,
      };
    },
    async [Symbol.asyncDispose]() {
      stopping.abort(new WatershedError('cancelled', 'the server is stopping'));
      await statements?.[Symbol.asyncDispose]();
      await app.close();
    },
  };
}

/** What all slow clients together may leave lying. */
const spoolLimits = { memoryBytesMax: 4 * 2 ** 20, bytesMax: 4 * 2 ** 30, heldBytesMax: 8 * 2 ** 30 } as const;

function paceOf({ spoolFolder, clock }: HttpServerOptions): {
  pace?: (source: AsyncIterator<Uint8Array>) => AsyncIterator<Uint8Array>;
} {
  if (spoolFolder === undefined) return {};
  const { memoryBytesMax, bytesMax, heldBytesMax } = spoolLimits;
  const limits = { folder: spoolFolder, memoryBytesMax, bytesMax, shared: { heldBytes: 0, heldBytesMax } };
  return { pace: (source) => readAhead(source, limits, clock) };
}

/** Questions about the server itself. */
function infoRoutes(options: HttpServerOptions): FastifyPluginAsync {
  return async (app) => {
    app.get('/healthz', { schema: { hide: true } }, async () => ({ alive: true }));
    app.get('/readyz', { schema: { hide: true } }, async (_request, reply) => {
      const why = await options.unready?.();
      return await reply
        .code(why === undefined ? 200 : 503)
        .send(why === undefined ? { ready: true } : { ready: false, why });
    });
    app.get('/metrics', { schema: { summary: 'Metrics of Prometheus' } }, async (request, reply) => {
      requireCan(principalOf(request), 'read_status');
      return await reply.type('text/plain; version=0.0.4; charset=utf-8').send(await options.metrics.text());
    });
    app.get('/api/status', { schema: { summary: 'How far the parts are' } }, async (request) => {
      requireCan(principalOf(request), 'read_status');
      return (await options.status?.()) ?? {};
    });
    app.get('/api/tables', { schema: { summary: 'Tables and views with their columns' } }, async (request) => {
      const principal = principalOf(request);
      requireCan(principal, 'query');
      return { tables: tablesFor(principal, await options.engine.tables()) };
    });
    app.get('/api/openapi.json', { schema: { hide: true } }, async () => app.swagger());
  };
}

function wantsPage(request: FastifyRequest): boolean {
  return (
    request.method === 'GET' && !request.url.startsWith('/api/') && (request.headers.accept ?? '').includes('text/html')
  );
}

/**
 * No script, style, picture or connection from anywhere else; styles may stand in the page, as the editor and the
 * charts put them.
 */
const contentSecurityPolicy =
  "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; " +
  "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'";

const securityHeaders = {
  'content-security-policy': contentSecurityPolicy,
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'permissions-policy': 'camera=(), microphone=(), geolocation=()',
} as const;

function addHeaders(app: FastifyInstance): void {
  app.addHook('onRequest', async (_request, reply) => {
    void reply.headers(securityHeaders);
  });
}

const secondsBuckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

function measure(app: FastifyInstance, metrics: Metrics, clock: Clock): void {
  const requests = metrics.counter('watershed_http_requests_total', 'Answered HTTP requests', ['route', 'status']);
  const seconds = metrics.histogram('watershed_http_request_seconds', 'Time to the end of an answer', secondsBuckets, [
    'route',
  ]);
  const started = new WeakMap<FastifyRequest, number>();
  app.addHook('onRequest', async (request) => void started.set(request, clock.monotonic()));
  app.addHook('onResponse', async (request, reply) => {
    const route = request.routeOptions.url ?? 'none';
    requests.add(1, { route, status: reply.statusCode });
    seconds.observe((clock.monotonic() - (started.get(request) ?? clock.monotonic())) / 1000, { route });
  });
}

function listenError(error: unknown, host: string, port: number): WatershedError {
  if (isWatershedError(error)) return error;
  const why = {
    EADDRINUSE: 'something else listens there',
    EACCES: 'this user may not',
    EADDRNOTAVAIL: 'this machine has no such address',
  };
  const code = systemCode(error);
  const known =
    code !== undefined && Object.hasOwn(why, code)
      ? Object.entries(why).find(([key]) => key === code)?.[1]
      : messageOf(error);
  return new WatershedError('bad_config', `cannot listen on ${host}:${port}: ${known}`, {
    cause: error,
    hint: 'Set WATERSHED_HTTP_PORT to another port (0 takes a free one), or stop what listens there.',
  });
}
