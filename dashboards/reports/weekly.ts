import { type Answers, type Document, instantText, type Layout, type Parameters, within } from './layout.ts';

/** How collecting went: posts per day and network, gaps, what was set aside. About all events. */
export const weeklyReport: Layout = {
  name: 'collection-week',
  title: 'Weekly collection report',
  description: 'Seven days of collecting: posts by day and network, gaps, records set aside',
  hours: 168,
  questions({ period }) {
    return {
      days: `select date_trunc('day', minute) as day, source, sum(posts) as posts from lake.activity where ${within('minute', period)} group by 1, 2 order by 1, 2`,
      events: `select event_id, sum(posts) as posts from lake.activity where ${within('minute', period)} group by 1 order by 2 desc, 1 limit 50`,
      gaps: `select source, since, max(until) as until, max(cause) as cause, max(filled_at) as filled_at from lake.journal
where kind = 'gap' and ${within('since', period)} group by 1, 2 order by 2`,
      quarantine: `select component, reason, count(*) as records from lake.quarantine where ${within('"at"', period)} group by 1, 2 order by 3 desc, 1, 2`,
    };
  },
  compose,
};

const colors = ['#0072b2', '#e69f00', '#009e73', '#cc79a7'];

function compose({ period }: Parameters, answers: Answers): Document {
  const rows = answers['days']?.rows ?? [];
  const days = [...new Set(rows.map(([day]) => String(day)))];
  const sources = [...new Set(rows.map(([, source]) => String(source)))];
  const posts = (day: string, source: string): number => Number(rows.find(([d, s]) => d === day && s === source)?.[2] ?? 0);
  return {
    title: 'Collection report',
    subtitle: `${instantText(period.from)} to ${instantText(period.to)}`,
    sections: [
      { kind: 'table', title: 'Gaps', columns: ['Network', 'From', 'Until', 'Why', 'Filled'], empty: 'No gap in collection is known for this time.',
        rows: (answers['gaps']?.rows ?? []).map(([source, since, until, cause, filled]) =>
          [source ?? null, instantText(since), until === null ? 'still open' : instantText(until), cause ?? null, filled === null ? 'no' : instantText(filled)]) },
      { kind: 'bars', title: 'Posts per day, by network', bars: {
        steps: days.map((day) => day.slice(0, 10)),
        series: sources.map((name, index) => ({ name, color: colors[index % colors.length] ?? '', values: days.map((day) => posts(day, name)) })),
      } },
      { kind: 'table', title: 'Events', columns: ['Event', 'Posts'], rows: answers['events']?.rows ?? [], empty: 'No event had a post.' },
      { kind: 'table', title: 'Records set aside', columns: ['Component', 'Reason', 'Records'], rows: answers['quarantine']?.rows ?? [], empty: 'None.' },
    ],
  };
}
