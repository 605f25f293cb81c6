/**
 * Reports over a million posts: one of 12 saved queries and 8 charts, as mail, PDF, XLSX and CSV, in a process that does nothing
 * else; and a hundred situation reports that are due in the same minute, all delivered by mail. `node bench/reports.ts [posts] [reports]`
 * prints a line of JSON per claim.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { appendFile } from 'node:fs/promises';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { manualClock } from '#core/clock.ts';
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { createReports, type ReportInput } from '#core/reports/reports.ts';
import { dashboardsLake, dashboardsServer, pageToken } from '#test/dashboards-lake.ts';
import { openPostbox } from '#test/report-world.ts';
import { startPostgres } from '#test/services/postgres.ts';

/** The moment at which all are due; the sender's clock says a minute later. */
const due = Date.parse('2013-06-21T16:00:00Z');
async function measure(posts: number, count: number): Promise<void> {
  await using lake = await dashboardsLake();
  const perFile = 100_000;
  const at = "(timestamptz '2013-06-20 16:00:00+00' + to_microseconds(i * 86400000000 // " + `${posts}))`;
  for (let from = 0; from < posts; from += perFile) {
    const range = `from range(${from}, ${Math.min(posts, from + perFile)}) t(i)`;
    await lake.append('posts', `select 'flood-2013' as event_id, 'x' as source, 'm' || i as post_id, ${at} as created_at, 'a' || (i % 5000) as author_id,
      'user' || (i % 5000) as author_handle, (['en', 'fr', 'es', 'de'])[1 + i % 4] as lang, 'Water is rising near bridge ' || (i % 977) as text,
      case when i % 9 = 0 then 'Calgary' || (i % 40) end as place, i % 50 as likes, ['abflood', 'tag' || (i % 300)] as hashtags ${range}`);
    await lake.append('classifications', `select 'flood-2013' as event_id, 'x' as source, 'm' || i as post_id, ${at} as created_at, 'information_type' as classifier,
      'm1' as model_version, (['affected_individuals', 'caution_and_advice', 'other_useful_information'])[1 + i % 3] as label, (i % 1000) / 1000.0 as score ${range}`);
  }
  await lake.append('activity', `select 'flood-2013' as event_id, 'x' as source, date_trunc('minute', ${at}) as minute, 'en' as lang, count(*) as posts,
    count(*) as authors, 0 as reposts from range(${posts}) t(i) group by all`);
  await lake.append('activity_labels', `select 'flood-2013' as event_id, 'x' as source, date_trunc('minute', ${at}) as minute, 'information_type' as classifier,
    (['affected_individuals', 'caution_and_advice', 'other_useful_information'])[1 + i % 3] as label, count(*) as posts from range(${posts}) t(i) group by all`);
  const { server, url } = await dashboardsServer(lake.engine({ children: 2, memoryBytes: 2 ** 30 }), []);
  const postgres = await startPostgres();
  await using box = await openPostbox();
  for (const [claim, reports] of [['12 queries, 8 charts', [queriesReport]], ['due in the same minute', situations(count)]] as const) {
    const databaseUrl = await postgres.createDatabase();
    await fill(databaseUrl, reports);
    box.mails.length = 0;
    const child = fork(join(import.meta.dirname, 'report-sender.ts'), [databaseUrl, url, box.url, pageToken, String(due + 60_000)]);
    const [taken] = await once(child, 'message');
    await once(child, 'exit');
    const line = JSON.stringify({ bench: 'reports', claim, at: new Date().toISOString(), posts, reports: reports.length, mails: box.mails.length, ...taken, cores: cpus().length, node: process.version });
    console.log(line);
    await appendFile(join(import.meta.dirname, 'results', 'reports.jsonl'), `${line}\n`);
  }
  await server[Symbol.asyncDispose]();
  await postgres.stop();
}

const mail = (format: 'html' | 'pdf' | 'xlsx' | 'csv') => ({ kind: 'mail' as const, target: 'manager@example.org', format });
const base = { cron: '0 16 * * *', timeZone: 'UTC', catchUp: 'all' as const, parameters: { event: 'flood-2013', hours: 24 } };
const mine = "from lake.posts where event_id = $1 and created_at >= cast($2 as timestamptz) and created_at < cast($3 as timestamptz)";
const charts = ['lang', 'substr(author_handle, 5, 1)', 'coalesce(place, \'none\')', 'cast(likes // 10 as varchar)', 'cast(length(text) as varchar)',
  'hashtags[2]', 'cast(extract(minute from created_at) // 10 as varchar)', 'source'];
const tables = ['place, count(*) as posts', 'author_handle, count(*) as posts', 'text, count(*) as posts'];
const statements = [
  ...charts.map((series) => `select date_trunc('hour', created_at) as hour, ${series} as series, count(*) as posts ${mine} group by 1, 2 order by 1, 2`),
  ...tables.map((columns) => `select ${columns} ${mine} group by 1 order by 2 desc, 1 limit 50`),
  `select count(*) as posts ${mine}`,
];
const queriesReport: ReportInput = {
  ...base, name: 'Twelve', layout: 'queries', deliveries: [mail('html'), mail('pdf'), mail('xlsx'), mail('csv')],
  content: statements.map((_sql, index) => ({ query: `q${index}`, show: index < charts.length ? 'bars' : index < 11 ? 'table' : 'number' })),
};
const situations = (count: number): ReportInput[] => Array.from({ length: count }, (_, index) =>
  ({ ...base, name: `Situation ${index}`, layout: 'situation', deliveries: [mail('html'), mail('pdf')] }));

async function fill(databaseUrl: string, reports: readonly ReportInput[]): Promise<void> {
  await using database = openDatabase(databaseUrl, { max: 2 });
  await migrate(database);
  const parameters = JSON.stringify(['event', 'from', 'to'].map((name) => ({ name, type: 'text' })));
  for (const [index, sql] of statements.entries()) {
    await database.execute(`insert into watershed.saved_query (id, name, description, owner, statement, parameters, version, created_at, updated_at, updated_by)
      values ($1, $1, '', 'admin', $2, $3, 1, now(), now(), 'admin')`, [`q${index}`, sql, parameters]);
  }
  const known = createReports({ database, clock: manualClock(due - 3_600_000) });
  for (const report of reports) await known.create(report, 'admin');
}

await measure(Number(process.argv[2] ?? 1_000_000), Number(process.argv[3] ?? 100));
