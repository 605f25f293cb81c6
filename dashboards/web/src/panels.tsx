import type { SqlResult } from './api.ts';
import { kindName, kinds } from './filter.ts';
import { languageName } from './filterbar.tsx';
import { count } from './parts.tsx';
import { setParams } from './state.ts';
import type { Timeline } from './timeline.ts';

function sum(series: Timeline['series'][number]): number {
  return series.points.reduce((total, [, posts]) => total + posts, 0);
}

/** Which colour is which kind, with its number; each is a button that shows only this kind. */
export function Legend({ timeline, kind }: { timeline: Timeline; kind: string }) {
  return (
    <ul class="legend" aria-label="Kinds of information">
      {timeline.series.map((series) => {
        const name = kindName(series.label);
        const swatch = <span class="swatch" style={{ background: kinds.find(({ label }) => label === series.label)?.color }} />;
        const text = <>{swatch}{name} <b>{count.format(sum(series))}</b></>;
        if (series.label === '') return <li key="none">{text}</li>;
        const on = kind === series.label;
        return (
          <li key={series.label}>
            <button type="button" class="chip" aria-pressed={on} onClick={() => setParams({ kind: on ? undefined : series.label })}>{text}</button>
          </li>
        );
      })}
    </ul>
  );
}

/** The numbers of the chart as a table, for who does not see it or wants to copy it. */
export function TimelineTable({ timeline }: { timeline: Timeline }) {
  const steps = [...new Set(timeline.series.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  const values = timeline.series.map(({ points }) => new Map(points));
  return (
    <div class="table-wrap" tabIndex={0} role="region" aria-label="Numbers of the chart">
      <table>
        <thead><tr><th scope="col">Begin (UTC)</th>{timeline.series.map(({ label }) => <th key={label} scope="col">{kindName(label)}</th>)}</tr></thead>
        <tbody>
          {steps.map((at) => (
            <tr key={at}><td>{new Date(at).toISOString().slice(0, 16).replace('T', ' ')}</td>
              {values.map((points, index) => <td key={index} class="number">{points.get(at) ?? 0}</td>)}</tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

/** A short list of values with their counts as bars. `choose` makes a value a button that filters by it. */
function Ranking({ title, rows, choose, empty }: {
  title: string; empty: string | undefined; rows: readonly { readonly value: string; readonly name: string; readonly posts: number }[]; choose?: (value: string) => void;
}) {
  const most = Math.max(1, ...rows.map(({ posts }) => posts));
  return (
    <section class="card">
      <h2>{title}</h2>
      {rows.length === 0 && <p class="soft">{empty ?? 'loading…'}</p>}
      <ol class="ranking">
        {rows.map(({ value, name, posts }) => (
          <li key={value}>
            {choose === undefined ? <bdi>{name}</bdi>
              : <button type="button" class="plain" onClick={() => choose(value)} aria-label={`Only posts with ${name}`}><bdi>{name}</bdi></button>}
            <span class="number">{count.format(posts)}</span>
            <span class="bar" style={{ width: `${(posts / most) * 100}%` }} aria-hidden="true" />
          </li>
        ))}
      </ol>
    </section>
  );
}

export function Languages({ result }: { result: SqlResult | undefined }) {
  const rows = (result?.rows ?? []).map(([lang, posts]) => ({ value: String(lang ?? ''), name: languageName(String(lang ?? '')), posts: Number(posts) }));
  return <Ranking title="Languages" rows={rows} empty={result === undefined ? undefined : 'No post here says, or was told, its language.'} choose={(lang) => lang !== '' && setParams({ lang })} />;
}

const termKinds = [
  { kind: 'hashtag', title: 'Hashtags', mark: '#', empty: 'No hashtag in these posts.' },
  { kind: 'word', title: 'Words', mark: '', empty: 'Words are counted within a minute of the first posts.' },
  { kind: 'domain', title: 'Links to', mark: '', empty: 'No link in these posts.' },
  { kind: 'mention', title: 'Mentioned accounts', mark: '@', empty: 'Nobody is mentioned in these posts.' },
  { kind: 'author', title: 'Most active accounts', mark: '@', empty: 'These posts do not say who wrote them, as those of some archives.' },
] as const;

export function Terms({ result }: { result: SqlResult | undefined }) {
  return (
    <>
      {termKinds.map(({ kind, title, mark, empty }) => {
        const rows = (result?.rows ?? []).filter(([of]) => of === kind)
          .map(([, value, posts]) => ({ value: String(value), name: `${mark}${String(value)}`, posts: Number(posts) }));
        const inText = kind === 'hashtag' || kind === 'word' || kind === 'mention';
        return <Ranking key={kind} title={title} rows={rows} empty={result === undefined ? undefined : empty} {...(inText ? { choose: (value: string) => setParams({ any: `${mark}${value}` }) } : {})} />;
      })}
    </>
  );
}
