import { useState } from 'preact/hooks';
import { AlertDialog } from './alertform.tsx';
import { api } from './api.ts';
import { ConfirmDelete } from './confirm.tsx';
import { useGuarded } from './guarded.ts';
import { useLoad } from './hooks.ts';
import { Problem } from './parts.tsx';
import { type AlertView, conditionText, json, minuteText } from './reporttypes.ts';
import { Runs } from './runs.tsx';
import { place, setParams } from './state.ts';

/** What is watched each minute and told once. `alert` and `edit` or `new` of the address say what is open. */
export function AlertsPage() {
  const [turn, setTurn] = useState(0);
  const listing = useLoad(`alerts ${turn}`, (signal) => api<{ alerts: readonly AlertView[] }>('/api/alerts', { signal }), 5_000);
  const [kept, setKept] = useState<readonly AlertView[]>();
  // While the list is fetched anew after a change, the old one stays.
  if (listing.data !== undefined && listing.data.alerts !== kept) setKept(listing.data.alerts);
  const alerts = listing.data?.alerts ?? kept;
  const changed = (): void => setTurn((before) => before + 1);
  const { searchParams } = place.value;
  const edit = searchParams.get('edit');
  const making = searchParams.has('new') && edit === null;
  const edited = alerts?.find(({ id }) => id === edit);
  return (
    <>
      <div class="row"><h1>Alerts</h1><span class="spread" /><button type="button" onClick={() => setParams({ new: '1' })}>Make an alert</button></div>
      {listing.error && <Problem error={listing.error} />}
      {alerts?.length === 0 && <p class="soft">No alert yet. <b>Make an alert</b>, and you are told by mail or webhook when posts burst, a network falls silent, or a gap opens: once when it begins, and once when it is over.</p>}
      {alerts?.map((alert) => <AlertCard key={alert.id} alert={alert} open={searchParams.get('alert') === alert.id} changed={changed} />)}
      {alerts !== undefined && (making || edited !== undefined) && <AlertDialog key={edit ?? ''} alert={edited} done={(alert) => {
        setParams({ edit: undefined, new: undefined, ...(alert === undefined ? {} : { alert: alert.id }) });
        if (alert !== undefined) changed();
      }} />}
    </>
  );
}

function AlertCard({ alert, open, changed }: { alert: AlertView; open: boolean; changed: () => void }) {
  const { busy, error, attempt } = useGuarded();
  const [deleting, setDeleting] = useState(false);
  const path = `/api/alerts/${encodeURIComponent(alert.id)}`;
  const active = alert.status === 'active';
  const turn = async (): Promise<void> => {
    if (await attempt(() => api(path, { method: 'PATCH', headers: json, body: JSON.stringify({ status: active ? 'paused' : 'active' }) }))) changed();
  };
  const send = async (): Promise<void> => {
    if (await attempt(() => api(`${path}/test`, { method: 'POST' }))) setParams({ alert: alert.id });
  };
  return (
    <section class="card" aria-labelledby={`alert-${alert.id}`}>
      <div class="row"><h2 id={`alert-${alert.id}`}>{alert.name}</h2>
        <span class={`badge ${alert.firingSince === null ? '' : 'bad'}`}>{!active ? 'paused' : alert.firingSince === null ? 'quiet' : `holds since ${minuteText(alert.firingSince)}`}</span></div>
      <p class="soft">Tells when {conditionText(alert.condition)}{alert.forMinutes > 0 ? `, for ${alert.forMinutes} minutes` : ''} · to {alert.recipients.map(({ target }) => target).join(', ') || 'nobody yet'}</p>
      <p class="soft lines">{alert.error !== null ? `It could not be looked at: ${alert.error}` : alert.checkedAt === null ? 'Not looked at yet: that happens each minute.'
        : `${alert.detail ?? ''} (${minuteText(alert.checkedAt)})`}</p>
      <div class="row">
        <button type="button" class="quiet" disabled={busy} onClick={() => void send()}>Send a test</button>
        <button type="button" class="quiet" disabled={busy} onClick={() => void turn()}>{active ? 'Pause' : 'Resume'}</button>
        <button type="button" class="quiet" onClick={() => setParams({ edit: alert.id })}>Edit</button>
        <button type="button" class="quiet" aria-expanded={open} onClick={() => setParams({ alert: open ? undefined : alert.id })}>{open ? 'Hide what was told' : 'What was told'}</button>
        <button type="button" class="quiet" onClick={() => setDeleting(true)}>Delete…</button>
      </div>
      {error && <Problem error={error} />}
      {open && <Runs path={path} none="Nothing was told yet." />}
      {deleting && <ConfirmDelete name={alert.name} close={() => setDeleting(false)} remove={async () => {
        await api(path, { method: 'DELETE' });
        changed();
      }}>Nobody is told of it any more. To make it rest for a while, pause it instead.</ConfirmDelete>}
    </section>
  );
}
