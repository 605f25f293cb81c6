import pg from 'pg';
import { type Clock, systemClock } from '../clock.ts';
import { WatershedError, isWatershedError, messageOf, systemCode } from '../errors.ts';

/**
 * Statements of one connection or of the pool. int8 arrives as bigint, timestamptz as Date, bytea as Buffer, json
 * parsed.
 */
export interface Sql {
  /**
   * The rows. Parameters are `$1…`; bigint, string, number, boolean, Date, null and Uint8Array are taken as they are.
   */
  query<Row extends object>(statement: string, parameters?: readonly unknown[]): Promise<Row[]>;
  /** How many rows were changed. Without parameters the text may hold several statements. */
  execute(statement: string, parameters?: readonly unknown[]): Promise<number>;
}

/**
 * PostgreSQL, through a pool. Errors: `unavailable` (no connection, or it broke: the statement may or may not have
 * been carried out), `conflict` (serialisation failure or deadlock: nothing was changed), `already_exists` (unique
 * violation), `disk` (the server has no space), `cancelled`, `bad_config` (it does not let us in), else `internal`.
 * `context.sqlState` holds the server's code (PostgreSQL manual, Appendix A), `context.constraint` the name of a
 * violated constraint.
 */
export interface Database extends Sql, AsyncDisposable {
  /**
   * Runs `work` on one connection between begin and commit; rolls back and rethrows where it throws. READ COMMITTED.
   * Throws `commit_unknown` where the connection broke between the commit and its answer.
   */
  transaction<Result>(work: (sql: Sql) => Promise<Result>): Promise<Result>;
  /**
   * Calls back with the payload of every NOTIFY on the channel until disposed. Where the connection broke, it is made
   * again and the callback is called with undefined: something may have been missed.
   */
  listen(channel: string, callback: (payload: string | undefined) => void): Promise<AsyncDisposable>;
}

const connectTimeoutMs = 10_000;
const relistenAfterMs = 500;

/**
 * A database at `url`. Connects when first asked. `max` is the most connections, of which LISTEN takes one per
 * channel more.
 */
export function openDatabase(url: string, options: { max: number; applicationName?: string; clock?: Clock }): Database {
  const config: pg.ClientConfig = {
    connectionString: url,
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    application_name: options.applicationName ?? 'watershed',
    types: { getTypeParser },
  };
  const pool = new pg.Pool({ ...config, max: options.max, idleTimeoutMillis: 30_000 });
  // A connection that dies while idle is replaced by the next statement; the event only must not be uncaught.
  pool.on('error', () => undefined);
  const listeners = new Set<AsyncDisposable>();
  return {
    ...sqlOf(pool),
    transaction: (work) => transaction(pool, work),
    async listen(channel, callback) {
      const listener = await listen(config, options.clock ?? systemClock, channel, callback);
      listeners.add(listener);
      return {
        async [Symbol.asyncDispose]() {
          listeners.delete(listener);
          await listener[Symbol.asyncDispose]();
        },
      };
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...listeners].map((listener) => listener[Symbol.asyncDispose]()));
      await pool.end();
    },
  };
}

function sqlOf(client: pg.Pool | pg.PoolClient): Sql {
  const send = async <Row extends object>(
    statement: string,
    parameters?: readonly unknown[],
  ): Promise<pg.QueryResult<Row>> => {
    try {
      return await client.query<Row>(statement, parameters === undefined ? undefined : [...parameters]);
    } catch (error) {
      throw databaseError(error);
    }
  };
  return {
    query: async <Row extends object>(statement: string, parameters?: readonly unknown[]) =>
      (await send<Row>(statement, parameters)).rows,
    execute: async (statement, parameters) => (await send(statement, parameters)).rowCount ?? 0,
  };
}

async function transaction<Result>(pool: pg.Pool, work: (sql: Sql) => Promise<Result>): Promise<Result> {
  const client = await pool.connect().catch((error: unknown) => {
    throw databaseError(error);
  });
  // Without a listener, a connection that breaks between two statements would end the process.
  client.on('error', ignore);
  let broken = true;
  try {
    const sql = sqlOf(client);
    await sql.execute('begin');
    const result = await work(sql).catch(async (error: unknown) => {
      await client.query('rollback').then(() => {
        broken = false;
      }, ignore);
      throw error;
    });
    await commit(client);
    broken = false;
    return result;
  } finally {
    client.removeListener('error', ignore);
    client.release(broken);
  }
}

