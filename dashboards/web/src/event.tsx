import { useState } from 'preact/hooks';
import { api, ApiError, type EventView, listEvents, sql } from './api.ts';
import type { Gap } from './chart.ts';
import { EventDialog } from './eventform.tsx';
import { type Filter, filterOf, isFiltered } from './filter.ts';
import { FilterBar } from './filterbar.tsx';
import { useLoad } from './hooks.ts';
import { Chart, type LabelledPosts, Languages, Legend, Posts, Terms, TimelineTable } from './panels.tsx';
import { count, Link, Problem } from './parts.tsx';
import { gapsSql, labelsSql, languagesSql, momentumSql, newestSql, shownSql, termsSql } from './queries.ts';
import { place, setParams } from './state.ts';
import { loadTimeline, ms, type Timeline } from './timeline.ts';

const noGaps: readonly Gap[] = [];

export function EventPage({ id }: { id: string }) {
  const params = place.value.searchParams;
  const filter = filterOf(id, params);
  const key = JSON.stringify(filter);
  const events = useLoad('events', () => listEvents(), 10_000);
  const timeline = useLoad(`timeline ${key}`, (signal) => loadTimeline(filter, signal), isFiltered(filter) ? 15_000 : 3_000);
  const languages = useLoad(`languages ${key}`, (signal) => sql(languagesSql(filter), [], signal), 15_000);
  const terms = useLoad(`terms ${key}`, (signal) => sql(termsSql(filter, 10), [], signal), 15_000);
  const gaps = useLoad(`gaps ${id}`, (signal) => loadGaps(id, signal), 30_000);
  const event = events.data?.find((candidate) => candidate.id === id);
  const error = timeline.error ?? events.error ?? languages.error ?? terms.error;
  const shown = timeline.data;
  return (
    <>
      <EventHead id={id} event={event} />
      {error && <Problem error={error} />}
      <FilterBar filter={filter} statement={shownSql(filter, shown?.unit ?? 'hour', shown?.counted ?? true)}
        languages={(languages.data?.rows ?? []).map(([lang]) => String(lang ?? ''))} />
      <section class="card" aria-labelledby="timeline">
        <div class="row">
          <h2 id="timeline">Posts {stepName(shown?.stepMs)}, by kind of information</h2>
          <span class="soft" role="status">{shown ? `${count.format(shown.posts)} ${isFiltered(filter) ? 'fit' : 'in all'}` : 'loading…'}</span>
          <Momentum id={id} timeline={shown} />
          <button type="button" class="quiet" aria-pressed={params.has('table')} onClick={() => setParams({ table: params.has('table') ? undefined : '1' })}>
            {params.has('table') ? 'Show the chart' : 'Show the numbers'}
          </button>
        </div>
        {shown && params.has('table') ? <TimelineTable timeline={shown} /> : <Chart timeline={shown} gaps={gaps.data ?? noGaps} />}
        {shown && <Legend timeline={shown} kind={filter.kind} />}
        <p class="soft">Draw over the chart to see a part of the time; shaded times were not collected.</p>
      </section>
      <div class="cards">
        <Languages result={languages.data} />
        <Terms result={terms.data} />
      </div>
      <NewestPosts filter={filter} since={shown?.recent} ready={shown !== undefined} />
    </>
  );
}

