import { createMetrics } from '#core/metrics.ts';
import { type TableName, tables } from '#core/contract/tables.ts';
import { seededRandom, systemClock } from '#core/clock.ts';
import { ensureTable } from '#warehouse/table/ensure.ts';
import { silentLogger } from '#core/logger.ts';
import type { Auth } from '#core/auth/auth.ts';
import { createSlowdown } from '#core/auth/slowdown.ts';
import type { Principal } from '#core/auth/access.ts';
import type { FastifyPluginAsync } from 'fastify';
import type { Engine } from '#sql/engine/engine.ts';
import { createHttpServer, type HttpServer } from '#sql/http/server.ts';
import { roomyLimits, sqlLake, type SqlLake } from './sql-lake.ts';

/**
 * A lake that every panel, page and report finds something in: a flood of 2,000 posts over 40 hours (a post every 72 s from
 * 2013-06-20 00:00 UTC, every fourth not labelled), one open and one filled gap, one quarantined record.
 */
export async function dashboardsLake(): Promise<SqlLake> {
  const lake = await sqlLake();
  const context = { catalog: lake.catalog, store: lake.store, cache: lake.cache, clock: systemClock, random: seededRandom(5) };
  for (const [name, spec] of Object.entries(tables)) await ensureTable(context, { namespace: 'store', name }, spec);
  await fillDashboardsLake(lake);
  return lake;
}

/** Appends those rows to a lake whose tables are there. */
export async function fillDashboardsLake(lake: SqlLake): Promise<void> {
  for (const [table, select] of rows) await lake.append(table, select);
}

const at = "(timestamptz '2013-06-20 00:00:00+00' + to_seconds(i * 72))";
const kind = `(['affected_individuals', 'infrastructure_and_utilities', 'caution_and_advice', 'donations_and_volunteering', 'sympathy_and_support',
  'other_useful_information'])[1 + i % 6]`;
const posts = 'from range(2000) t(i)';
const minute = `date_trunc('minute', ${at})`;
const lang = "(['en', 'fr', 'es'])[1 + i % 3]";

/** Text that a page must show as text: markup, a formula, marks that turn the direction of writing, a very long word. */
export const hostileText = `=HYPERLINK("http://evil.test","x") <img src=x onerror=alert(1)> \u202Egnp.exe ${'w'.repeat(2000)}`;

const rows: readonly (readonly [TableName, string])[] = [
  ['posts', `select 'flood-2013' as event_id, 'x' as source, 'p' || i as post_id, ${at} as created_at, ${at} as collected_at,
    'a' || (i % 50) as author_id, 'user' || (i % 50) as author_handle, ${lang} as lang, 0 as log_partition, i as log_offset,
    case when i = 1999 then '${hostileText.replaceAll("'", "''")}' else 'Water is rising, post ' || i || ' of the flood' end as text,
    ['abflood'] as hashtags, 'https://example.org/' || i as uri ${posts}`],
  ['classifications', `select 'flood-2013' as event_id, 'x' as source, 'p' || i as post_id, ${at} as created_at, 'information_type' as classifier,
    'm1' as model_version, ${kind} as label, 0.9 as score, ${at} as classified_at, 0 as log_partition, i as log_offset ${posts} where i % 4 <> 0`],
  ['activity', `select 'flood-2013' as event_id, 'x' as source, ${minute} as minute, ${lang} as lang, count(*) as posts,
    count(*) as authors, count(*) filter (where i % 8 = 0) as reposts ${posts} group by all`],
  ['activity_labels', `select 'flood-2013' as event_id, 'x' as source, ${minute} as minute, 'information_type' as classifier, ${kind} as label,
    count(*) as posts ${posts} where i % 4 <> 0 group by all
    union all select 'flood-2013', 'x', ${minute}, 'relevance', case when i % 10 = 0 then 'not_relevant' else 'relevant' end, count(*) ${posts} group by all`],
  ['activity_terms', `select 'flood-2013' as event_id, date_trunc('hour', ${at}) as hour, 'hashtag' as kind, 'abflood' as value, count(*) as posts ${posts} group by all
    union all select 'flood-2013', date_trunc('hour', ${at}), 'word', 'water', count(*) ${posts} group by all
    union all select 'flood-2013', date_trunc('hour', ${at}), 'domain', 'example.org', count(*) ${posts} group by all
    union all select 'flood-2013', date_trunc('hour', ${at}), 'author', 'user' || (i % 50), count(*) ${posts} group by all`],
  ['events', `select 'flood-2013' as event_id, 1 as version, 'Alberta floods' as name, 'High water' as description, 'active' as status, ['x'] as sources,
    '{"any":["flood"]}' as rule, timestamptz '2013-06-20 00:00:00+00' as changed_at`],
  ['journal', `select * from (values
    (timestamptz '2013-06-20 00:00:00+00', 'x', null, 'connected', null, null, null, null, 1),
    (timestamptz '2013-06-20 12:30:00+00', 'x', null, 'gap', timestamptz '2013-06-20 12:00:00+00', timestamptz '2013-06-20 12:30:00+00', 'the network closed the connection', null, 2),
    (timestamptz '2013-06-21 03:00:00+00', 'x', 'flood-2013', 'gap', timestamptz '2013-06-21 02:00:00+00', timestamptz '2013-06-21 03:00:00+00', 'this machine was down', timestamptz '2013-06-21 05:00:00+00', 3))
    t("at", source, event_id, kind, since, until, cause, filled_at, log_offset)`],
  ['quarantine', `select timestamptz '2013-06-20 05:00:00+00' as at, 'collector' as component, 'no JSON' as reason, 'posts' as topic, '\\x7B'::blob as bytes, 1 as bytes_length,
    0 as log_partition, 7 as log_offset`],
];

export const pageToken = 'the-token-of-the-dashboards';
const admin: Principal = { name: 'admin', kind: 'admin', credential: 'a' };

/** The real server over the lake; who enters is decided by one token, for core/auth has tests of its own. */
export async function dashboardsServer(
  engine: Engine, plugins: readonly FastifyPluginAsync[], webRoot?: string,
): Promise<{ readonly server: HttpServer; readonly url: string }> {
  const auth: Auth = {
    tokens: {
      verify: async (given) => (given === pageToken ? admin : undefined),
      create: async () => '', list: async () => [], revoke: async () => undefined, wireLogin: async () => undefined,
    },
    codes: { create: async () => 'c', spend: async (code) => (code === 'code' ? 'cookie' : undefined) },
    slowdown: createSlowdown(systemClock),
    sessions: { verify: async (cookie) => (cookie === 'cookie' ? admin : undefined), end: async () => undefined },
  };
  const server = await createHttpServer({
    engine, auth, limits: roomyLimits, metrics: createMetrics(), logger: silentLogger, clock: systemClock, plugins, webRoot,
    status: async () => ({ progress: { committed: 2000, secondsBehind: 0.4 } }),
  });
  const { url } = await server.listen('127.0.0.1', 0);
  return { server, url };
}
