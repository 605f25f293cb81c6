import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyPluginAsync } from 'fastify';
import type { Auth } from '#core/auth/auth.ts';
import { WatershedError } from '#core/errors.ts';
import type { Foundation } from '#core/main.ts';
import { isAbort, type Service } from '#core/service.ts';
import type { Catalog } from '#warehouse/catalog/catalog.ts';
import type { TableCache } from '#warehouse/table/files.ts';
import { catalogName, lakeSchema, storeNamespace } from '#core/contract/tables.ts';
import { auditedEngine, openStatementAudit } from './engine/audit.ts';
import { createDuckEngine } from './engine/duckdb/engine.ts';
import type { Engine } from './engine/engine.ts';
import { createTrinoEngine } from './engine/trino/engine.ts';
import { writeTrinoViews } from './engine/trino/views.ts';
import { createHttpServer, type HttpServer } from './http/server.ts';
import { openShadow, type Shadow } from './pgwire/shadow.ts';
import { createWireServer, type WireServer } from './pgwire/server.ts';
import { ensureOwnCertificate, openWireTls, type WireTls } from './pgwire/tls.ts';

export interface DoorsInput {
  readonly foundation: Foundation;
  readonly auth: Auth;
  readonly engine: Engine;
  /** APIs of other rooms. */
  readonly plugins: readonly FastifyPluginAsync[];
  readonly status: () => Promise<Readonly<Record<string, unknown>>>;
}

export interface Doors extends AsyncDisposable {
  readonly service: Service;
  readonly http: { readonly port: number; readonly url: string };
  readonly wire: { readonly host: string; readonly port: number };
}

/** Spill of one statement on the local disk. */
const tempBytesMax = 8 * 1024 ** 3;

/** The engine that answers statements: Trino where TRINO_URL names one, else DuckDB in child processes. */
export async function openEngine(foundation: Foundation, catalog: Catalog, cache: TableCache): Promise<Engine> {
  const { config, database, store, clock, logger, dataDir } = foundation;
  const trino = config.TRINO_URL;
  if (trino !== undefined) {
    const owner = new URL(trino).username || 'watershed';
    await writeTrinoViews({ database, store, clock, catalogName, trinoCatalog: config.TRINO_CATALOG, owner });
    return createTrinoEngine({
      url: trino, catalog: config.TRINO_CATALOG, schema: lakeSchema, schemas: [lakeSchema, storeNamespace], clock,
    });
  }
  const local = store.uri.startsWith('file:') ? fileURLToPath(store.uri) : join(dataDir, 'cache');
  return createDuckEngine({
    catalog, store, cache, clock, logger: logger.child('engine'),
    children: config.WATERSHED_SQL_CHILDREN, memoryBytes: config.WATERSHED_MEMORY_BYTES, threads: availableParallelism(),
    readable: [local], tempDir: join(dataDir, 'statements'), tempBytesMax,
  });
}

/** Opens both doors; they listen when this resolves. */
export async function openDoors(input: DoorsInput): Promise<Doors> {
  const { foundation, auth, engine } = input;
  const { config, clock, logger, metrics } = foundation;
  await using stack = new AsyncDisposableStack();
  const limits = {
    timeoutMs: config.WATERSHED_SQL_TIMEOUT_MS, rowsMax: config.WATERSHED_SQL_ROWS, bytesMax: config.WATERSHED_SQL_BYTES,
  };
  const audit = stack.use(openStatementAudit({ database: foundation.database, clock, logger: logger.child('audit'), metrics }));
  const server: HttpServer = stack.use(await createHttpServer({
    engine: auditedEngine(engine, 'http', { audit, clock, metrics }), auth, database: foundation.database,
    resultsFolder: join(foundation.dataDir, 'results'), spoolFolder: join(foundation.dataDir, 'spool'), limits, metrics, logger: logger.child('http'), clock, plugins: input.plugins, status: input.status,
    origin: config.WATERSHED_HTTP_ORIGIN, webRoot: fileURLToPath(new URL('../dashboards/web/dist', import.meta.url)),
    hosts: [config.WATERSHED_HTTP_ORIGIN, config.WATERSHED_SQL_URL].flatMap((url) => url === undefined ? [] : [new URL(url).hostname]),
    unready: async () => foundation.database.query('select 1').then(() => undefined, () => 'the database does not answer'),
  }));
  const http = await server.listen(config.WATERSHED_HTTP_HOST, config.WATERSHED_HTTP_PORT);
  const shadow: Shadow = stack.use(await openShadow({ adminUrl: foundation.databaseUrl, engineTables: () => engine.tables(), clock }));
  const wire: WireServer = createWireServer({
    host: config.WATERSHED_HTTP_HOST, port: config.WATERSHED_PGWIRE_PORT,
    engine: auditedEngine(engine, 'wire', { audit, clock, metrics }), logins: auth.tokens, slowdown: auth.slowdown,
    shadow, limits, spoolFolder: join(foundation.dataDir, 'spool'), clock, logger: logger.child('wire'), metrics,
    tls: await openTls(foundation),
  });
  const stop = new AbortController();
  const running = wire.run(stop.signal);
  running.catch(() => undefined); // its failure is thrown by `address` now, or by the service later
  const address = await wire.address;
  const owned = stack.move();
  return {
    http, wire: address,
    service: {
      name: 'doors',
      async run(signal) {
        signal.addEventListener('abort', () => stop.abort(signal.reason), { once: true });
        await running.catch((error: unknown) => {
          if (!isAbort(error, stop.signal)) throw error;
        });
      },
    },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running.catch(() => undefined);
      await owned.disposeAsync();
    },
  };
}

async function openTls({ config, dataDir, clock, logger }: Foundation): Promise<WireTls | undefined> {
  const { WATERSHED_PGWIRE_TLS: mode, WATERSHED_PGWIRE_TLS_CERT: certFile, WATERSHED_PGWIRE_TLS_KEY: keyFile } = config;
  if (mode === 'off') return undefined;
  if ((certFile === undefined) !== (keyFile === undefined)) {
    throw new WatershedError('bad_config', 'a certificate and its key are given together', {
      hint: 'set both WATERSHED_PGWIRE_TLS_CERT and WATERSHED_PGWIRE_TLS_KEY, or neither',
    });
  }
  const files = certFile === undefined || keyFile === undefined
    ? await ensureOwnCertificate(dataDir, config.WATERSHED_HTTP_HOST, clock) : { certFile, keyFile };
  return openWireTls({ ...files, isRequired: mode === 'required', clock, logger: logger.child('wire') });
}