function EventHead({ id, event }: { id: string; event: EventView | undefined }) {
  const [editing, setEditing] = useState(false);
  const [error, setError] = useState<ApiError>();
  const [changed, setChanged] = useState<EventView>();
  // What this page changed is shown at once; the list follows within seconds.
  const now = changed !== undefined && changed.version >= (event?.version ?? 0) ? changed : event;
  const turn = async (action: 'pause' | 'resume'): Promise<void> => {
    if (now === undefined) return;
    setError(undefined);
    try {
      setChanged(await api<EventView>(`/api/events/${encodeURIComponent(now.id)}/${action}`, { method: 'POST' }));
    } catch (thrown) {
      setError(thrown instanceof ApiError ? thrown : new ApiError(0, 'internal', String(thrown)));
    }
  };
  return (
    <div>
      <Link to="/">Events</Link>
      <div class="row">
        <h1>{now?.name ?? id}</h1>
        {now && <span class="badge">{now.status}</span>}
        {now?.status === 'active' && <button type="button" class="quiet" onClick={() => void turn('pause')}>Pause</button>}
        {now?.status === 'paused' && <button type="button" class="quiet" onClick={() => void turn('resume')}>Resume</button>}
        {now && <button type="button" class="quiet" onClick={() => setEditing(true)}>Edit keywords</button>}
      </div>
      <div class="soft">{now?.description}</div>
      {now && <div class="soft">Looks for {ruleText(now)} on {now.sources.join(', ') || 'no network'}.</div>}
      {error && <Problem error={error} />}
      {editing && now && <EventDialog event={now} done={(saved) => {
        setEditing(false);
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

/** The last hour against the one before, at the end of what is shown. */
function Momentum({ id, timeline }: { id: string; timeline: Timeline | undefined }) {
  const end = timeline?.last ?? 0;
  const loaded = useLoad(`momentum ${id} ${end}`, async (signal) => (end === 0 ? undefined : await sql(momentumSql(id, end), [], signal)), 60_000);
  const [now, before] = loaded.data?.rows[0] ?? [null, null];
  if (now === null || now === undefined) return null;
  const change = Number(before) === 0 ? '' : `, ${Number(now) >= Number(before) ? '+' : '−'}${Math.abs(Math.round((Number(now) / Number(before) - 1) * 100))} % on the hour before`;
  return <span class="soft">last hour {count.format(Number(now))}{change}</span>;
}

function NewestPosts({ filter, since, ready }: { filter: Filter; since: number | undefined; ready: boolean }) {
  const [paused, setPaused] = useState(false);
  const key = `newest ${JSON.stringify(filter)} ${ready} ${paused}`;
  const [kept, setKept] = useState<LabelledPosts>();
  const loaded = useLoad(key, async (signal) => {
    if (paused || !ready) return kept;
    const found = await loadNewest(filter, since, signal);
    setKept(found);
    return found;
  }, 3_000);
  const shown = paused ? kept : loaded.data;
  return (
    <section class="card" aria-labelledby="newest">
      <div class="row">
        <h2 id="newest">Newest posts</h2>
        <button type="button" class="quiet" aria-pressed={paused} onClick={() => setPaused(!paused)}>{paused ? 'Go on' : 'Hold still'}</button>
      </div>
      {loaded.error && <Problem error={loaded.error} />}
      {shown && <Posts loaded={shown} />}
    </section>
  );
}

async function loadNewest(filter: Filter, since: number | undefined, signal: AbortSignal): Promise<LabelledPosts> {
  const posts = await sql(newestSql(filter, since, 30), [], signal);
  const times = posts.rows.map(([at]) => ms(at));
  if (times.length === 0) return { posts, labels: undefined };
  const ids = posts.rows.map((row) => String(row[6]));
  return { posts, labels: await sql(labelsSql(filter.eventId, Math.min(...times), Math.max(...times), ids), [], signal) };
}

async function loadGaps(id: string, signal: AbortSignal): Promise<readonly Gap[]> {
  const { rows } = await sql(gapsSql(0, id), [], signal);
  return rows.map(([, , since, until]) => ({ from: ms(since), to: until === null ? Date.now() : ms(until) })).filter(({ from }) => from > 0);
}

function stepName(stepMs: number | undefined): string {
  if (stepMs === undefined) return 'over time';
  const minutes = stepMs / 60_000;
  if (minutes < 60) return minutes === 1 ? 'per minute' : `per ${minutes} minutes`;
  if (minutes < 1440) return minutes === 60 ? 'per hour' : `per ${minutes / 60} hours`;
  return minutes === 1440 ? 'per day' : `per ${minutes / 1440} days`;
}
