import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics, type Metrics } from '#core/metrics.ts';
import type { Engine, Limits } from '#sql/engine/engine.ts';
import type { ScramVerifier } from '#sql/pgwire/scram.ts';
import { createWireServer, type WireServerOptions } from '#sql/pgwire/server.ts';
import { openShadow, type Shadow } from '#sql/pgwire/shadow.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { createLocalEngine } from './local-engine.ts';

export const token = 'a-token-of-twenty-characters-and-more';

export interface Door extends AsyncDisposable {
  readonly port: number;
  /** `postgres://analyst:…@127.0.0.1:port/lake` */
  readonly url: string;
  readonly engine: Engine & { readonly running: () => number };
  readonly metrics: Metrics;
  readonly spoolFolder: string;
  readonly postgres: TestPostgres | undefined;
}

/** Two tables with every type that people meet, and some thousand rows. */
export const fixture = `
  create schema lake; create schema store; set search_path = 'lake';
  create table lake.posts as select
    'flood-2013' as event_id, 'x' as source, (348000000000000000 + i)::bigint as post_id,
    timestamptz '2013-06-20 00:00:00+00' + to_seconds(i) as created_at, 'post ' || i || ' “é😀”' as text,
    case when i % 3 = 0 then null else ['flood', 'a "b", c'] end as hashtags, (i % 7)::integer as reposts, (i / 8.0)::double as score,
    i % 2 = 0 as verified, (i * 1.25)::decimal(12, 2) as amount, date '2013-06-20' + (i % 30)::integer as day,
    {'lang': 'en', 'n': i} as extra, md5(i::varchar)::uuid as id, encode('b' || i) as bytes, (i::hugeint * 1000000000000000000000) as huge
  from range(5000) t(i);
  create table store.raw(post_id bigint, body varchar);
  comment on column lake.posts.text is 'what was posted, in full';
  create type lake.kind as enum ('rescue', 'damage');
  create table lake.events(event_id varchar, name varchar, kind lake.kind, started timestamp, length interval);
  insert into lake.events values ('flood-2013', 'Alberta floods', 'damage', '2013-06-19 12:00:00', interval 5 days), ('fire', 'Fire', null, null, null);
`;

export const generousLimits: Limits = { timeoutMs: 60_000, rowsMax: 10_000_000, bytesMax: 4 * 1024 ** 3 };

/** Starts a wire door on a free port over a DuckDB with the fixture; `catalogue`: with a PostgreSQL beside it. */
export async function startDoor(
  options: { catalogue?: boolean; setup?: string } & Partial<
    Pick<WireServerOptions, 'limits' | 'tls' | 'connectionsMax' | 'clock'>
  > = {},
): Promise<Door> {
  const { catalogue = false, setup = fixture, limits = generousLimits, clock = systemClock, ...more } = options;
  const engine = await createLocalEngine(setup);
  const postgres = catalogue ? await startPostgres() : undefined;
  const shadow: Shadow | undefined =
    postgres && (await openShadow({ adminUrl: postgres.url, engineTables: () => engine.tables(), clock: systemClock }));
  const spoolFolder = await mkdtemp(join(tmpdir(), 'watershed-spool-'));
  const metrics = createMetrics();
  const known = new Map([
    ['analyst', verifierOf(token)],
    ['admin', verifierOf(token)],
  ]);
  const server = createWireServer({
    host: '127.0.0.1',
    port: 0,
    engine,
    shadow,
    limits,
    spoolFolder,
    clock,
    logger: silentLogger,
    metrics,
    ...more,
    verifiers: (user) => Promise.resolve(known.get(user)),
  });
  const stop = new AbortController();
  const running = server.run(stop.signal);
  const { port } = await server.address;
  return {
    port,
    engine,
    metrics,
    spoolFolder,
    postgres,
    url: `postgres://analyst:${token}@127.0.0.1:${port}/lake`,
    async [Symbol.asyncDispose]() {
      stop.abort();
      await running;
      await shadow?.[Symbol.asyncDispose]();
      await postgres?.stop();
      await engine[Symbol.asyncDispose]();
      await rm(spoolFolder, { recursive: true, force: true });
    },
  };
}

/** RFC 5802: what a server keeps of a password. */
function verifierOf(password: string): ScramVerifier {
  const salt = randomBytes(16);
  const salted = pbkdf2Sync(password, salt, 4096, 32, 'sha256');
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  return {
    salt,
    iterations: 4096,
    storedKey: createHash('sha256').update(hmac('Client Key')).digest(),
    serverKey: hmac('Server Key'),
  };
}
