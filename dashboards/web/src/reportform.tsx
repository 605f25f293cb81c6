import { useEffect, useRef, useState } from 'preact/hooks';
import { api, listEvents } from './api.ts';
import { type ConditionDraft, ConditionFields, conditionDraft, conditionOf } from './conditionform.tsx';
import { useGuarded } from './guarded.ts';
import { useLoad } from './hooks.ts';
import { Problem } from './parts.tsx';
import { Preview } from './preview.tsx';
import { DeliveryFields, type Keyed, keyed, type PartDraft, PartFields, partDraft, partOf } from './reportparts.tsx';
import { type Delivery, json, type Layout, type ReportBody, type ReportView } from './reporttypes.ts';
import type { SavedQuery } from './saved.tsx';

const catchUps = [['last', 'send the last one missed'], ['all', 'send all that were missed'], ['skip', 'send none of them']] as const;

const browserZone = Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A new report begins as the situation of an event, each morning, to be fetched here. */
function blank(layouts: readonly Layout[]): ReportBody {
  return { name: '', layout: layouts[0]?.name ?? '', parameters: {}, content: [], cron: '0 7 * * *', timeZone: browserZone, catchUp: 'last',
    deliveries: [{ kind: 'file', target: '', format: 'html' }], condition: null, keepDays: 90 };
}

interface Draft {
  readonly name: string;
  readonly layout: string;
  readonly event: string;
  readonly hours: string;
  readonly cron: string;
  readonly timeZone: string;
  readonly catchUp: ReportBody['catchUp'];
  readonly keepDays: string;
  readonly condition: ConditionDraft;
  readonly parts: readonly Keyed<PartDraft>[];
  readonly deliveries: readonly Keyed<Delivery>[];
}

function draftOf(from: ReportBody): Draft {
  return {
    name: from.name, layout: from.layout, event: from.parameters.event ?? '', hours: String(from.parameters.hours ?? ''), cron: from.cron, timeZone: from.timeZone,
    catchUp: from.catchUp, keepDays: String(from.keepDays), condition: conditionDraft(from.condition, ''),
    parts: from.content.map((part) => keyed(partDraft(part))), deliveries: from.deliveries.map((delivery) => keyed(delivery)),
  };
}

function bodyOf(draft: Draft, queries: readonly SavedQuery[]): ReportBody {
  return {
    name: draft.name.trim(), layout: draft.layout, cron: draft.cron.trim(), timeZone: draft.timeZone.trim(), catchUp: draft.catchUp, keepDays: Number(draft.keepDays),
    parameters: { ...(draft.event === '' ? {} : { event: draft.event }), ...(draft.hours === '' ? {} : { hours: Number(draft.hours) }) },
    content: draft.layout === 'queries' ? draft.parts.map(({ value }) => partOf(value, queries)) : [], condition: conditionOf(draft.condition),
    deliveries: draft.deliveries.map(({ value }) => (value.kind === 'file' ? { ...value, target: '' } : { ...value, target: value.target.trim() })),
  };
}

