import { api, type Cell, sql, type SqlResult } from './api.ts';
import { useLoad } from './hooks.ts';
import { cellText, count, Problem } from './parts.tsx';
import { Audit, Quarantine } from './opsrecords.tsx';
import { Section, time } from './section.tsx';
import { gapsSql } from './queries.ts';

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
  readonly progress?: { readonly committed: number; readonly appended: number; readonly landed: number; readonly secondsBehind: number };
  readonly collectors?: readonly {
    readonly source: string; readonly state: string; readonly since: string; readonly message: string | null; readonly lagSeconds: number | null;
  }[];
}

interface Health {
  readonly tables: readonly {
    readonly name: string; readonly rows: number | null; readonly files: number | null; readonly bytes: number | null; readonly snapshots: number; readonly committedAt: string | null;
  }[];
  readonly landings: readonly { readonly landing: string; readonly topic: string; readonly waitingRecords: number; readonly commitAgeSeconds?: number }[];
}

/** How the parts are: lag, collectors, gaps, tables, jobs, what was set aside, who did what. */
export function OperationsPage() {
  const status = useLoad('operations status', (signal) => api<Status>('/api/status', { signal }), 3_000);
  const gaps = useLoad('operations gaps', (signal) => sql(gapsSql(0), [], signal), 15_000);
  const health = useLoad('operations health', (signal) => api<Health>('/api/health', { signal }), 5_000);
  const error = status.error ?? gaps.error ?? health.error;
  return (
    <>
      <h1>Operations</h1>
      {error && <Problem error={error} />}
      <Lag status={status.data} health={health.data} />
      <Collectors status={status.data} />
      <Section id="gaps" title="Gaps" head={['Source', 'Event', 'Since', 'Until', 'Why', 'Filled at', 'Posts']} rows={rowsOf(gaps.data)}
        empty="None: every collector was connected all the time that it was asked to be." />
      <Tables health={health.data} />
      <Jobs jobs={status.data?.jobs} loaded={status.data !== undefined} />
      <Quarantine />
      <Audit />
    </>
  );
}

function Lag({ status, health }: { status: Status | undefined; health: Health | undefined }) {
  const progress = status?.progress;
  const waiting = health?.landings.reduce((sum, { waitingRecords }) => sum + waitingRecords, 0);
  return (
    <section class="card" aria-labelledby="lag">
      <h2 id="lag">How far behind</h2>
      {progress
        ? <div class="numbers">
            <span><b>{progress.secondsBehind.toFixed(1)} s</b>behind the newest record</span>
            {waiting !== undefined && <span><b>{count.format(waiting)}</b>records wait in the log</span>}
            <span><b>{count.format(progress.committed)}</b>posts in the lake</span>
          </div>
        : <p class="soft">{status === undefined ? 'loading…' : 'The writer has not said yet.'}</p>}
    </section>
  );
}

function Collectors({ status }: { status: Status | undefined }) {
  const rows = status === undefined ? undefined : (status.collectors ?? []).map(({ source, state, since, message, lagSeconds }) => [
    source, <span class={`badge ${state === 'failed' || state === 'disconnected' || state === 'stopped' ? 'bad' : ''}`}>{state}</span>, time(since), lagSeconds === null ? '—' : duration(lagSeconds), message ?? '—',
  ]);
  return <Section id="collectors" title="Collectors" head={['Source', 'State', 'Since', 'Behind the network', 'In words']} rows={rows}
    empty="No collector has run. An event collects when it is active and names a source; X needs WATERSHED_X_BEARER_TOKEN." />;
}

function Tables({ health }: { health: Health | undefined }) {
  const landing = new Map(health?.landings.map((one) => [one.landing, one]));
  const rows = health?.tables.map(({ name, rows: records, files, bytes, snapshots, committedAt }) => [
    <code>{name}</code>, number(records), number(files), bytes === null ? '—' : size(bytes), number(files === null || bytes === null || files === 0 ? null : Math.round(bytes / files / 1024)),
    number(snapshots), committedAt === null ? 'nothing was written yet' : time(committedAt), landing.has(name) ? number(landing.get(name)?.waitingRecords ?? 0) : '—',
  ]);
  return <Section id="tables" title="Tables" head={['Table', 'Rows', 'Files', 'Size', 'kB a file', 'Snapshots', 'Last commit', 'Records that wait']} rows={rows} empty="No table was made yet." numeric={[1, 2, 3, 4, 5, 7]} />;
}

function Jobs({ jobs, loaded }: { jobs: readonly JobView[] | undefined; loaded: boolean }) {
  const rows = jobs?.map((job) => [
    <span title={job.description}>{job.name}</span>, number(job.waiting), number(job.active), job.failed > 0 ? <span class="badge bad">{job.failed}</span> : '0',
    job.lastRun ? `${time(job.lastRun.startedAt)} ${job.lastRun.outcome}${job.lastRun.durationMs === undefined ? '' : `, ${Math.round(job.lastRun.durationMs)} ms`}` : '—',
    job.lastFailure ? `${time(job.lastFailure.at)} ${job.lastFailure.reason}` : '—',
  ]);
  return <Section id="jobs" title="Jobs" head={['Job', 'Waiting', 'Running', 'Failed', 'Last run', 'Last failure']} rows={rows ?? (loaded ? [] : undefined)} numeric={[1, 2, 3]}
    empty="The jobs run in another process: its own /metrics tells of them." />;
}

function rowsOf(result: SqlResult | undefined): readonly (readonly string[])[] | undefined {
  return result?.rows.map((row) => row.map(shown));
}

function shown(cell: Cell): string {
  if (cell === null) return '—';
  if (typeof cell === 'string' && /^\d{4}-\d\d-\d\dT.*Z$/.test(cell)) return time(cell);
  return cellText(cell);
}

function number(value: number | null): string {
  return value === null ? '—' : count.format(value);
}

function duration(seconds: number): string {
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  return seconds < 7200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}

function size(bytes: number): string {
  return bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
