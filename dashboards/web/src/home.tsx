import { useState } from 'preact/hooks';
import { api, type EventView, listEvents, sql } from './api.ts';
import { EventDialog } from './eventform.tsx';
import { useLoad } from './hooks.ts';
import { landed, useLive } from './live.ts';
import { count, Link, Problem, Spark } from './parts.tsx';
import { gapsSql, paceSql, sparksSql } from './queries.ts';
import { go, place, setParams } from './state.ts';
import { ms } from './timeline.ts';

interface Activity {
  readonly posts: number;
  readonly bars: readonly number[];
}

interface Pace {
  readonly lastMs: number;
  readonly hour: number;
  /** Posts per minute over the last five minutes of the event. */
  readonly perMinute: number;
}

interface Collector {
  readonly source: string;
  readonly state: string;
  readonly message: string | null;
  readonly lagSeconds: number | null;
}

const steps = 48;
const dayMs = 86_400_000;
const minuteMs = 60_000;

async function loadActivity(signal: AbortSignal): Promise<Map<string, Activity>> {
  const { rows } = await sql(sparksSql(steps), [], signal);
  const found = new Map<string, { posts: number; bars: number[] }>();
  for (const [id, step, posts] of rows) {
    const entry = found.get(String(id)) ?? { posts: 0, bars: Array.from({ length: steps }, () => 0) };
    entry.posts += Number(posts);
    entry.bars[Number(step)] = Number(posts);
    found.set(String(id), entry);
  }
  return found;
}

async function loadPace(signal: AbortSignal): Promise<Map<string, Pace>> {
  const { rows } = await sql(paceSql(), [], signal);
  return new Map(rows.map(([id, last, hour, five]) => [String(id), { lastMs: ms(last), hour: Number(hour), perMinute: Number(five) / 5 }]));
}

/** Event → open gaps; '' for gaps of all events. */
async function loadGaps(signal: AbortSignal): Promise<Map<string, number>> {
  const { rows } = await sql(gapsSql(Date.now() - 7 * dayMs), [], signal);
  const open = new Map<string, number>();
  for (const [, event, , , , filledAt] of rows) {
    if (filledAt === null) open.set(String(event ?? ''), (open.get(String(event ?? '')) ?? 0) + 1);
  }
  return open;
}

export function HomePage() {
  useLive();
  const events = useLoad('events', () => listEvents(), 5_000);
  const activity = useLoad('activity', loadActivity, 15_000, landed.value);
  const pace = useLoad('pace', loadPace, 15_000, landed.value);
  const gaps = useLoad('open gaps', loadGaps, 15_000);
  const status = useLoad('collectors', (signal) => api<{ collectors?: readonly Collector[] }>('/api/status', { signal }), 5_000);
  const [creating, setCreating] = useState(false);
  const showArchived = place.value.searchParams.get('archived') === '1';
  const archived = events.data?.filter((event) => event.status === 'archived').length ?? 0;
  return (
    <>
      <div class="row"><h1>Events</h1><span class="spread" />
        {archived > 0 && <button type="button" class="quiet" aria-pressed={showArchived} onClick={() => setParams({ archived: showArchived ? undefined : '1' })}>{showArchived ? 'Hide what is archived' : `Show ${archived} archived`}</button>}
        <button type="button" onClick={() => setCreating(true)}>Follow an event</button></div>
      {creating && <EventDialog done={(event) => {
        setCreating(false);
        if (event !== undefined) go(`/event/${encodeURIComponent(event.id)}`);
      }} />}
      {events.error && <Problem error={events.error} />}
      {events.data?.length === 0 && (
        <div class="card">
          <h2>Nothing is followed yet</h2>
          <p>Press <b>Follow an event</b>, load an archive with <code>watershed load FILE --event NAME</code>, or start on an empty
            folder to see the sample floods.</p>
        </div>
      )}
      <div class="cards">
        {events.data?.filter((event) => showArchived || event.status !== 'archived').map((event) => (
          <EventCard key={event.id} event={event} activity={activity.data?.get(event.id)} pace={pace.data?.get(event.id)}
            collectors={status.data?.collectors ?? []} gaps={(gaps.data?.get(event.id) ?? 0) + (gaps.data?.get('') ?? 0)} />
        ))}
      </div>
    </>
  );
}

function EventCard({ event, activity, pace, collectors, gaps }: {
  event: EventView; activity: Activity | undefined; pace: Pace | undefined; collectors: readonly Collector[]; gaps: number;
}) {
  const posts = activity?.posts ?? 0;
  const isLive = pace !== undefined && Date.now() - pace.lastMs < 15 * minuteMs;
  return (
    <Link to={`/event/${encodeURIComponent(event.id)}`} class="card event-card">
      <div class="row"><h2>{event.name}</h2><span class="badge">{event.status}</span></div>
      <Spark values={activity?.bars ?? []} label={`Posts of ${event.name} over its time, ${posts} in all`} />
      <div class="numbers">
        <span><b>{count.format(posts)}</b>posts</span>
        {pace && <span><b>{pace.perMinute >= 10 ? Math.round(pace.perMinute) : pace.perMinute.toFixed(1)}</b>posts/min{isLive ? '' : ' at its end'}</span>}
        {pace && <span><b>{count.format(pace.hour)}</b>in {isLive ? 'the' : 'its'} last hour</span>}
      </div>
      <div class="soft">{pace === undefined ? 'No post counted yet: counts follow the posts within half a minute.' : `newest ${ago(pace.lastMs)}`}</div>
      <div class="row">
        {event.sources.map((source) => <SourceBadge key={source} source={source} collector={collectors.find((one) => one.source === source)} active={event.status === 'active'} />)}
        {event.sources.length === 0 && <span class="badge">archive</span>}
        {gaps > 0 && <span class="badge bad">{gaps} open {gaps === 1 ? 'gap' : 'gaps'}</span>}
      </div>
      <div class="soft clamped">{event.description}</div>
    </Link>
  );
}

/** What the collector of a source says of itself, where this event asks for it. */
function SourceBadge({ source, collector, active }: { source: string; collector: Collector | undefined; active: boolean }) {
  const said = !active || collector === undefined ? '' : `: ${collector.state}`;
  const bad = active && (collector?.state === 'disconnected' || collector?.state === 'failed' || collector?.state === 'stopped');
  const late = active && (collector?.lagSeconds ?? 0) > 120 ? `, ${Math.round((collector?.lagSeconds ?? 0) / 60)} min behind` : '';
  return <span class={`badge ${bad || late !== '' ? 'bad' : ''}`} title={collector?.message ?? undefined}>{source}{said}{late}</span>;
}

function ago(at: number): string {
  const minutes = Math.round((Date.now() - at) / minuteMs);
  if (minutes < 2) return 'just now';
  if (minutes < 120) return `${minutes} minutes ago`;
  if (minutes < 2 * 1440) return `${Math.round(minutes / 60)} hours ago`;
  return `on ${new Date(at).toISOString().slice(0, 10)}`;
}
