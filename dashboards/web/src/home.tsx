import { listEvents, sql, type EventView } from './api.ts';
import { useLoad } from './hooks.ts';
import { count, Link, Problem, Spark } from './parts.tsx';

interface Activity {
  readonly posts: number;
  readonly bars: readonly number[];
}

/** Each event's posts over the event's own time, cut into `steps` bars. */
const steps = 48;
const activitySql = `
  with spans as (select event_id, min(created_at) as first, max(created_at) as last from lake.posts group by event_id)
  select p.event_id, cast(floor((epoch(p.created_at) - epoch(s.first)) / greatest(1, epoch(s.last) - epoch(s.first) + 1) * ${steps}) as integer) as step,
    count(*) as posts
  from lake.posts p join spans s on s.event_id = p.event_id group by 1, 2`;

async function loadActivity(signal: AbortSignal): Promise<Map<string, Activity>> {
  const { rows } = await sql(activitySql, [], signal);
  const found = new Map<string, { posts: number; bars: number[] }>();
  for (const [id, step, posts] of rows) {
    const entry = found.get(String(id)) ?? { posts: 0, bars: Array.from({ length: steps }, () => 0) };
    entry.posts += Number(posts);
    entry.bars[Number(step)] = Number(posts);
    found.set(String(id), entry);
  }
  return found;
}

export function HomePage() {
  const events = useLoad('events', () => listEvents(), 5_000);
  const activity = useLoad('activity', loadActivity, 3_000);
  return (
    <>
      <h1>Events</h1>
      {events.error && <Problem error={events.error} />}
      {events.data?.length === 0 && (
        <div class="card">
          <h2>Nothing is followed yet</h2>
          <p>Create an event with <code>watershed events create "River flood" --any flood,"high water"</code>, load an archive
            with <code>watershed load FILE --event NAME</code>, or start on an empty folder to see the sample floods.</p>
        </div>
      )}
      <div class="cards">
        {events.data?.map((event) => <EventCard key={event.id} event={event} activity={activity.data?.get(event.id)} />)}
      </div>
    </>
  );
}

function EventCard({ event, activity }: { event: EventView; activity: Activity | undefined }) {
  const posts = activity?.posts ?? 0;
  return (
    <Link to={`/event/${encodeURIComponent(event.id)}`} class="card event-card">
      <div class="row"><h2 style="margin:0">{event.name}</h2><span class="badge">{event.status}</span></div>
      <Spark values={activity?.bars ?? []} label={`Posts of ${event.name} over its time, ${posts} in all`} />
      <div class="numbers"><span><b>{count.format(posts)}</b>posts</span></div>
      <div class="soft">{event.description.slice(0, 160)}</div>
    </Link>
  );
}
