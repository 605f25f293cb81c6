import { createPostgresBackend, runMigrations, withBackend } from 'bullmq';
import type { PostgresConnectionOptions } from 'bullmq';
import pg from 'pg';
import { messageOf, systemCode, WatershedError } from '../errors.ts';
import { createBullmqQueue } from './bullmq.ts';
import type { RetryOptions } from './bullmq.ts';
import type { Queue } from './queue.ts';

const schema = 'bullmq';
/** One connection listens, the others carry statements. */
const connectionsPerWorker = 3;

/**
 * The queue on BullMQ's PostgreSQL back end, in schema `bullmq`, which it makes and migrates (needs CREATE on the
 * database the first time). Throws `unavailable` where the database does not answer.
 */
export async function openPostgresQueue(url: string, retry: RetryOptions = {}): Promise<Queue> {
  const pools = new Set<pg.Pool>();
  const openPool = (max: number): pg.Pool => {
    const pool = new pg.Pool({
      connectionString: url,
      max,
      keepAlive: true,
      options: `-c search_path=${schema}`,
      application_name: 'watershed-queue',
    });
    // A connection that dies while idle is replaced by the next statement; the event only must not be uncaught.
    pool.on('error', () => undefined);
    // Every queue that BullMQ opens on the pool listens for its errors.
    pool.setMaxListeners(0);
    pools.add(pool);
    return pool;
  };
  const close = async (): Promise<void> => {
    await Promise.all([...pools].map((pool) => pool.end()));
  };
  const shared = openPool(4);
  await migrate(shared).catch(async (error: unknown) => {
    await close();
    throw error;
  });
  const { Queue: BullQueue, Worker } = withBackend(createPostgresBackend);
  return createBullmqQueue(
    {
      kind: 'postgres',
      openQueue: (name) => new BullQueue<unknown>(name, { connection: asConnection(shared) }),
      openWorker: (name, processor, options) =>
        new Worker<unknown, void>(name, processor, {
          ...options,
          connection: asConnection(openPool(connectionsPerWorker)),
        }),
      close,
    },
    retry,
  );
}

function asConnection(pool: pg.Pool): PostgresConnectionOptions {
  // BullMQ describes a pool in words of its own, which the types of `pg` match but for an overload; it takes a real
  // one.
  return pool as unknown as PostgresConnectionOptions;
}

async function migrate(pool: pg.Pool): Promise<void> {
  try {
    const client = await pool.connect();
    try {
      await runMigrations(client, schema);
    } finally {
      client.release();
    }
  } catch (error) {
    if (systemCode(error) === '42501') {
      throw new WatershedError('bad_config', `the job queue cannot make its schema ${schema}: ${messageOf(error)}`, {
        cause: error,
        hint: `grant CREATE on the database to the user of DATABASE_URL, or make schema ${schema} owned by it`,
      });
    }
    throw new WatershedError('unavailable', `the database of the job queue does not answer: ${messageOf(error)}`, {
      cause: error,
      hint: 'check DATABASE_URL and that the server is up',
    });
  }
}
