import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, api, type EventView } from './api.ts';
import { count, Problem } from './parts.tsx';

/** Commas part terms, but not within quotes: flood, "high water", #abflood. */
export function termsOf(text: string): string[] {
  return [...text.matchAll(/"[^"]*"|[^,"]+/g)].map(([term]) => term.trim()).filter((term) => term !== '' && term !== '""');
}

const ruleFields = [
  { name: 'any', label: 'Any of these (words, "phrases", #hashtags; commas between)' },
  { name: 'all', label: 'All of these' },
  { name: 'none', label: 'None of these' },
  { name: 'accounts', label: 'Accounts' },
  { name: 'languages', label: 'Only these languages (en, es)' },
] as const;

const sources = [
  { name: 'bluesky', label: 'Bluesky' }, { name: 'x', label: 'X (needs a token)' }, { name: 'replay', label: 'Replay (made-up or archived posts)' },
] as const;

/** What a rule finds among the newest posts here, by the matcher that collectors use. */
interface Preview {
  readonly looked: number;
  readonly matched: number;
  readonly since: string | null;
  readonly posts: readonly { readonly source: string; readonly postId: string; readonly createdAt: string; readonly author: string | null; readonly text: string; readonly matched: readonly string[] }[];
}

const json = { 'content-type': 'application/json' };

/** A dialog that creates an event or edits one. `done` is told the event, or undefined where nothing was changed. */
export function EventDialog({ event, done }: { event?: EventView; done: (event: EventView | undefined) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const [error, setError] = useState<ApiError>();
  const [preview, setPreview] = useState<Preview>();
  const [busy, setBusy] = useState(false);
  // What the form began with; another where somebody else was quicker and their version was taken.
  const [base, setBase] = useState(event);
  const [theirs, setTheirs] = useState<EventView>();
  useEffect(() => dialog.current?.showModal(), []);
  const guarded = async (work: () => Promise<void>): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await work();
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown)));
    } finally {
      setBusy(false);
    }
  };
  const submit = (submitted: Event): void => {
    submitted.preventDefault();
    store(base);
  };
  const store = (over: EventView | undefined): void => void guarded(async () => {
    try {
      done(await save(bodyOf(form.current), over));
    } catch (thrown) {
      if (!(thrown instanceof ApiError) || thrown.code !== 'conflict' || over === undefined) throw thrown;
      setTheirs(await api<EventView>(`/api/events/${encodeURIComponent(over.id)}`));
    }
  });
  const look = (): void => void guarded(async () => {
    setPreview(await api<Preview>('/api/events/preview', { method: 'POST', headers: json, body: JSON.stringify({ rule: bodyOf(form.current).rule, posts: 10 }) }));
  });
  return (
    <dialog ref={dialog} aria-labelledby="event-form" onClose={() => done(undefined)}>
      <form ref={form} onSubmit={submit} class="fields tall" key={base?.version ?? 0}>
        <h2 id="event-form">{event === undefined ? 'Follow an event' : `Edit ${event.name}`}</h2>
        <label>Name<input name="name" required maxLength={200} defaultValue={base?.name ?? ''} /></label>
        <label>Description<input name="description" maxLength={5000} defaultValue={base?.description ?? ''} /></label>
        {ruleFields.map(({ name, label }) => (
          <label key={name}>{label}<input name={name} defaultValue={(base?.rule[name] ?? []).join(', ')} autocomplete="off" /></label>
        ))}
        <fieldset>
          <legend>Where to look</legend>
          {sources.map(({ name, label }) => (
            <label key={name} class="check"><input type="checkbox" name="sources" value={name} defaultChecked={base?.sources.includes(name) ?? name === 'bluesky'} /> {label}</label>
          ))}
        </fieldset>
        {error && <Problem error={error} />}
        {theirs && <Conflict mine={bodyOf(form.current)} theirs={theirs} busy={busy}
          keepMine={() => { setTheirs(undefined); store(theirs); }}
          takeTheirs={() => { setTheirs(undefined); setBase(theirs); }} />}
        {preview && <PreviewList preview={preview} />}
        <div class="row">
          <button type="submit" disabled={busy || theirs !== undefined}>{event === undefined ? 'Follow' : 'Save'}</button>
          <button type="button" class="quiet" disabled={busy} onClick={look}>Preview</button>
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>Cancel</button>
        </div>
      </form>
    </dialog>
  );
}

