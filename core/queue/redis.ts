import { Queue as BullQueue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import type { RedisOptions } from 'ioredis';
import { isWatershedError, messageOf, WatershedError } from '../errors.ts';
import { createBullmqQueue } from './bullmq.ts';
import type { RetryOptions } from './bullmq.ts';
import type { Queue } from './queue.ts';

/**
 * The queue on Redis (or Valkey, Dragonfly). `url` is redis://[user:password@]host:port[/database], rediss:// for TLS.
 * Throws `bad_config` for a server that evicts keys (jobs would vanish), `unauthorized`, `unavailable`.
 */
export async function openRedisQueue(url: string, retry: RetryOptions = {}): Promise<Queue> {
  const connections = new Set<Redis>();
  const connect = (options: RedisOptions): Redis => {
    const connection = new Redis(url, { ...common, ...options });
    connection.on('error', () => undefined);
    connections.add(connection);
    return connection;
  };
  const close = async (): Promise<void> => {
    for (const connection of connections) connection.disconnect();
  };
  await checkServer(url);
  // Who enqueues wants to hear soon that Redis is away; who works waits until it is back.
  const shared = connect({ maxRetriesPerRequest: 1 });
  return createBullmqQueue(
    {
      kind: 'redis',
      openQueue: (name) => new BullQueue<unknown>(name, { connection: shared, prefix: 'watershed' }),
      openWorker: (name, processor, options) =>
        new Worker<unknown, void>(name, processor, {
          ...options,
          connection: connect({ maxRetriesPerRequest: null }),
          prefix: 'watershed',
        }),
      close,
    },
    retry,
  );
}

// With its default a connection that never came about holds the process for two seconds after it was closed.
const common: RedisOptions = { connectTimeout: 5000, disconnectTimeout: 100 };

async function checkServer(url: string): Promise<void> {
  const probe = new Redis(url, { ...common, lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  let reason: unknown;
  // The call itself only says that the connection is closed.
  probe.on('error', (error) => (reason = error));
  try {
    await probe.connect();
    const policy = /^maxmemory_policy:(.*)$/m.exec(await probe.info('memory'))?.[1]?.trim();
    if (policy !== undefined && policy !== 'noeviction') {
      throw new WatershedError(
        'bad_config',
        `this Redis forgets keys when its memory is full (maxmemory-policy ${policy}): jobs would vanish`,
        {
          hint: 'redis-cli CONFIG SET maxmemory-policy noeviction, and the same in redis.conf; or give the jobs a Redis of their own',
        },
      );
    }
  } catch (error) {
    throw explain(isWatershedError(error) ? error : (reason ?? error));
  } finally {
    probe.disconnect();
  }
}

function explain(error: unknown): unknown {
  if (isWatershedError(error)) return error;
  const said = messageOf(error);
  if (/NOAUTH|WRONGPASS|invalid password|ERR AUTH/i.test(said)) {
    return new WatershedError('unauthorized', 'Redis refused our login', {
      cause: error,
      hint: 'check user and password in REDIS_URL',
    });
  }
  return new WatershedError('unavailable', `Redis does not answer: ${said}`, {
    cause: error,
    hint: 'check REDIS_URL and that the server is up',
  });
}
