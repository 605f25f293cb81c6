import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { scramVerifier } from '#core/auth/scram.ts';
import { createSlowdown } from '#core/auth/slowdown.ts';
import { seededRandom, systemClock } from '#core/clock.ts';
import { tables } from '#core/contract/tables.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics, type Metrics } from '#core/metrics.ts';
import type { Engine, Limits } from '#sql/engine/engine.ts';
import { createWireServer, type WireServerOptions } from '#sql/pgwire/server.ts';
import { openShadow, type Shadow } from '#sql/pgwire/shadow.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { type SqlLake, sqlLake } from '#test/sql-lake.ts';
import { ensureTable } from '#warehouse/table/ensure.ts';

export const token = 'a-token-of-twenty-characters-and-more';

export interface Door extends AsyncDisposable {
  readonly port: number;
  /** `postgres://analyst:…@127.0.0.1:port/lake` */
  readonly url: string;
  readonly engine: Engine;
  readonly lake: SqlLake;
  readonly metrics: Metrics;
  readonly spoolFolder: string;
  readonly postgres: TestPostgres | undefined;
  /** Takes the token away. */
  revoke(): void;
}

/** 5,000 posts of one event, a second apart, and two events. */
const posts = (count: number): string => `select 'flood-2013' as event_id, 'x' as source, (348000000000000000 + i)::varchar as post_id,
  timestamptz '2013-06-20 00:00:00+00' + to_seconds(i) as created_at, timestamptz '2013-06-20 00:00:05+00' + to_seconds(i) as collected_at,
  'post ' || i || ' “é😀”' as text, 'en' as lang, case when i % 3 = 0 then null else ['flood', 'a "b", c'] end as hashtags,
  i % 7 as reposts, i % 2 = 0 as author_verified, i / 8.0 as latitude, 0 as log_partition, i as log_offset
  from range(${count}) t(i)`;
const events = `select * from (values ('flood-2013', 'Alberta floods'), ('fire', 'Fire')) t(event_id, name)`;

const generousLimits: Limits = { timeoutMs: 60_000, rowsMax: 10_000_000, bytesMax: 4 * 1024 ** 3 };

/** Starts a wire door on a free port over a real engine and lake; `catalogue`: with a PostgreSQL beside it. */
export async function startDoor(
  options: { catalogue?: boolean; children?: number; posts?: number } & Partial<Pick<WireServerOptions, 'limits' | 'tls' | 'connectionsMax' | 'clock' | 'logger'>> = {},
): Promise<Door> {
  const { catalogue = false, children = 2, posts: _count, limits = generousLimits, clock = systemClock, ...more } = options;
  const lake = await sqlLake();
  const context = { catalog: lake.catalog, store: lake.store, cache: lake.cache, clock: systemClock, random: seededRandom(3) };
  for (const [name, spec] of Object.entries(tables)) await ensureTable(context, { namespace: 'store', name }, spec);
  await lake.append('posts', posts(options.posts ?? 5000));
  await lake.append('events', events);
  const engine = lake.engine({ children });
  const postgres = catalogue ? await startPostgres() : undefined;
  const shadow: Shadow | undefined =
    postgres && (await openShadow({ adminUrl: postgres.url, engineTables: () => engine.tables(), clock: systemClock }));
  const spoolFolder = await mkdtemp(join(tmpdir(), 'watershed-spool-'));
  const metrics = createMetrics();
  const verifier = await scramVerifier(token);
  let isRevoked = false;
  const server = createWireServer({
    host: '127.0.0.1', port: 0, engine, shadow, limits, spoolFolder, clock, logger: silentLogger, metrics, ...more,
    slowdown: createSlowdown(clock),
    logins: {
      wireLogin: (user) => Promise.resolve(user !== 'analyst' || isRevoked ? undefined
        : { principal: { name: user, kind: 'read', credential: 'c' }, verifier }),
    },
  });
  const stop = new AbortController();
  const running = server.run(stop.signal);
  const { port } = await server.address;
  return {
    port, engine, lake, metrics, spoolFolder, postgres,
    url: `postgres://analyst:${token}@127.0.0.1:${port}/lake`,
    revoke: () => { isRevoked = true; },
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await shadow?.[Symbol.asyncDispose]();
      await postgres?.stop();
      await lake[Symbol.asyncDispose]();
      await rm(spoolFolder, { recursive: true, force: true });
    },
  };
}
