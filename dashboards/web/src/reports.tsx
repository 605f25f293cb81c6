import { useState } from 'preact/hooks';
import { api, ApiError, listEvents } from './api.ts';
import { useLoad } from './hooks.ts';
import { Link, Problem } from './parts.tsx';
import { place, setParams } from './state.ts';

interface Delivery {
  readonly kind: 'file' | 'mail' | 'webhook';
  readonly target: string;
  readonly format: string;
}

interface ReportView {
  readonly id: string;
  readonly name: string;
  readonly layout: string;
  readonly parameters: { readonly event?: string; readonly hours?: number };
  readonly cron: string;
  readonly timeZone: string;
  readonly status: 'active' | 'paused';
  readonly deliveries: readonly Delivery[];
}

interface Listing {
  readonly reports: readonly ReportView[];
  readonly layouts: readonly { readonly name: string; readonly title: string; readonly description: string }[];
}

interface RunView {
  readonly id: string;
  readonly slot: string;
  readonly kind: string;
  readonly state: string;
  readonly error: string | null;
  readonly formats: readonly string[];
  readonly deliveries: readonly (Delivery & { readonly state: string; readonly perhapsTwice: boolean; readonly error: string | null })[];
}

const json = { 'content-type': 'application/json' };

export function ReportsPage() {
  const [turn, setTurn] = useState(0);
  const listing = useLoad(`reports ${turn}`, (signal) => api<Listing>('/api/reports', { signal }), 10_000);
  const [error, setError] = useState<ApiError>();
  const again = (work: Promise<unknown>): void => {
    setError(undefined);
    work.then(() => setTurn((before) => before + 1), (thrown: unknown) => setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown))));
  };
  const chosen = place.value.searchParams.get('report');
  return (
    <>
      <h1>Reports</h1>
      {(error ?? listing.error) && <Problem error={error ?? listing.error ?? new ApiError(0, 'internal', '')} />}
      {listing.data?.reports.length === 0 && <p class="soft">No report yet. One that is made below comes by mail, or lies here to be fetched, on the schedule you give it.</p>}
      {listing.data?.reports.map((report) => <ReportCard key={report.id} report={report} open={chosen === report.id} again={again} />)}
      {listing.data && <NewReport listing={listing.data} again={again} />}
    </>
  );
}

function ReportCard({ report, open, again }: { report: ReportView; open: boolean; again: (work: Promise<unknown>) => void }) {
  const path = `/api/reports/${encodeURIComponent(report.id)}`;
  const turnTo = report.status === 'active' ? 'paused' : 'active';
  return (
    <section class="card" aria-labelledby={`report-${report.id}`}>
      <div class="row">
        <h2 id={`report-${report.id}`}>{report.name}</h2>
        <span class="badge">{report.status}</span>
        <span class="soft">{report.cron} ({report.timeZone}) · {report.parameters.event ?? 'all events'} · to {report.deliveries.map(({ kind, target, format }) =>
          `${kind === 'file' ? 'download' : target} (${format})`).join(', ')}</span>
      </div>
      <div class="row">
        <button type="button" class="quiet" onClick={() => again(preview(path))}>Preview</button>
        <button type="button" class="quiet" onClick={() => again(api(`${path}/test`, { method: 'POST', headers: json, body: '{}' }).then(() => setParams({ report: report.id })))}>Send now</button>
        <button type="button" class="quiet" onClick={() => again(api(path, { method: 'PATCH', headers: json, body: JSON.stringify({ status: turnTo }) }))}>{report.status === 'active' ? 'Pause' : 'Resume'}</button>
        <button type="button" class="quiet" aria-expanded={open} onClick={() => setParams({ report: open ? undefined : report.id })}>{open ? 'Hide what was sent' : 'What was sent'}</button>
      </div>
      {open && <Runs path={path} again={again} />}
    </section>
  );
}

