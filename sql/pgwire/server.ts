import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import type { Slowdown } from '#core/auth/slowdown.ts';
import type { Clock } from '#core/clock.ts';
import { messageOf, systemCode, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import type { Service } from '#core/service.ts';
import type { Engine, Limits } from '../engine/engine.ts';
import { Connection, type ConnectionContext } from './connection.ts';
import type { Logins } from './login.ts';
import type { Shadow } from './shadow.ts';
import type { WireTls } from './tls.ts';

export interface WireServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly engine: Engine;
  /** `Tokens` of core/auth. */
  readonly logins: Logins;
  /** Shared with the other doors, so that guessing at one counts at all. */
  readonly slowdown: Slowdown;
  /** Without it catalogue questions are refused. */
  readonly shadow: Shadow | undefined;
  /** Of one statement; a session may ask for less time with `statement_timeout`. */
  readonly limits: Limits;
  /** Without it clients are told that there is no TLS. */
  readonly tls?: WireTls | undefined;
  /** For rows that wait for their client; made when missing. */
  readonly spoolFolder: string;
  readonly connectionsMax?: number;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface WireServer extends Service {
  /** Resolves when it listens. */
  readonly address: Promise<{ readonly host: string; readonly port: number }>;
}

// PostgreSQL's own default is 100; ours cost some kilobytes each.
const connectionsMaxDefault = 200;
const decoderLimits = { loginBytesMax: 10_000, messageBytesMax: 16 * 1024 * 1024 };
const loginTimeoutMs = 30_000;
// Statements in hand when the server stops get this long.
const drainMs = 10_000;
const spoolMemoryBytes = 4 * 1024 * 1024;
const spoolBytesMax = 1024 ** 3;
const spoolSharedBytes = 4 * 1024 ** 3;

/**
 * The Postgres wire door: psql, drivers and tools that speak PostgreSQL's protocol ask the engine's tables.
 * `run` throws `bad_config` where the address is taken or not ours.
 */
export function createWireServer(options: WireServerOptions): WireServer {
  const listening = Promise.withResolvers<{ host: string; port: number }>();
  // Whoever does not ask for the address is not bothered by its failure: `run` throws it too.
  listening.promise.catch(() => undefined);
  return {
    name: 'pgwire',
    address: listening.promise,
    async run(signal) {
      const connections = new Set<Connection>();
      const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 });
      try {
        const context = await contextOf(options);
        server.on('connection', (socket: Socket) => accept(socket, connections, context, options));
        listening.resolve(await listen(server, options));
      } catch (error) {
        listening.reject(error);
        throw error;
      }
      options.logger.info('wire_listening', await listening.promise);
      if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
      await drain(server, connections, options.clock);
    },
  };
}

async function contextOf(options: WireServerOptions): Promise<ConnectionContext> {
  const { engine, shadow, logins, slowdown, limits, clock, logger, metrics, spoolFolder, tls } = options;
  await mkdir(spoolFolder, { recursive: true, mode: 0o700 });
  const statements = metrics.counter('watershed_pgwire_statements_total', 'Statements over the Postgres wire', [
    'outcome',
  ]);
  const failures = metrics.counter('watershed_pgwire_login_failures_total', 'Logins that were refused');
  const sent = metrics.counter('watershed_pgwire_sent_bytes_total', 'Bytes sent to clients of the Postgres wire');
  return {
    engine,
    shadow,
    logins,
    slowdown,
    limits,
    clock,
    logger,
    decoderLimits,
    loginTimeoutMs,
    secret: randomBytes(32),
    spool: {
      folder: spoolFolder,
      memoryBytesMax: spoolMemoryBytes,
      bytesMax: Math.min(spoolBytesMax, limits.bytesMax),
      shared: { heldBytes: 0, heldBytesMax: spoolSharedBytes },
    },
    tls,
    sessions: new Map(),
    isLakeTable: (name) => shadow?.isLakeTable(name) ?? false,
    onStatement: (outcome) => statements.add(1, { outcome }),
    onLoginFailed: () => failures.add(1),
    onSent: (bytes) => sent.add(bytes),
  };
}

function accept(
  socket: Socket,
  connections: Set<Connection>,
  context: ConnectionContext,
  { metrics, connectionsMax }: WireServerOptions,
): void {
  const gauge = metrics.gauge('watershed_pgwire_open_connections', 'Clients connected to the Postgres wire');
  const connection = new Connection(socket, context);
  if (connections.size >= (connectionsMax ?? connectionsMaxDefault)) {
    void connection.refuse(
      new WatershedError('rate_limited', 'sorry, too many clients already', { context: { sqlstate: '53300' } }),
    );
    return;
  }
  connections.add(connection);
  gauge.set(connections.size);
  void connection.run().finally(() => {
    connections.delete(connection);
    gauge.set(connections.size);
  });
}

function listen(server: Server, { host, port }: WireServerOptions): Promise<{ host: string; port: number }> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) =>
      reject(
        new WatershedError('bad_config', `the Postgres wire cannot listen on ${host}:${port}: ${messageOf(error)}`, {
          cause: error,
          ...(systemCode(error) === 'EADDRINUSE' ? { hint: 'set WATERSHED_PGWIRE_PORT to another port' } : {}),
        }),
      ),
    );
    server.listen({ host, port }, () => {
      const address: AddressInfo | string | null = server.address();
      resolve({ host, port: typeof address === 'object' && address !== null ? address.port : port });
    });
  });
}

async function drain(server: Server, connections: ReadonlySet<Connection>, clock: Clock): Promise<void> {
  const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
  for (const connection of connections) connection.stop();
  const stopTimer = clock.timer(drainMs, () => {
    for (const connection of connections) connection.abort();
  });
  await closed;
  stopTimer();
}