async function commit(client: pg.PoolClient): Promise<void> {
  let command: string;
  try {
    ({ command } = await client.query('commit'));
  } catch (cause) {
    const error = databaseError(cause);
    if (error.code !== 'unavailable') throw error;
    throw new WatershedError('commit_unknown', 'the connection to the database broke before it answered a commit', {
      cause,
    });
  }
  // The answer to the commit of a transaction in which a statement had failed, and `work` had gone on.
  if (command !== 'COMMIT')
    throw new WatershedError('internal', 'a transaction went on after a statement of it had failed');
}

interface Listener {
  readonly lost: Promise<void>;
  end(): Promise<void>;
}

async function listen(
  config: pg.ClientConfig,
  clock: Clock,
  channel: string,
  callback: (payload: string | undefined) => void,
): Promise<AsyncDisposable> {
  const closing = new AbortController();
  const connect = async (): Promise<Listener> => {
    const client = new pg.Client(config);
    const lost = new Promise<void>((resolve) => client.once('end', () => resolve()));
    client.on('error', ignore);
    client.on('notification', (message) => callback(message.payload ?? ''));
    await client.connect();
    await client.query(`listen ${pg.escapeIdentifier(channel)}`);
    return { lost, end: () => client.end().catch(ignore) };
  };
  let current: Listener | undefined = await connect().catch((error: unknown) => {
    throw databaseError(error);
  });
  const keep = async (): Promise<void> => {
    while (!closing.signal.aborted) {
      if (current === undefined) {
        await clock.sleep(relistenAfterMs, closing.signal).catch(ignore);
        if (closing.signal.aborted) return;
        current = await connect().catch(() => undefined);
        if (current !== undefined) callback(undefined);
        continue;
      }
      await Promise.race([current.lost, aborted(closing.signal)]);
      await current.end();
      current = undefined;
    }
    await current?.end();
  };
  const keeping = keep();
  return {
    async [Symbol.asyncDispose]() {
      closing.abort();
      await keeping;
    },
  };
}

function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return Promise.resolve();
  return new Promise((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

function ignore(): void {
  // The same trouble shows as the failure of the statement that runs, or of the next one.
}

// Type 20 is int8. Results are text throughout: pg decodes binary ones as UTF-8, which ruins them.
function getTypeParser(oid: number): (value: string) => unknown {
  return oid === 20 ? BigInt : pg.types.getTypeParser(oid, 'text');
}

/** The SQLSTATE behind an error of this module, or undefined. */
export function sqlStateOf(error: unknown): string | undefined {
  const state = isWatershedError(error) ? error.context['sqlState'] : undefined;
  return typeof state === 'string' ? state : undefined;
}

function databaseError(error: unknown): WatershedError {
  const code = systemCode(error) ?? '';
  const message = messageOf(error);
  if (!/^[0-9A-Z]{5}$/.test(code)) {
    // Not the server's answer but the way to it: refused, reset, timed out, "Connection terminated" (which has no
    // code).
    return new WatershedError('unavailable', `the database cannot be reached: ${message}`, {
      cause: error,
      context: { systemCode: code },
      hint: 'see whether it runs and whether DATABASE_URL names it rightly',
    });
  }
  const detail =
    typeof error === 'object' && error !== null && 'constraint' in error ? String(error.constraint) : undefined;
  const context = { sqlState: code, constraint: detail };
  if (code === '28P01' || code === '28000' || code === '3D000') {
    return new WatershedError('bad_config', `the database does not let us in: ${message}`, {
      cause: error,
      context,
      hint: 'look at user, password and database name in DATABASE_URL',
    });
  }
  if (/^(08|57P0)/.test(code) || code === '53300') {
    return new WatershedError('unavailable', `the database is not available: ${message}`, { cause: error, context });
  }
  if (code === '53100') {
    return new WatershedError('disk', `the database has no space left: ${message}`, {
      cause: error,
      context,
      hint: 'free some space on the disk of the database',
    });
  }
  if (code === '40001' || code === '40P01') return new WatershedError('conflict', message, { cause: error, context });
  if (code === '23505') return new WatershedError('already_exists', message, { cause: error, context });
  if (code === '57014') return new WatershedError('cancelled', message, { cause: error, context });
  return new WatershedError('internal', `the database refused a statement: ${message}`, { cause: error, context });
}
