import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, api, type EventView, sql, type SqlResult } from './api.ts';
import { Problem } from './parts.tsx';
import { previewSql } from './queries.ts';

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

/** A dialog that creates an event or edits one. `done` is told the event, or undefined where nothing was changed. */
export function EventDialog({ event, done }: { event?: EventView; done: (event: EventView | undefined) => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const form = useRef<HTMLFormElement>(null);
  const [error, setError] = useState<ApiError>();
  const [preview, setPreview] = useState<SqlResult>();
  const [busy, setBusy] = useState(false);
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
    void guarded(async () => done(await save(bodyOf(form.current), event)));
  };
  const look = (): void => void guarded(async () => {
    const { rule } = bodyOf(form.current);
    const bare = (term: string): string => term.replaceAll('"', '');
    const words = [...rule['any'] ?? [], ...rule['all'] ?? []].map(bare);
    if (words.length === 0) throw new ApiError(0, 'bad_request', 'Write at least one word under "Any of these" or "All of these".');
    setPreview(await sql(previewSql(words, (rule['none'] ?? []).map(bare))));
  });
  return (
    <dialog ref={dialog} aria-labelledby="event-form" onClose={() => done(undefined)}>
      <form ref={form} onSubmit={submit} class="fields tall">
        <h2 id="event-form">{event === undefined ? 'Follow an event' : `Edit ${event.name}`}</h2>
        <label>Name<input name="name" required maxLength={200} defaultValue={event?.name ?? ''} /></label>
        <label>Description<input name="description" maxLength={5000} defaultValue={event?.description ?? ''} /></label>
        {ruleFields.map(({ name, label }) => (
          <label key={name}>{label}<input name={name} defaultValue={(event?.rule[name] ?? []).join(', ')} autocomplete="off" /></label>
        ))}
        <fieldset>
          <legend>Where to look</legend>
          {sources.map(({ name, label }) => (
            <label key={name} class="check"><input type="checkbox" name="sources" value={name} defaultChecked={event?.sources.includes(name) ?? name === 'bluesky'} /> {label}</label>
          ))}
        </fieldset>
        {error && <Problem error={error} />}
        {preview && (
          <div role="status">
            <p class="soft">{preview.rows.length === 0 ? 'No post that is here already has these words; a new event collects from now on.'
              : 'Posts already here that have these words:'}</p>
            <ul class="posts">{preview.rows.map(([of, , text], index) => <li key={index}><span class="soft">{String(of)}</span><p dir="auto">{String(text)}</p></li>)}</ul>
          </div>
        )}
        <div class="row">
          <button type="submit" disabled={busy}>{event === undefined ? 'Follow' : 'Save'}</button>
          <button type="button" class="quiet" disabled={busy} onClick={look}>Preview</button>
          <button type="button" class="quiet" onClick={() => dialog.current?.close()}>Cancel</button>
        </div>
      </form>
    </dialog>
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
  const headers = { 'content-type': 'application/json' };
  if (before === undefined) return await api<EventView>('/api/events', { method: 'POST', headers, body: JSON.stringify(body) });
  // What the form does not show must not be lost.
  const kept = before.rule['places'] === undefined ? body.rule : { ...body.rule, places: before.rule['places'] };
  // Refused where somebody else was quicker.
  return await api<EventView>(`/api/events/${encodeURIComponent(before.id)}`, {
    method: 'PATCH', headers: { ...headers, 'if-match': `"${before.version}"` }, body: JSON.stringify({ ...body, rule: kept }),
  });
}
