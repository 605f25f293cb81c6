import type { Clock } from '#core/clock.ts';
import { isWatershedError } from '#core/errors.ts';
import pg from 'pg';
import type { TableInfo } from '../engine/engine.ts';
import { prepareShadow, shadowDatabase, shadowPassword, shadowRole, syncShadow } from './shadow-schema.ts';
import {
  connectUpstream,
  type Upstream,
  type UpstreamOptions,
  type UpstreamResult,
  type UpstreamStatement,
} from './upstream.ts';

/** The PostgreSQL beside us as the one that answers catalogue questions. */
export interface Shadow extends AsyncDisposable {
  /** As the server announces it: clients choose their catalogue queries by it. */
  readonly serverVersion: string;
  isDenied(functionName: string): boolean;
  /** Whether a table or view of the lake has that name, in whatever schema. */
  isLakeTable(name: string): boolean;
  /**
   * Runs (or only describes) one statement in a transaction of its own. **Errors**: `statement_failed` with SQLSTATE
   * and position, `unavailable`, `limit_exceeded` for an answer too large, `cancelled` when the signal is aborted.
   */
  run(statement: Omit<UpstreamStatement, 'bytesMax'>, signal: AbortSignal): Promise<UpstreamResult>;
}

export interface ShadowOptions {
  /** An account that may create databases and roles. */
  readonly adminUrl: string;
  /** What to show: `Engine.tables`. */
  readonly engineTables: () => Promise<readonly TableInfo[]>;
  readonly clock: Clock;
  /** Longest time of one question. */
  readonly timeoutMs?: number;
  readonly connectionsMax?: number;
}

// Catalogue answers are some kilobytes; the largest of tools (all types, all settings) stay below one megabyte.
const answerBytesMax = 32 * 1024 * 1024;
// New columns come with a new version of the program: seldom, and a restart shows them anyway.
const tablesAgeMaxMs = 60_000;
const idleMs = 60_000;

/**
 * Makes the shadow what the engine's tables are, and opens the door to it. Throws as `prepareShadow`, or `unavailable`.
 */
export async function openShadow(options: ShadowOptions): Promise<Shadow> {
  const { adminUrl, engineTables, clock } = options;
  const denied = await prepareShadow(adminUrl, options.timeoutMs ?? 5000);
  let names = new Set<string>();
  let syncedAt = -Infinity;
  let syncing: Promise<void> | undefined;
  const sync = async (): Promise<void> => {
    const tables = await engineTables();
    await syncShadow(adminUrl, tables);
    names = new Set(tables.map(({ name }) => name));
    syncedAt = clock.monotonic();
  };
  const fresh = (): Promise<void> => {
    if (clock.monotonic() - syncedAt < tablesAgeMaxMs) return Promise.resolve();
    syncing ??= sync().finally(() => {
      syncing = undefined;
    });
    return syncing;
  };
  await fresh();
  const pool = upstreamPool(upstreamOptions(adminUrl), clock, options.connectionsMax ?? 4);
  const serverVersion = await pool.use((upstream) =>
    Promise.resolve(upstream.parameters.get('server_version') ?? '18.0'),
  );
  return {
    serverVersion,
    isDenied: (name) => denied.has(name),
    isLakeTable: (name) => names.has(name),
    async run(statement, signal) {
      await fresh();
      return await pool.use(async (upstream) => {
        signal.throwIfAborted();
        const onAbort = (): void => void upstream.cancel().catch(() => upstream.close());
        signal.addEventListener('abort', onAbort, { once: true });
        try {
          return await upstream.run({ ...statement, bytesMax: answerBytesMax });
        } finally {
          signal.removeEventListener('abort', onAbort);
        }
      });
    },
    [Symbol.asyncDispose]: () => {
      pool.close();
      return Promise.resolve();
    },
  };
}

function upstreamOptions(adminUrl: string): UpstreamOptions {
  const client = new pg.Client({ connectionString: adminUrl });
  const { ssl }: { ssl: unknown } = client;
  const tls = typeof ssl === 'object' && ssl !== null ? { ...ssl } : ssl === true ? {} : undefined;
  return {
    host: client.host,
    port: client.port,
    user: shadowRole,
    password: shadowPassword(adminUrl),
    database: shadowDatabase,
    tls,
  };
}

interface Pool {
  use<T>(work: (upstream: Upstream) => Promise<T>): Promise<T>;
  close(): void;
}

/** A few connections, made when needed, shared one statement at a time, let go after a minute of rest. */
function upstreamPool(options: UpstreamOptions, clock: Clock, connectionsMax: number): Pool {
  const idle: { upstream: Upstream; stopTimer: () => void }[] = [];
  const waiting: (() => void)[] = [];
  let open = 0;
  const take = async (): Promise<{ upstream: Upstream; isNew: boolean }> => {
    for (;;) {
      for (let entry = idle.pop(); entry !== undefined; entry = idle.pop()) {
        entry.stopTimer();
        if (entry.upstream.isOpen) return { upstream: entry.upstream, isNew: false };
        open--;
      }
      if (open < connectionsMax) break;
      await new Promise<void>((resolve) => waiting.push(resolve));
    }
    open++;
    try {
      return { upstream: await connectUpstream(options), isNew: true };
    } catch (error) {
      open--;
      waiting.shift()?.();
      throw error;
    }
  };
  const give = (upstream: Upstream): void => {
    if (!upstream.isOpen) open--;
    else {
      const entry = {
        upstream,
        stopTimer: clock.timer(idleMs, () => {
          const at = idle.indexOf(entry);
          if (at < 0) return;
          idle.splice(at, 1);
          open--;
          upstream.close();
        }),
      };
      idle.push(entry);
    }
    waiting.shift()?.();
  };
  const use = async <T>(work: (upstream: Upstream) => Promise<T>): Promise<T> => {
    const { upstream, isNew } = await take();
    try {
      return await work(upstream);
    } catch (error) {
      // A connection that lay idle may have died with its server; nothing has run twice, for statements only read.
      if (isNew || !isWatershedError(error, 'unavailable')) throw error;
    } finally {
      give(upstream);
    }
    return await use(work);
  };
  return {
    use,
    close() {
      for (const { upstream, stopTimer } of idle.splice(0)) {
        stopTimer();
        upstream.close();
      }
    },
  };
}
