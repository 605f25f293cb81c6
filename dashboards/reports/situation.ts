import { type Answers, type Bars, type Cell, type Document, instantText, type Layout, numberAt, type Parameters, quote, within } from './layout.ts';

const kinds: readonly (readonly [label: string, name: string, color: string])[] = [
  ['affected_individuals', 'Affected people', '#d55e00'],
  ['infrastructure_and_utilities', 'Infrastructure and utilities', '#e69f00'],
  ['caution_and_advice', 'Caution and advice', '#cc79a7'],
  ['donations_and_volunteering', 'Donations and volunteering', '#009e73'],
  ['sympathy_and_support', 'Sympathy and support', '#56b4e9'],
  ['other_useful_information', 'Other useful information', '#0072b2'],
];
const examplesPerKind = 3;

/** The last hours of one event: numbers against the time before, kinds, examples, and what was not collected. */
export const situationReport: Layout = {
  name: 'situation',
  title: 'Situation report',
  description: 'The last 24 hours of an event against the day before',
  hours: 24,
  questions(parameters) {
    const { event, period } = parameters;
    const before = { from: 2 * period.from - period.to, to: period.from };
    const of = `event_id = ${quote(event)}`;
    const totals = (during: typeof period): string => `select coalesce(sum(posts), 0) as posts, coalesce(sum(reposts), 0) as reposts
from lake.activity where ${of} and ${within('minute', during)}`;
    const labels = (during: typeof period): string => `select label, sum(posts) as posts from lake.activity_labels
where ${of} and classifier = 'information_type' and ${within('minute', during)} group by 1 order by 2 desc, 1`;
    return {
      event: `select name, description, status from lake.events where ${of}`,
      now: totals(period), before: totals(before), kinds: labels(period), kindsBefore: labels(before),
      hours: `select date_trunc('hour', minute) as hour, label, sum(posts) as posts from lake.activity_labels
where ${of} and classifier = 'information_type' and ${within('minute', period)} group by 1, 2 order by 1, 2`,
      places: `select place, count(*) as posts from lake.posts where ${of} and place is not null and ${within('created_at', period)}
group by 1 order by 2 desc, 1 limit 10`,
      terms: `select kind, value, posts from (select kind, value, sum(posts) as posts,
  row_number() over (partition by kind order by sum(posts) desc, value) as rank_in_kind
from lake.activity_terms where ${of} and kind in ('hashtag', 'domain') and ${within('hour', period)} group by 1, 2) as ranked
where rank_in_kind <= 10 order by kind, rank_in_kind`,
      examples: `select label, created_at, author_handle, text, uri from (
  select c.label, p.created_at, p.author_handle, p.text, p.uri, row_number() over (partition by c.label order by c.score desc, p.post_id) as best
  from lake.posts p join lake.classifications c on c.event_id = p.event_id and c.source = p.source and c.post_id = p.post_id
  where p.event_id = ${quote(event)} and c.classifier = 'information_type' and p.repost_of_id is null
    and ${within('p.created_at', period)} and ${within('c.created_at', period)}) as ranked
where best <= ${examplesPerKind} order by label, best`,
      gaps: `select source, since, max(until) as until, max(cause) as cause, max(filled_at) as filled_at from lake.journal
where kind = 'gap' and (event_id is null or ${of}) and ${within('since', { from: period.from - 86_400_000, to: period.to })}
group by 1, 2 order by 2`,
    };
  },
  compose,
};

function compose({ event, period }: Parameters, answers: Answers): Document {
  const name = String(answers['event']?.rows[0]?.[0] ?? event);
  return {
    title: `Situation report: ${name}`,
    subtitle: `${instantText(period.from)} to ${instantText(period.to)}`,
    sections: [
      gapsSection(answers, period),
      { kind: 'numbers', title: 'Numbers', numbers: [
        { name: 'Posts', value: numberAt(answers['now']), before: numberAt(answers['before']) },
        { name: 'of them reposts', value: numberAt(answers['now'], 1), before: numberAt(answers['before'], 1) },
        ...kinds.map(([label, title]) => ({ name: title, value: postsOf(answers['kinds']?.rows, label), before: postsOf(answers['kindsBefore']?.rows, label) })),
      ] },
      { kind: 'bars', title: 'Posts per hour, by kind of information', bars: barsOf(answers['hours']?.rows ?? [], period) },
      { kind: 'table', title: 'Examples', columns: ['Kind', 'Time', 'Account', 'Post', 'Address'], empty: 'No post of this time has been labelled.',
        rows: (answers['examples']?.rows ?? []).map(([label, at, handle, text, uri]) =>
          [nameOf(String(label)), instantText(at), handle ?? null, cut(text), uri ?? null]) },
      { kind: 'table', title: 'Places', columns: ['Place', 'Posts'], rows: answers['places']?.rows ?? [], empty: 'No post names a place.' },
      { kind: 'table', title: 'Hashtags and links', columns: ['Kind', 'Value', 'Posts'], rows: answers['terms']?.rows ?? [], empty: 'None were counted.' },
    ],
  };
}

/** First of all: what the numbers below cannot know. */
function gapsSection(answers: Answers, period: Parameters['period']): Document['sections'][number] {
  const touching = (answers['gaps']?.rows ?? []).filter(([, , until]) => until === null || Date.parse(String(until)) > period.from);
  if (touching.length === 0) return { kind: 'notice', title: 'Completeness', text: 'No gap in collection is known for this time.' };
  return {
    kind: 'table', title: 'Gaps: in these times posts were missed', columns: ['Network', 'From', 'Until', 'Why', 'Filled'], empty: '',
    rows: touching.map(([source, since, until, cause, filled]) =>
      [source ?? null, instantText(since), until === null ? 'still open' : instantText(until), cause ?? null, filled === null ? 'no' : instantText(filled)]),
  };
}

function postsOf(rows: readonly (readonly Cell[])[] | undefined, label: string): number {
  return Number(rows?.find(([of]) => of === label)?.[1] ?? 0);
}

function nameOf(label: string): string {
  return kinds.find(([known]) => known === label)?.[1] ?? label;
}

function cut(text: Cell | undefined): string {
  const characters = [...String(text ?? '')];
  return characters.length <= 500 ? characters.join('') : `${characters.slice(0, 499).join('')}…`;
}

function barsOf(rows: readonly (readonly Cell[])[], { from, to }: Parameters['period']): Bars {
  const hour = 3_600_000;
  const begins: number[] = [];
  for (let at = Math.floor(from / hour) * hour; at < to; at += hour) begins.push(at);
  const value = (label: string, at: number): number =>
    rows.filter(([hourOf, of]) => of === label && Date.parse(String(hourOf)) === at).reduce((sum, [, , posts]) => sum + Number(posts), 0);
  return {
    steps: begins.map((at) => new Date(at).toISOString().slice(11, 16)),
    series: kinds.map(([label, name, color]) => ({ name, color, values: begins.map((at) => value(label, at)) })),
  };
}
