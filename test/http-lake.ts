import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import type { Limits } from '#sql/engine/engine.ts';
import { createHttpServer, type HttpServer } from '#sql/http/server.ts';
import { pretendedAuth } from './pretended-auth.ts';
import { roomyLimits, sqlLake, type SqlLake } from './sql-lake.ts';

/** The HTTP door of a lake that holds 5,000 posts of one event. */
export interface HttpLake extends AsyncDisposable {
  readonly lake: SqlLake;
  readonly server: HttpServer;
  readonly url: string;
}

export async function httpLake(options: { readonly limits?: Limits } = {}): Promise<HttpLake> {
  await using stack = new AsyncDisposableStack();
  const lake = stack.use(await sqlLake());
  await lake.append(
    'posts',
    `SELECT 'flood' AS event_id, 'x' AS source, 'p' || i AS post_id, i AS likes, 'a "quoted" text' AS text,
    TIMESTAMPTZ '2013-06-20 00:00:00+00' + to_minutes(i) AS created_at FROM range(5000) r(i)`,
  );
  const server = stack.use(await createHttpServer({
    engine: lake.engine(),
    auth: pretendedAuth(),
    limits: options.limits ?? roomyLimits,
    metrics: createMetrics(),
    logger: silentLogger,
    clock: systemClock,
    status: async () => ({ collected: 7 }),
    resultsFolder: join(lake.folder, 'results'),
    spoolFolder: lake.folder,
  }));
  const { url } = await server.listen('127.0.0.1', 0);
  const owned = stack.move();
  return { lake, server, url, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
