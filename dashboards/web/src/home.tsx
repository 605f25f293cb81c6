import { useState } from 'preact/hooks';
import { type EventView, listEvents, sql } from './api.ts';
import { EventDialog } from './eventform.tsx';
import { useLoad } from './hooks.ts';
import { count, Link, Problem, Spark } from './parts.tsx';
import { collectorsSql, gapsSql, sparksSql } from './queries.ts';
import { go } from './state.ts';

interface Activity {
  readonly posts: number;
  readonly bars: readonly number[];
}

interface Health {
  /** Source → what its collector said last. */
  readonly sources: ReadonlyMap<string, string>;
  /** Event → open gaps; '' for gaps of all events. */
  readonly gaps: ReadonlyMap<string, number>;
}

const steps = 48;
const dayMs = 86_400_000;

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

async function loadHealth(signal: AbortSignal): Promise<Health> {
  const since = Date.now() - 7 * dayMs;
  const [collectors, gaps] = await Promise.all([sql(collectorsSql(since), [], signal), sql(gapsSql(since), [], signal)]);
  const open = new Map<string, number>();
  for (const [, event, , , , filledAt] of gaps.rows) {
    if (filledAt === null) open.set(String(event ?? ''), (open.get(String(event ?? '')) ?? 0) + 1);
  }
  return { sources: new Map(collectors.rows.map(([source, kind]) => [String(source), String(kind)])), gaps: open };
}

export function HomePage() {
  const events = useLoad('events', () => listEvents(), 5_000);
  const activity = useLoad('activity', loadActivity, 5_000);
  const health = useLoad('health', loadHealth, 15_000);
  const [creating, setCreating] = useState(false);
  return (
    <>
      <div class="row"><h1>Events</h1><button type="button" onClick={() => setCreating(true)}>Follow an event</button></div>
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
        {events.data?.map((event) => <EventCard key={event.id} event={event} activity={activity.data?.get(event.id)} health={health.data} />)}
      </div>
    </>
  );
}

function EventCard({ event, activity, health }: { event: EventView; activity: Activity | undefined; health: Health | undefined }) {
  const posts = activity?.posts ?? 0;
  const gaps = (health?.gaps.get(event.id) ?? 0) + (health?.gaps.get('') ?? 0);
  return (
    <Link to={`/event/${encodeURIComponent(event.id)}`} class="card event-card">
      <div class="row"><h2 style="margin:0">{event.name}</h2><span class="badge">{event.status}</span></div>
      <Spark values={activity?.bars ?? []} label={`Posts of ${event.name} over its time, ${posts} in all`} />
      <div class="numbers"><span><b>{count.format(posts)}</b>posts</span></div>
      <div class="row">
        {event.sources.map((source) => {
          const said = health?.sources.get(source);
          return <span key={source} class={`badge ${said === 'disconnected' ? 'bad' : ''}`}>{source}{said === undefined ? '' : `: ${said.replaceAll('_', ' ')}`}</span>;
        })}
        {gaps > 0 && <span class="badge bad">{gaps} open {gaps === 1 ? 'gap' : 'gaps'}</span>}
      </div>
      <div class="soft">{event.description.slice(0, 160)}</div>
    </Link>
  );
}
