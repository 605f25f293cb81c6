import { useEffect, useRef, useState } from 'preact/hooks';
import { api, listEvents } from './api.ts';
import { ConditionFields, conditionDraft, conditionOf } from './conditionform.tsx';
import { useGuarded } from './guarded.ts';
import { useLoad } from './hooks.ts';
import { Problem } from './parts.tsx';
import { DeliveryFields, keyed } from './reportparts.tsx';
import { type AlertView, json, type Verdict } from './reporttypes.ts';

/** A dialog that makes an alert or changes one. `done` is told the alert that was kept. */
export function AlertDialog({ alert, done }: { alert: AlertView | undefined; done: (alert: AlertView | undefined) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const { busy, error, attempt } = useGuarded();
  const [name, setName] = useState(alert?.name ?? '');
  const [forMinutes, setForMinutes] = useState(String(alert?.forMinutes ?? 0));
  const [condition, setCondition] = useState(() => conditionDraft(alert?.condition ?? null, 'burst'));
  const [recipients, setRecipients] = useState(() => (alert?.recipients ?? [{ kind: 'mail', target: '' } as const]).map((one) => keyed({ ...one, format: 'html' as const })));
  const [verdict, setVerdict] = useState<Verdict>();
  const events = useLoad('events', () => listEvents(), 30_000).data ?? [];
  useEffect(() => dialog.current?.showModal(), []);
  const submit = (event: Event): void => {
    event.preventDefault();
    const body = JSON.stringify({
      name: name.trim(), condition: conditionOf(condition), forMinutes: Number(forMinutes), recipients: recipients.map(({ value: { kind, target } }) => ({ kind, target: target.trim() })),
    });
    void attempt(async () => done(alert === undefined ? await api<AlertView>('/api/alerts', { method: 'POST', headers: json, body })
      : await api<AlertView>(`/api/alerts/${encodeURIComponent(alert.id)}`, { method: 'PATCH', headers: json, body })));
  };
  const look = (): void => {
    setVerdict(undefined);
    void attempt(async () => setVerdict(await api<Verdict>('/api/alerts/preview', { method: 'POST', headers: json, body: JSON.stringify({ condition: conditionOf(condition) }) })));
  };
  return (
    <dialog ref={dialog} class="wide" aria-labelledby="alert-form" onClose={() => done(undefined)}>
      <form onSubmit={submit} class="fields tall">
        <h2 id="alert-form">{alert === undefined ? 'Make an alert' : `Edit ${alert.name}`}</h2>
        <label>Name<input value={name} required maxLength={200} autocomplete="off" onInput={(event) => setName(event.currentTarget.value)} /></label>
        <ConditionFields draft={condition} change={setCondition} events={events} label="Tell when" />
        <label>Only when it lasts so many minutes<input type="number" min={0} max={1440} required value={forMinutes} onInput={(event) => setForMinutes(event.currentTarget.value)} /></label>
        <DeliveryFields deliveries={recipients} kinds={['mail', 'webhook']} withFormats={false}
          change={(changed) => setRecipients(changed.map(({ key, value: { kind, target } }) => ({ key, value: { kind: kind === 'webhook' ? kind : 'mail', target, format: 'html' } })))} />
        {alert?.secret !== undefined && alert.recipients.some(({ kind }) => kind === 'webhook') && <p class="soft">Webhooks are signed with <code>{alert.secret}</code></p>}
        <div role="status">{verdict && <><b>{verdict.holds ? 'It would be told now.' : 'It would not be told now.'}</b><div class="soft lines">{verdict.detail}</div></>}</div>
        {error && <Problem error={error} />}
        <div class="row">
          <button type="submit" disabled={busy}>{alert === undefined ? 'Make it' : 'Save'}</button>
          <button type="button" class="quiet" disabled={busy} onClick={look}>What is seen now</button>
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>Cancel</button>
        </div>
      </form>
    </dialog>
  );
}