/** A dialog that makes a report or changes one, with all that a report has. `done` is told the report that was kept. */
export function ReportDialog({ report, layouts, done }: {
  report: ReportView | undefined; layouts: readonly Layout[]; done: (report: ReportView | undefined) => void;
}) {
  const dialog = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const guarded = useGuarded();
  const [draft, setDraft] = useState(() => draftOf(report ?? blank(layouts)));
  const queries = useLoad('queries', (signal) => api<{ queries: readonly SavedQuery[] }>('/api/queries', { signal }), 60_000).data?.queries;
  useEffect(() => dialog.current?.showModal(), []);
  const body = (): ReportBody => bodyOf(draft, queries ?? []);
  const submit = (event: Event): void => {
    event.preventDefault();
    void guarded.attempt(async () => done(report === undefined
      ? await api<ReportView>('/api/reports', { method: 'POST', headers: json, body: JSON.stringify(body()) })
      : await api<ReportView>(`/api/reports/${encodeURIComponent(report.id)}`, { method: 'PATCH', headers: json, body: JSON.stringify(body()) })));
  };
  return (
    <dialog ref={dialog} class="wide" aria-labelledby="report-form" onClose={() => done(undefined)}>
      <form ref={form} onSubmit={submit} class="fields tall">
        <h2 id="report-form">{report === undefined ? 'Make a report' : `Edit ${report.name}`}</h2>
        <What draft={draft} change={setDraft} layouts={layouts} queries={queries ?? []} />
        <When draft={draft} change={setDraft} />
        <DeliveryFields deliveries={draft.deliveries} change={(deliveries) => setDraft({ ...draft, deliveries })} kinds={['mail', 'webhook', 'store', 'file']} withFormats />
        {report?.secret !== undefined && report.deliveries.some(({ kind }) => kind === 'webhook') && <p class="soft">Webhooks are signed with <code>{report.secret}</code></p>}
        {report !== undefined && <p class="soft">Whoever saves it owns it: the lake is asked with their rights.</p>}
        {guarded.error && <Problem error={guarded.error} />}
        <div class="row">
          <button type="submit" disabled={guarded.busy}>{report === undefined ? 'Make it' : 'Save'}</button>
          <Preview guarded={guarded} request={(format) => ({ path: '/api/reports/preview', body: { report: body(), format } })} />
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>Cancel</button>
        </div>
      </form>
    </dialog>
  );
}

interface FieldsProps {
  readonly draft: Draft;
  readonly change: (draft: Draft) => void;
}

function What({ draft, change, layouts, queries }: FieldsProps & { layouts: readonly Layout[]; queries: readonly SavedQuery[] }) {
  const events = useLoad('events', () => listEvents(), 30_000).data ?? [];
  const layout = layouts.find(({ name }) => name === draft.layout);
  return (
    <>
      <label>Name<input value={draft.name} required maxLength={200} autocomplete="off" onInput={(event) => change({ ...draft, name: event.currentTarget.value })} /></label>
      <div class="fields">
        <label>What it shows<select value={draft.layout} onChange={(event) => change({ ...draft, layout: event.currentTarget.value })}>
          {layouts.map(({ name, title }) => <option key={name} value={name}>{title}</option>)}
        </select></label>
        <label>Event<select value={draft.event} onChange={(event) => change({ ...draft, event: event.currentTarget.value })}>
          <option value="">all events</option>
          {events.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
          {draft.event !== '' && !events.some(({ id }) => id === draft.event) && <option value={draft.event}>{draft.event}</option>}
        </select></label>
        <label>Hours it covers<input type="number" min={0.1} max={8784} step="any" value={draft.hours} placeholder={String(layout?.hours ?? '')}
          onInput={(event) => change({ ...draft, hours: event.currentTarget.value })} /></label>
      </div>
      <p class="soft">{layout?.description}</p>
      {draft.layout === 'queries' && <PartFields parts={draft.parts} change={(parts) => change({ ...draft, parts })} queries={queries} />}
      <ConditionFields draft={draft.condition} change={(condition) => change({ ...draft, condition })} events={events} label="Sent only where" none="always sent" />
    </>
  );
}

function When({ draft, change }: FieldsProps) {
  return (
    <div class="fields">
      <label>When (minute hour day month weekday)<input value={draft.cron} required autocomplete="off" onInput={(event) => change({ ...draft, cron: event.currentTarget.value })} /></label>
      <label>Time zone<input value={draft.timeZone} required list="time-zones" autocomplete="off" onInput={(event) => change({ ...draft, timeZone: event.currentTarget.value })} /></label>
      <datalist id="time-zones">{['UTC', ...Intl.supportedValuesOf('timeZone')].map((zone) => <option key={zone} value={zone} />)}</datalist>
      <label>After downtime<select value={draft.catchUp} onChange={(event) => change({ ...draft, catchUp: catchUps.find(([name]) => name === event.currentTarget.value)?.[0] ?? 'last' })}>
        {catchUps.map(([name, text]) => <option key={name} value={name}>{text}</option>)}
      </select></label>
      <label>Days that files are kept<input type="number" min={1} max={3660} required value={draft.keepDays} onInput={(event) => change({ ...draft, keepDays: event.currentTarget.value })} /></label>
    </div>
  );
}
