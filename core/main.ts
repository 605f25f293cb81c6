import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { systemClock, systemRandom, type Clock, type Random } from './clock.ts';
import { expandHome, type Config } from './config.ts';
import { openDatabase, type Database } from './database/database.ts';
import { openEmbedded } from './database/embedded.ts';
import { migrate } from './database/migrate.ts';
import { requireOwnLake } from './lake.ts';
import { createKafkaLog } from './log/kafka/kafka.ts';
import { topics, type Log } from './log/log.ts';
import { createPostgresLog } from './log/postgres.ts';
import { createLogger, type Logger } from './logger.ts';
import { createMetrics, type Metrics } from './metrics.ts';
import { openFileStore } from './store/file.ts';
import type { Store } from './store/store.ts';

/** What every program leans on, opened by configuration: one variable each switches an engine in (architecture.md §3). */
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

/** Opens everything and refuses a lake that is made of other parts. What was opened is closed again when a later part fails. */
export async function openFoundation(config: Config): Promise<Foundation> {
  await using stack = new AsyncDisposableStack();
  const clock = systemClock;
  const logger = createLogger(config.WATERSHED_LOG_LEVEL);
  const dataDir = resolve(expandHome(config.WATERSHED_DATA_DIR));
  await mkdir(dataDir, { recursive: true });
  const databaseUrl = config.DATABASE_URL ?? stack.use(await openEmbedded({ dataDir, logger: logger.child('postgres'), clock })).url;
  const database = stack.use(openDatabase(databaseUrl, { max: 12, clock }));
  await migrate(database);
  const log = stack.use(openLog(config, database, clock));
  await Promise.all(topics.map((topic) => log.ensureTopic(topic, topic === 'posts' ? config.WATERSHED_LOG_PARTITIONS : 1)));
  const store = await openStore(config, dataDir);
  await requireOwnLake(database, { logKind: log.kind, logIdentity: await log.identity('posts'), warehouseUri: store.uri });
  const owned = stack.move();
  return {
    config, dataDir, clock, random: systemRandom, logger, metrics: createMetrics(), databaseUrl, database, log, store,
    holder: `${hostname()}/${process.pid}/${randomUUID().slice(0, 8)}`,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function openLog(config: Config, database: Database, clock: Clock): Log {
  if (config.KAFKA_BROKERS === undefined) return createPostgresLog(database, clock);
  const mechanism = config.KAFKA_SASL_MECHANISM;
  return createKafkaLog({
    brokers: config.KAFKA_BROKERS, replication: config.KAFKA_REPLICATION, clock,
    ...(config.KAFKA_TLS === 'on' ? { tls: {} } : {}),
    ...(mechanism === 'none' ? {} : {
      login: { mechanism, username: config.KAFKA_USERNAME ?? '', password: config.KAFKA_PASSWORD ?? '' },
    }),
  });
}

async function openStore(_config: Config, dataDir: string): Promise<Store> {
  return openFileStore(join(dataDir, 'lake'));
}
