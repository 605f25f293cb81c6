import { listEvents, sql, type SqlResult } from './api.ts';
import type { Gap } from './bars.ts';
import { EventHead } from './eventhead.tsx';
import { type Filter, filterOf, isFiltered, needsPosts } from './filter.ts';
import { FilterBar } from './filterbar.tsx';
import { useLoad } from './hooks.ts';
import { NewestPosts } from './newest.tsx';
import { Languages, Legend, Terms, TimelineTable } from './panels.tsx';
import { count, Link, Problem } from './parts.tsx';
import { gapsSql, languagesSql, matchingMomentumSql, momentumSql, sampleSql, shownSql, termsSql } from './queries.ts';
import { place, setParams } from './state.ts';
import { TimeChart } from './timechart.tsx';
import { loadTimeline, ms, samplePosts, searchedPosts, type Timeline } from './timeline.ts';

const noGaps: readonly Gap[] = [];

export function EventPage({ id }: { id: string }) {
  const params = place.value.searchParams;
  const filter = filterOf(id, params);
  const key = JSON.stringify(filter);
  const events = useLoad('events', () => listEvents(), 10_000);
  const timeline = useLoad(`timeline ${key}`, (signal) => loadTimeline(filter, signal), isFiltered(filter) ? 15_000 : 5_000);
  const gaps = useLoad(`gaps ${id}`, (signal) => loadGaps(id, signal), 30_000);
  const shown = timeline.data;
  // Counts know their answer at once; a sample needs to know how far back it goes.
  const since = needsPosts(filter) || filter.kind !== '' ? shown?.sampleSince ?? 'later' : undefined;
  const terms = useLoad(`terms ${key} ${since === 'later'}`, async (signal) => (since === 'later' ? undefined : await loadTerms(filter, since, signal)), 15_000);
  const event = events.data?.find((candidate) => candidate.id === id);
  if (events.data !== undefined && event === undefined) return <Unknown id={id} />;
  const error = timeline.error ?? events.error ?? terms.error;
  const searched = shown?.boundedSince === undefined ? filter : { ...filter, from: Math.max(shown.boundedSince, filter.from ?? 0) };
  return (
    <>
      <EventHead id={id} event={event} />
      {error && <Problem error={error} />}
      <FilterBar filter={filter} end={shown?.last} statement={shownSql(searched, shown?.unit ?? 'hour', shown?.counted ?? true)}
        languages={(terms.data?.languages.rows ?? []).map(([lang]) => String(lang ?? ''))} />
      <section class="card" aria-labelledby="timeline">
        <div class="row">
          <h2 id="timeline">Posts {stepName(shown?.stepMs)}, by kind of information</h2>
          <span class="spread" />
          <button type="button" class="quiet small" aria-pressed={params.has('table')} onClick={() => setParams({ table: params.has('table') ? undefined : '1' }, true)}>
            {params.has('table') ? 'Show the chart' : 'Show the numbers'}
          </button>
        </div>
        <Volume filter={filter} timeline={shown} />
        {shown && params.has('table') ? <TimelineTable timeline={shown} /> : <TimeChart timeline={shown} gaps={gaps.data ?? noGaps} />}
        {shown && shown.posts > 0 && <Legend timeline={shown} kind={filter.kind} />}
        <p class="soft">Draw over the chart to see a part of the time, in every panel; shaded times were not collected.
          {shown?.boundedSince !== undefined && ` The event is large: words were looked for in its newest ${count.format(searchedPosts)} posts. Choose a time to look further back.`}</p>
      </section>
      <div class="cards">
        <Languages result={terms.data?.languages} />
        <Terms result={terms.data?.terms} />
      </div>
      {terms.data?.sampled === true && <p class="soft">Languages and terms are those of the newest {count.format(samplePosts)} posts that fit.</p>}
      <NewestPosts filter={filter} since={shown?.recent} ready={shown !== undefined} />
    </>
  );
}

function Unknown({ id }: { id: string }) {
  return (
    <div class="card">
      <h1>There is no event {id}</h1>
      <p>It may have been deleted, or the address was cut short. <Link to="/">All events</Link></p>
    </div>
  );
}

interface TermsFound {
  readonly languages: SqlResult;
  readonly terms: SqlResult;
  readonly sampled: boolean;
}

/** From the counts where they know the answer, else from a sample of the newest posts that fit. */
async function loadTerms(filter: Filter, sampleSince: number | undefined, signal: AbortSignal): Promise<TermsFound> {
  if (sampleSince === undefined) {
    const [languages, terms] = await Promise.all([sql(languagesSql(filter), [], signal), sql(termsSql(filter, 10), [], signal)]);
    return { languages, terms, sampled: false };
  }
  const { columns, rows, rowCount } = await sql(sampleSql(filter, sampleSince, samplePosts, 10), [], signal);
  const ofKind = (isLang: boolean): typeof rows => rows.filter(([kind]) => (kind === 'lang') === isLang);
  return { languages: { columns, rowCount, rows: ofKind(true).map((row) => row.slice(1)) }, terms: { columns, rowCount, rows: ofKind(false) }, sampled: true };
}

/** How much is shown, and the last hour against the one before, at the end of what is shown. */
function Volume({ filter, timeline }: { filter: Filter; timeline: Timeline | undefined }) {
  const end = timeline === undefined || timeline.posts === 0 ? 0 : Math.min(timeline.last, filter.to ?? timeline.last);
  const loaded = useLoad(`momentum ${JSON.stringify(filter)} ${end}`, async (signal) => {
    if (end === 0) return undefined;
    return await sql(needsPosts(filter) || filter.kind !== '' ? matchingMomentumSql(filter, end) : momentumSql(filter.eventId, end), [], signal);
  }, 60_000);
  const [now, before] = (loaded.data?.rows[0] ?? []).map((cell) => Number(cell ?? 0));
  const change = now === undefined || before === undefined || before === 0 ? undefined : Math.round((now / before - 1) * 100);
  return (
    <div class="numbers">
      <span role="status"><b>{timeline ? count.format(timeline.posts) : '…'}</b>{isFiltered(filter) ? 'posts fit' : 'posts in all'}</span>
      {now !== undefined && <span><b>{count.format(now)}</b>in the last hour{filter.to === undefined ? '' : ' of this time'}</span>}
      {before !== undefined && <span><b>{count.format(before)}</b>in the hour before</span>}
      {change !== undefined && <span><b>{change > 0 ? '+' : change < 0 ? '−' : '±'}{Math.abs(change)} %</b>against the hour before</span>}
    </div>
  );
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
