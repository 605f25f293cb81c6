import { api, type Cell, sql, type SqlResult, type TableInfo } from './api.ts';
import { useLoad } from './hooks.ts';
import { cellText, count, Problem } from './parts.tsx';
import { collectorsSql, gapsSql, quarantineSql } from './queries.ts';

import { ms } from './timeline.ts';

interface JobView {
  readonly name: string;
  readonly description?: string;
  readonly waiting: number;
  readonly active: number;
  readonly failed: number;
  readonly lastFailure?: { readonly reason: string; readonly at: string };
  readonly lastRun?: { readonly startedAt: string; readonly outcome: string; readonly durationMs?: number };
}

interface Status {
  readonly jobs?: readonly JobView[];
  readonly progress?: { readonly committed: number; readonly secondsBehind: number };
  readonly [part: string]: unknown;
}

const dayMs = 86_400_000;

/** How the parts are: collectors, lag, gaps, jobs, tables, what was set aside. */
export function OperationsPage() {
  const since = Math.floor((Date.now() - 14 * dayMs) / dayMs) * dayMs;
  const status = useLoad('operations status', (signal) => api<Status>('/api/status', { signal }), 3_000);
  const collectors = useLoad('operations collectors', (signal) => sql(collectorsSql(since), [], signal), 10_000);
  const gaps = useLoad('operations gaps', (signal) => sql(gapsSql(0), [], signal), 15_000);
  const quarantine = useLoad('operations quarantine', (signal) => sql(quarantineSql(since), [], signal), 15_000);
  const tables = useLoad('tables', (signal) => api<{ tables: readonly TableInfo[] }>('/api/tables', { signal }), 60_000);
  const error = status.error ?? collectors.error ?? gaps.error ?? quarantine.error ?? tables.error;
  return (
    <>
      <h1>Operations</h1>
      {error && <Problem error={error} />}
      <section class="card" aria-labelledby="lag">
        <h2 id="lag">How far behind</h2>
        {status.data?.progress
          ? <div class="numbers">
              <span><b>{status.data.progress.secondsBehind.toFixed(1)} s</b>behind the newest record</span>
              <span><b>{count.format(status.data.progress.committed)}</b>posts in the lake</span>
            </div>
          : <p class="soft">The writer has not said yet.</p>}
      </section>
      <Section id="collectors" title="Collectors, last 14 days" result={collectors.data} head={['Source', 'Last said', 'When', 'Why']}
        empty="No collector has connected. An event collects when it is active and names a source; X needs WATERSHED_X_BEARER_TOKEN." />
      <Section id="gaps" title="Gaps" result={gaps.data} head={['Source', 'Event', 'Since', 'Until', 'Why', 'Filled at', 'Posts']}
        empty="None: every collector was connected all the time that it was asked to be." />
      <Jobs jobs={status.data?.jobs} />
      <Section id="quarantine" title="Quarantine, last 14 days" result={quarantine.data} head={['Component', 'Reason', 'Records', 'Latest', 'Not replayed']}
        empty="Nothing was set aside: every record could be read." />
      <section class="card" aria-labelledby="tables">
        <h2 id="tables">Tables</h2>
        <ul class="plain-list">{tables.data?.tables.map((table) => <li key={table.name}><code>{table.schema}.{table.name}</code> <span class="soft">{table.comment}</span></li>)}</ul>
      </section>
    </>
  );
}

function Section({ id, title, result, head, empty }: {
  id: string; title: string; result: SqlResult | undefined; head: readonly string[]; empty: string;
}) {
  return (
    <section class="card" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {result === undefined ? <p class="soft">loading…</p> : result.rows.length === 0 ? <p class="soft">{empty}</p>
        : (
          <div class="table-wrap" tabIndex={0} role="region" aria-label={`Rows of ${title}`}>
            <table>
              <thead><tr>{head.map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
              <tbody>{result.rows.map((row, index) => <tr key={index}>{row.map((cell, at) => <td key={at}>{shown(cell)}</td>)}</tr>)}</tbody>
            </table>
          </div>
        )}
    </section>
  );
}

function shown(cell: Cell): string {
  if (cell === null) return '—';
  if (typeof cell === 'string' && /^\d{4}-\d\d-\d\dT.*Z$/.test(cell)) return `${new Date(ms(cell)).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
  return cellText(cell);
}

function Jobs({ jobs }: { jobs: readonly JobView[] | undefined }) {
  return (
    <section class="card" aria-labelledby="jobs">
      <h2 id="jobs">Jobs</h2>
      {jobs === undefined || jobs.length === 0 ? <p class="soft">No job has run in this process yet.</p> : (
        <div class="table-wrap" tabIndex={0} role="region" aria-label="Rows of jobs">
          <table>
            <thead><tr>{['Job', 'Waiting', 'Running', 'Failed', 'Last run', 'Last failure'].map((name) => <th key={name} scope="col">{name}</th>)}</tr></thead>
            <tbody>
              {jobs.map((job) => (
                <tr key={job.name}>
                  <td title={job.description}>{job.name}</td><td>{job.waiting}</td><td>{job.active}</td><td>{job.failed}</td>
                  <td>{job.lastRun ? `${job.lastRun.startedAt.slice(0, 19).replace('T', ' ')} ${job.lastRun.outcome}` : '—'}</td>
                  <td>{job.lastFailure ? `${job.lastFailure.at.slice(0, 19).replace('T', ' ')} ${job.lastFailure.reason}` : '—'}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  );
}