/** Opens the report in a tab of its own; the page's own rules (no script) hold there too. */
async function preview(path: string): Promise<void> {
  const response = await fetch(`${path}/preview`, { method: 'POST', headers: json, body: '{}' });
  if (!response.ok) throw new ApiError(response.status, 'internal', `The preview could not be made (${response.status}).`);
  window.open(URL.createObjectURL(await response.blob()), '_blank', 'noopener');
}

function Runs({ path, again }: { path: string; again: (work: Promise<unknown>) => void }) {
  const runs = useLoad(`runs ${path}`, (signal) => api<{ runs: readonly RunView[] }>(`${path}/runs`, { signal }), 3_000);
  if (runs.error) return <Problem error={runs.error} />;
  if (runs.data?.runs.length === 0) return <p class="soft">Nothing was sent yet.</p>;
  return (
    <ul class="plain-list">
      {runs.data?.runs.map((run) => (
        <li key={run.id}>
          <b>{run.slot.slice(0, 16).replace('T', ' ')} UTC</b> {run.kind === 'test' ? 'sent by hand' : ''} <span class={`badge ${run.state === 'failed' ? 'bad' : ''}`}>{run.state}</span>{' '}
          {run.formats.map((format) => <a key={format} href={`/api/report-runs/${run.id}/${format}`} download>{format} </a>)}
          {run.deliveries.filter(({ kind }) => kind !== 'file').map((delivery, index) => (
            <span key={index} class="soft">· {delivery.target}: {delivery.state}{delivery.perhapsTwice ? ', perhaps twice' : ''}{delivery.error ? ` (${delivery.error})` : ''} </span>
          ))}
          {run.error && <div class="soft">{run.error}</div>}
          {run.state === 'failed' && <button type="button" class="quiet" onClick={() => again(api(`/api/report-runs/${run.id}/retry`, { method: 'POST' }))}>Try again</button>}
        </li>
      ))}
    </ul>
  );
}

function NewReport({ listing, again }: { listing: Listing; again: (work: Promise<unknown>) => void }) {
  const events = useLoad('events', () => listEvents(), 30_000);
  const submit = (event: Event): void => {
    event.preventDefault();
    if (!(event.currentTarget instanceof HTMLFormElement)) return;
    const data = new FormData(event.currentTarget);
    const text = (name: string): string => String(data.get(name) ?? '').trim();
    const format = text('format');
    const mails = text('mails').split(/[\s,;]+/).filter((address) => address !== '');
    const body = {
      name: text('name'), layout: text('layout'), parameters: text('event') === '' ? {} : { event: text('event') }, cron: text('cron'), timeZone: text('zone'),
      catchUp: text('catchUp'), deliveries: [{ kind: 'file', target: '', format }, ...mails.map((target) => ({ kind: 'mail', target, format }))],
    };
    again(api('/api/reports', { method: 'POST', headers: json, body: JSON.stringify(body) }));
  };
  return (
    <form class="card" onSubmit={submit} aria-labelledby="new-report">
      <h2 id="new-report">Make a report</h2>
      <div class="fields">
        <label>Name<input name="name" required maxLength={200} /></label>
        <label>What it shows<select name="layout">{listing.layouts.map(({ name, title, description }) => <option key={name} value={name} title={description}>{title}</option>)}</select></label>
        <label>Event<select name="event"><option value="">all events</option>{events.data?.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}</select></label>
        <label>When (minute hour day month weekday)<input name="cron" required defaultValue="0 7 * * *" /></label>
        <label>Time zone<input name="zone" required defaultValue={Intl.DateTimeFormat().resolvedOptions().timeZone} /></label>
        <label>After downtime<select name="catchUp"><option value="last">send the last one missed</option><option value="all">send all that were missed</option><option value="skip">send none of them</option></select></label>
        <label>Format<select name="format">{['html', 'pdf', 'xlsx', 'csv'].map((format) => <option key={format} value={format}>{format.toUpperCase()}</option>)}</select></label>
        <label>Mail to (commas between)<input name="mails" autocomplete="off" /></label>
      </div>
      <div class="row"><button type="submit">Make it</button><span class="soft">It can always be downloaded here too. An event is made on the page <Link to="/">Events</Link>.</span></div>
    </form>
  );
}
