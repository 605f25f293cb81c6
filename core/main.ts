import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { systemClock, systemRandom, type Clock, type Random } from './clock.ts';
import { expandHome, type Config } from './config.ts';
import { openDatabase, type Database } from './database/database.ts';
import { openEmbedded } from './database/embedded.ts';
import { freeAllLeases } from './database/lease.ts';
import { migrate } from './database/migrate.ts';
import { reservedBytes, spaceGuard } from './disk.ts';
import { WatershedError } from './errors.ts';
import { requireOwnLake } from './lake.ts';
import { createKafkaLog } from './log/kafka/kafka.ts';
import { topics, type Log } from './log/log.ts';
import { createPostgresLog } from './log/postgres.ts';
import { createLogger, type Logger } from './logger.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { openPostgresQueue } from './queue/postgres.ts';
import type { Queue } from './queue/queue.ts';
import { openRedisQueue } from './queue/redis.ts';
import { openFileStore } from './store/file.ts';
import { openS3Store } from './store/s3/s3.ts';
import type { Store } from './store/store.ts';

/**
 * What every program leans on, opened by configuration: one variable each switches an engine in (architecture.md §3).
 */
export interface Foundation extends AsyncDisposable {
  readonly config: Config;
  readonly dataDir: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** With the password: never to be logged. */
  readonly databaseUrl: string;
  readonly database: Database;
  readonly log: Log;
  readonly store: Store;
  /** Names this process in leases. */
  readonly holder: string;
}

/**
 * Opens everything and refuses a lake that is made of other parts. What was opened is closed again when a later part
 * fails. `note` is told what people should know, in a sentence.
 */
export async function openFoundation(config: Config, note?: (text: string) => void): Promise<Foundation> {
  await using stack = new AsyncDisposableStack();
  const clock = systemClock;
  const logger = createLogger(config.WATERSHED_LOG_LEVEL);
  const dataDir = resolve(expandHome(config.WATERSHED_DATA_DIR));
  await mkdir(dataDir, { recursive: true });
  const databaseUrl = config.DATABASE_URL ?? stack.use(await openEmbedded({
    dataDir, logger: logger.child('postgres'), clock, ...(note === undefined ? {} : { note }),
  })).url;
  const database = stack.use(openDatabase(databaseUrl, { max: 12, clock }));
  await migrate(database);
  if (config.DATABASE_URL === undefined) await freeAllLeases(database);
  const log = stack.use(openLog(config, database, clock));
  await Promise.all(topics.map((topic) => log.ensureTopic(topic, topic === 'posts' ? config.WATERSHED_LOG_PARTITIONS : 1)));
  const store = await openStore(config, dataDir, clock, stack);
  await requireOwnLake(database, { logKind: log.kind, logIdentity: await log.identity('posts'), warehouseUri: store.uri });
  const owned = stack.move();
  return {
    config, dataDir, clock, random: systemRandom, logger, metrics: createMetrics(), databaseUrl, database, log, store,
    holder: `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** The queue for jobs: BullMQ on Redis where there is one, else on the database. */
export function openQueue({ config, databaseUrl }: Foundation): Promise<Queue> {
  return config.REDIS_URL === undefined ? openPostgresQueue(databaseUrl) : openRedisQueue(config.REDIS_URL);
}

/** The log that configuration names; the database stays the caller's. */
export function openLog(config: Config, database: Database, clock: Clock): Log {
  if (config.KAFKA_BROKERS === undefined) {
    const log = createPostgresLog(database, clock);
    return config.DATABASE_URL === undefined ? keepingRoom(log, resolve(expandHome(config.WATERSHED_DATA_DIR)), clock) : log;
  }
  const mechanism = config.KAFKA_SASL_MECHANISM;
  return createKafkaLog({
    brokers: config.KAFKA_BROKERS, replication: config.KAFKA_REPLICATION, clock,
    ...(config.KAFKA_TLS === 'on' ? { tls: {} } : {}),
    ...(mechanism === 'none' ? {} : {
      login: { mechanism, username: config.KAFKA_USERNAME ?? '', password: config.KAFKA_PASSWORD ?? '' },
    }),
  });
}

/** Refuses an append (`disk`) in time where the log lies in the data folder: a database that fills its disk dies of it. */
function keepingRoom(log: Log, dataDir: string, clock: Clock): Log {
  const requireRoom = spaceGuard(dataDir, reservedBytes, clock);
  return {
    ...log,
    async append(topic, partition, records) {
      await requireRoom('taking in posts');
      return log.append(topic, partition, records);
    },
  };
}

/** Copies of S3 objects that statements read, on the local disk. */
const storeCacheBytesMax = 20 * 1024 ** 3;

/** The store that configuration names; what it needs is closed with `stack`. */
export async function openStore(config: Config, dataDir: string, clock: Clock, stack: AsyncDisposableStack): Promise<Store> {
  const uri = config.WAREHOUSE_URI;
  if (uri === undefined) return openFileStore(join(dataDir, 'lake'));
  if (uri.startsWith('file:///')) return openFileStore(fileURLToPath(uri));
  const { WAREHOUSE_S3_ACCESS_KEY: accessKey, WAREHOUSE_S3_SECRET_KEY: secretKey, WAREHOUSE_S3_ENDPOINT: endpoint } = config;
  if ((accessKey === undefined) !== (secretKey === undefined)) {
    throw new WatershedError('bad_config', 'WAREHOUSE_S3_ACCESS_KEY and WAREHOUSE_S3_SECRET_KEY go together: one of them is missing', {
      hint: 'give both, or none to ask the usual AWS chain',
    });
  }
  return stack.use(await openS3Store({
    uri, region: config.WAREHOUSE_S3_REGION, clock, pathStyle: config.WAREHOUSE_S3_PATH_STYLE === 'on',
    cache: { folder: join(dataDir, 'cache'), bytesMax: storeCacheBytesMax },
    ...(endpoint === undefined ? {} : { endpoint }),
    ...(accessKey === undefined || secretKey === undefined ? {} : { keys: { accessKey, secretKey } }),
  }));
}