function PreviewList({ preview }: { preview: Preview }) {
  return (
    <div role="status">
      <p class="soft">{preview.looked === 0 ? 'The lake has no post yet to try the rule on; a new event collects from now on.'
        : preview.matched === 0 ? `None of the newest ${count.format(preview.looked)} posts here fits; a new event collects from now on.`
          : `Of the newest ${count.format(preview.looked)} posts here, ${count.format(preview.matched)} would be matched:`}</p>
      <ul class="posts">{preview.posts.map((post) => (
        <li key={`${post.source} ${post.postId}`}>
          <span class="soft">{post.createdAt.slice(0, 16).replace('T', ' ')}{post.author === null ? '' : <> · <bdi>{post.author}</bdi></>} · for <bdi>{post.matched.join(', ')}</bdi></span>
          <p dir="auto">{post.text.slice(0, 300)}</p>
        </li>
      ))}</ul>
    </div>
  );
}

/** Two people changed the event at once: what differs, and whose it shall be. */
function Conflict({ mine, theirs, busy, keepMine, takeTheirs }: {
  mine: EventBody; theirs: EventView; busy: boolean; keepMine: () => void; takeTheirs: () => void;
}) {
  const rows = [
    ['Name', mine.name, theirs.name], ['Description', mine.description, theirs.description], ['Where to look', mine.sources.join(', '), theirs.sources.join(', ')],
    ...ruleFields.map(({ name, label }) => [label, (mine.rule[name] ?? []).join(', '), (theirs.rule[name] ?? []).join(', ')]),
  ].filter(([, my, their]) => my !== their);
  return (
    <div class="card error" role="alert">
      <strong>Somebody else changed this event while you wrote: it is at version {theirs.version} now.</strong>
      <table>
        <thead><tr><th scope="col">What differs</th><th scope="col">Yours</th><th scope="col">Theirs</th></tr></thead>
        <tbody>{rows.map(([label, my, their]) => <tr key={label}><th scope="row">{label}</th><td>{my}</td><td>{their}</td></tr>)}</tbody>
      </table>
      <div class="row">
        <button type="button" disabled={busy} onClick={keepMine}>Save mine over theirs</button>
        <button type="button" class="quiet" disabled={busy} onClick={takeTheirs}>Go on from theirs</button>
      </div>
    </div>
  );
}

interface EventBody {
  readonly name: string;
  readonly description: string;
  readonly sources: readonly string[];
  readonly rule: Readonly<Record<string, readonly string[]>>;
}

function bodyOf(form: HTMLFormElement | null): EventBody {
  const data = new FormData(form ?? undefined);
  const text = (name: string): string => String(data.get(name) ?? '').trim();
  const rule = Object.fromEntries(ruleFields.map(({ name }) => [name, termsOf(text(name))] as const).filter(([, terms]) => terms.length > 0));
  return { name: text('name'), description: text('description'), sources: data.getAll('sources').map(String), rule };
}

async function save(body: EventBody, before: EventView | undefined): Promise<EventView> {
  if (before === undefined) return await api<EventView>('/api/events', { method: 'POST', headers: json, body: JSON.stringify(body) });
  // What the form does not show must not be lost.
  const kept = before.rule['places'] === undefined ? body.rule : { ...body.rule, places: before.rule['places'] };
  // Refused where somebody else was quicker.
  return await api<EventView>(`/api/events/${encodeURIComponent(before.id)}`, {
    method: 'PATCH', headers: { ...json, 'if-match': `"${before.version}"` }, body: JSON.stringify({ ...body, rule: kept }),
  });
}
