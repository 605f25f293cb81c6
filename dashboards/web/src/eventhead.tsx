import type { HistoryEntry } from '#core/contract/event.ts';
import { useEffect, useRef, useState } from 'preact/hooks';
import { api, ApiError, type EventView } from './api.ts';
import { EventDialog } from './eventform.tsx';
import { useLoad } from './hooks.ts';
import { Link, Problem } from './parts.tsx';
import { go } from './state.ts';

type Action = 'pause' | 'resume' | 'archive' | 'restore';
const actionsOf: Readonly<Record<EventView['status'], readonly (readonly [Action, string])[]>> = {
  active: [['pause', 'Pause'], ['archive', 'Archive']], paused: [['resume', 'Resume'], ['archive', 'Archive']], archived: [['restore', 'Restore']],
};
const statusNames = { active: 'collecting', paused: 'paused: collects nothing', archived: 'archived: collects nothing' } as const;

/** What the event is, and what can be done with it. */
export function EventHead({ id, event }: { id: string; event: EventView | undefined }) {
  const [open, setOpen] = useState<'edit' | 'delete' | 'history'>();
  const [error, setError] = useState<ApiError>();
  const [changed, setChanged] = useState<EventView>();
  // What this page changed is shown at once; the list follows within seconds.
  const now = changed !== undefined && changed.version >= (event?.version ?? 0) ? changed : event;
  const turn = async (action: Action): Promise<void> => {
    setError(undefined);
    try {
      setChanged(await api<EventView>(`/api/events/${encodeURIComponent(id)}/${action}`, { method: 'POST' }));
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown)));
    }
  };
  return (
    <div>
      <Link to="/">Events</Link>
      <div class="row">
        <h1>{now?.name ?? id}</h1>
        {now && <span class="badge">{statusNames[now.status]}</span>}
        <span class="spread" />
        {now && actionsOf[now.status].map(([action, label]) => <button key={action} type="button" class="quiet small" onClick={() => void turn(action)}>{label}</button>)}
        {now && <button type="button" class="quiet small" onClick={() => setOpen('edit')}>Edit keywords</button>}
        {now && <button type="button" class="quiet small" aria-expanded={open === 'history'} onClick={() => setOpen(open === 'history' ? undefined : 'history')}>History</button>}
        {now && <button type="button" class="quiet small" onClick={() => setOpen('delete')}>Delete…</button>}
      </div>
      <div class="soft">{now?.description}</div>
      {now && <div class="soft">Looks for {ruleText(now)} on {now.sources.join(', ') || 'no network'}.</div>}
      {error && <Problem error={error} />}
      {open === 'history' && now && <History id={id} version={now.version} />}
      {open === 'delete' && now && <DeleteDialog event={now} close={() => setOpen(undefined)} />}
      {open === 'edit' && now && <EventDialog event={now} done={(saved) => {
        setOpen(undefined);
        if (saved !== undefined) setChanged(saved);
      }} />}
    </div>
  );
}

function ruleText({ rule }: EventView): string {
  const parts = [['any', 'any of'], ['all', 'all of'], ['none', 'none of'], ['accounts', 'posts of'], ['languages', 'in']] as const;
  const text = parts.flatMap(([name, words]) => {
    const terms = rule[name] ?? [];
    if (terms.length === 0) return [];
    return [`${words} ${terms.slice(0, 12).join(', ')}${terms.length > 12 ? ` and ${terms.length - 12} more` : ''}`];
  });
  return text.length === 0 ? 'nothing: its posts come from an archive' : text.join('; ');
}

function History({ id, version }: { id: string; version: number }) {
  const loaded = useLoad(`history ${id} ${version}`, (signal) => api<{ history: readonly HistoryEntry[] }>(`/api/events/${encodeURIComponent(id)}/history`, { signal }), 60_000);
  if (loaded.error) return <Problem error={loaded.error} />;
  return (
    <ol class="card plain-list" aria-label="Who changed what">
      {loaded.data?.history.toSorted((a, b) => b.version - a.version).map((change, index) => (
        <li key={index}><b>{change.change.replaceAll('_', ' ')}</b> by {change.by} <span class="soft">{change.at.slice(0, 19).replace('T', ' ')} UTC, version {change.version}{told(change)}</span></li>
      ))}
    </ol>
  );
}

/** Which fields changed, from what to what. */
function told({ from, to }: HistoryEntry): string {
  if (typeof from !== 'object' || from === null || typeof to !== 'object' || to === null) return '';
  const text = (of: object, key: string): string => JSON.stringify(Reflect.get(of, key) ?? null).slice(0, 200);
  return Object.keys(to).filter((key) => text(from, key) !== text(to, key)).map((key) => `; ${key}: ${text(from, key)} → ${text(to, key)}`).join('');
}

/** Deleting hides an event and all its posts: its name is asked for, so that nobody does it by a slip. */
function DeleteDialog({ event, close }: { event: EventView; close: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [name, setName] = useState('');
  const [error, setError] = useState<ApiError>();
  useEffect(() => dialog.current?.showModal(), []);
  const remove = async (): Promise<void> => {
    setError(undefined);
    try {
      await api(`/api/events/${encodeURIComponent(event.id)}?name=${encodeURIComponent(name)}`, { method: 'DELETE' });
      go('/');
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown)));
    }
  };
  return (
    <dialog ref={dialog} aria-labelledby="delete-event" onClose={close}>
      <form class="fields tall" onSubmit={(submitted) => {
        submitted.preventDefault();
        void remove();
      }}>
        <h2 id="delete-event">Delete {event.name}?</h2>
        <p>The event and its posts are hidden from everybody at once, and nothing more is collected. To stop collecting and keep what is here, archive it instead.</p>
        <label>Its name, to be sure: {event.name}<input value={name} autocomplete="off" onInput={(typed) => setName(typed.currentTarget.value)} /></label>
        {error && <Problem error={error} />}
        <div class="row">
          <button type="submit" class="danger" disabled={name !== event.name}>Delete it</button>
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>Keep it</button>
        </div>
      </form>
    </dialog>
  );
}
