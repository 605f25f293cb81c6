import { useEffect, useRef } from 'preact/hooks';
import { listEvents, sql, type SqlResult } from './api.ts';
import { useLoad } from './hooks.ts';
import { count, Link, Problem } from './parts.tsx';
import type { TimeChart } from './chart.ts';

interface Timeline {
  readonly stepSeconds: number;
  readonly points: readonly (readonly [number, number])[];
  readonly posts: number;
}

// Widths a person reads easily; the one that gives at most 300 bars over the event's own range of time is taken.
const stepsSeconds = [60, 300, 900, 3600, 10800, 21600, 86400];
const barsMax = 300;

async function loadTimeline(id: string, signal: AbortSignal): Promise<Timeline> {
  const range = await sql('select epoch(min(created_at)), epoch(max(created_at)), count(*) from lake.posts where event_id = $1', [id], signal);
  const [first, last, posts] = (range.rows[0] ?? [0, 0, 0]).map(Number);
  const span = (last ?? 0) - (first ?? 0);
  const stepSeconds = stepsSeconds.find((step) => span / step <= barsMax) ?? 86400;
  const found = await sql(`select floor(epoch(created_at) / ${stepSeconds}) * ${stepSeconds} as at, count(*) as posts
    from lake.posts where event_id = $1 group by 1 order by 1`, [id], signal);
  return { stepSeconds, posts: posts ?? 0, points: found.rows.map(([at, n]) => [Number(at) * 1000, Number(n)] as const) };
}

const newestSql = `select created_at, author_handle, text, lang, uri from lake.posts where event_id = $1
  order by created_at desc limit 30`;

export function EventPage({ id }: { id: string }) {
  const events = useLoad('events', () => listEvents(), 10_000);
  const timeline = useLoad(`timeline ${id}`, (signal) => loadTimeline(id, signal), 2_000);
  const newest = useLoad(`newest ${id}`, (signal) => sql(newestSql, [id], signal), 3_000);
  const event = events.data?.find((candidate) => candidate.id === id);
  const error = timeline.error ?? newest.error ?? events.error;
  const example = `select date_trunc('hour', created_at) as hour, count(*) as posts\nfrom lake.posts where event_id = '${id}'\ngroup by 1 order by 1`;
  return (
    <>
      <div>
        <Link to="/">Events</Link>
        <div class="row"><h1>{event?.name ?? id}</h1>{event && <span class="badge">{event.status}</span>}</div>
        <div class="soft">{event?.description}</div>
      </div>
      {error && <Problem error={error} />}
      <section class="card" aria-labelledby="timeline">
        <div class="row">
          <h2 id="timeline">Posts {stepName(timeline.data?.stepSeconds)}</h2>
          <span class="soft">{count.format(timeline.data?.posts ?? 0)} in all</span>
          <Link to={`/sql?q=${encodeURIComponent(example)}`}>as SQL</Link>
        </div>
        <Chart points={timeline.data?.points ?? []} />
      </section>
      <section class="card" aria-labelledby="newest">
        <h2 id="newest">Newest posts</h2>
        {newest.data && <Posts result={newest.data} />}
      </section>
    </>
  );
}

function stepName(seconds: number | undefined): string {
  if (seconds === undefined) return 'over time';
  if (seconds === 60) return 'per minute';
  if (seconds < 3600) return `per ${seconds / 60} minutes`;
  if (seconds === 3600) return 'per hour';
  return seconds === 86400 ? 'per day' : `per ${seconds / 3600} hours`;
}

function Chart({ points }: { points: Timeline['points'] }) {
  const holder = useRef<HTMLDivElement>(null);
  const chart = useRef<Promise<TimeChart>>(undefined);
  useEffect(() => {
    const element = holder.current;
    if (element === null) return undefined;
    // The chart library is four times the page: it comes when the first chart does.
    const made = import('./chart.ts').then(({ createTimeChart }) => createTimeChart(element));
    chart.current = made;
    return () => void made.then((instance) => instance.dispose());
  }, []);
  useEffect(() => {
    void chart.current?.then((instance) => instance.show(points));
  }, [points]);
  const total = points.reduce((sum, [, n]) => sum + n, 0);
  return <div ref={holder} class="chart" role="img" aria-label={`Bar chart of ${total} posts over time; "as SQL" gives the numbers`} />;
}

function Posts({ result }: { result: SqlResult }) {
  if (result.rows.length === 0) {
    return <p class="soft">No post has arrived yet. A live event shows its first within seconds; the sample floods within half a minute.</p>;
  }
  return (
    <ul class="posts">
      {result.rows.map(([at, handle, text, lang, uri]) => (
        <li key={String(uri ?? text)}>
          <div class="soft">
            <time dateTime={String(at)}>{String(at).replace('T', ' ').slice(0, 16)} UTC</time>
            {handle !== null && <> · @{String(handle)}</>}{lang !== null && <> · {String(lang)}</>}
          </div>
          <p dir="auto">{String(text)}</p>
        </li>
      ))}
    </ul>
  );
}
