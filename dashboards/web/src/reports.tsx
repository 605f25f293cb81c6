import { useState } from 'preact/hooks';
import { api } from './api.ts';
import { ConfirmDelete } from './confirm.tsx';
import { useGuarded } from './guarded.ts';
import { useLoad } from './hooks.ts';
import { Link, Problem } from './parts.tsx';
import { Preview } from './preview.tsx';
import { ReportDialog } from './reportform.tsx';
import { conditionText, deliveryText, json, type Layout, minuteText, type ReportView } from './reporttypes.ts';
import { Runs } from './runs.tsx';
import { place, setParams } from './state.ts';

interface Listing {
  readonly reports: readonly ReportView[];
  readonly layouts: readonly Layout[];
}

/** What comes by mail or lies here, when, and what came of it. `report` and `edit` or `new` of the address say what is open. */
export function ReportsPage() {
  const [turn, setTurn] = useState(0);
  const listing = useLoad(`reports ${turn}`, (signal) => api<Listing>('/api/reports', { signal }), 10_000);
  const [kept, setKept] = useState<Listing>();
  // While the list is fetched anew after a change, the old one stays.
  if (listing.data !== undefined && listing.data !== kept) setKept(listing.data);
  const shown = listing.data ?? kept;
  const changed = (): void => setTurn((before) => before + 1);
  const { searchParams } = place.value;
  const edit = searchParams.get('edit');
  const making = searchParams.has('new') && edit === null;
  const edited = shown?.reports.find(({ id }) => id === edit);
  return (
    <>
      <div class="row"><h1>Reports</h1><span class="spread" /><button type="button" onClick={() => setParams({ new: '1' })}>Make a report</button></div>
      {listing.error && <Problem error={listing.error} />}
      {shown?.reports.length === 0 && <p class="soft">No report yet. <b>Make a report</b>, and it comes by mail, or lies here to be fetched, on the schedule you give it.
        It is about an event, made under <Link to="/">Events</Link>, or of queries saved under <Link to="/sql">Ask in SQL</Link>.</p>}
      {shown?.reports.map((report) => <ReportCard key={report.id} report={report} open={searchParams.get('report') === report.id} changed={changed} />)}
      {shown !== undefined && (making || edited !== undefined) && <ReportDialog key={edit ?? ''} report={edited} layouts={shown.layouts} done={(report) => {
        setParams({ edit: undefined, new: undefined, ...(report === undefined ? {} : { report: report.id }) });
        if (report !== undefined) changed();
      }} />}
    </>
  );
}

function ReportCard({ report, open, changed }: { report: ReportView; open: boolean; changed: () => void }) {
  const guarded = useGuarded();
  const { busy, error, attempt } = guarded;
  const [deleting, setDeleting] = useState(false);
  const path = `/api/reports/${encodeURIComponent(report.id)}`;
  const active = report.status === 'active';
  const turn = async (): Promise<void> => {
    if (await attempt(() => api(path, { method: 'PATCH', headers: json, body: JSON.stringify({ status: active ? 'paused' : 'active' }) }))) changed();
  };
  const send = async (): Promise<void> => {
    if (await attempt(() => api(`${path}/test`, { method: 'POST', headers: json, body: '{}' }))) setParams({ report: report.id });
  };
  return (
    <section class="card" aria-labelledby={`report-${report.id}`}>
      <div class="row"><h2 id={`report-${report.id}`}>{report.name}</h2><span class="badge">{report.status}</span></div>
      <p class="soft">
        {report.parameters.event ?? 'all events'} · {report.cron} ({report.timeZone}){report.nextAt === null ? '' : `, next ${minuteText(report.nextAt)}`}
        {report.condition !== null && ` · only where ${conditionText(report.condition)}`}
        {' · '}{report.deliveries.length === 0 ? 'to nobody yet' : report.deliveries.map(deliveryText).join(', ')} · kept {report.keepDays} days
      </p>
      <div class="row">
        <Preview guarded={guarded} request={(format) => ({ path: `${path}/preview`, body: { format } })} />
        <button type="button" class="quiet" disabled={busy} onClick={() => void send()}>Send now</button>
        <button type="button" class="quiet" disabled={busy} onClick={() => void turn()}>{active ? 'Pause' : 'Resume'}</button>
        <button type="button" class="quiet" onClick={() => setParams({ edit: report.id })}>Edit</button>
        <button type="button" class="quiet" aria-expanded={open} onClick={() => setParams({ report: open ? undefined : report.id })}>{open ? 'Hide what was sent' : 'What was sent'}</button>
        <button type="button" class="quiet" onClick={() => setDeleting(true)}>Delete…</button>
      </div>
      {error && <Problem error={error} />}
      {open && <Runs path={path} none="Nothing was sent yet." />}
      {deleting && <ConfirmDelete name={report.name} close={() => setDeleting(false)} remove={async () => {
        await api(path, { method: 'DELETE' });
        changed();
      }}>Nothing more is made of it. To make it rest for a while, pause it instead.</ConfirmDelete>}
    </section>
  );
}
