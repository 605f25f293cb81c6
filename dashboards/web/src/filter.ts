/**
 * What a person looks at: one event, a range of time, words, a kind of information, a language. It stands in the
 * address.
 */
export interface Filter {
  readonly eventId: string;
  /** Milliseconds since 1970; undefined where the event's own range is meant. */
  readonly from: number | undefined;
  readonly to: number | undefined;
  readonly any: readonly string[];
  readonly all: readonly string[];
  readonly none: readonly string[];
  readonly phrase: string;
  readonly kind: string;
  readonly lang: string;
}

/** The kinds of information, in the order in which they are stacked; the last is for posts without an answer yet. */
export const kinds: readonly { readonly label: string; readonly name: string; readonly color: string }[] = [
  { label: 'affected_individuals', name: 'Affected people', color: '#d55e00' },
  { label: 'infrastructure_and_utilities', name: 'Infrastructure and utilities', color: '#e69f00' },
  { label: 'caution_and_advice', name: 'Caution and advice', color: '#cc79a7' },
  { label: 'donations_and_volunteering', name: 'Donations and volunteering', color: '#009e73' },
  { label: 'sympathy_and_support', name: 'Sympathy and support', color: '#56b4e9' },
  { label: 'other_useful_information', name: 'Other useful information', color: '#0072b2' },
  { label: '', name: 'Not labelled', color: '#8a949b' },
];

export function kindName(label: string): string {
  return kinds.find((kind) => kind.label === label)?.name ?? label.replaceAll('_', ' ');
}

export function filterOf(eventId: string, params: URLSearchParams): Filter {
  const instant = (name: string): number | undefined => {
    const ms = Date.parse(params.get(name) ?? '');
    return Number.isFinite(ms) ? ms : undefined;
  };
  const words = (name: string): string[] => (params.get(name) ?? '').split(',').map((word) => word.trim()).filter((word) => word !== '');
  return {
    eventId, from: instant('from'), to: instant('to'), any: words('any'), all: words('all'), none: words('none'),
    phrase: (params.get('phrase') ?? '').trim(), kind: params.get('kind') ?? '', lang: params.get('lang') ?? '',
  };
}

/** True where the counts by minute cannot answer: they know neither words nor the language of a kind. */
export function needsPosts(filter: Filter): boolean {
  return hasWords(filter) || filter.lang !== '';
}

function hasWords({ any, all, none, phrase }: Filter): boolean {
  return any.length + all.length + none.length > 0 || phrase !== '';
}

export function isFiltered(filter: Filter): boolean {
  return needsPosts(filter) || filter.kind !== '' || filter.from !== undefined || filter.to !== undefined;
}

/** A text literal of SQL. */
export function quote(text: string): string {
  return `'${text.replaceAll('\0', '').replaceAll("'", "''")}'`;
}

/** An instant that DuckDB and Trino read alike. */
export function instantSql(ms: number): string {
  return `cast('${new Date(ms).toISOString().replace('T', ' ').replace('Z', '')} UTC' as timestamp with time zone)`;
}

export function within(column: string, from: number | undefined, to: number | undefined): string[] {
  return [
    ...(from === undefined ? [] : [`${column} >= ${instantSql(from)}`]),
    ...(to === undefined ? [] : [`${column} < ${instantSql(to)}`]),
  ];
}

/** The conditions on `lake.posts as p`; on `lake.classifications as c` too, where a kind is asked for. */
export function conditions(filter: Filter): string[] {
  const has = (word: string): string => `strpos(lower(p.text), ${quote(word.toLowerCase())}) > 0`;
  return [
    `p.event_id = ${quote(filter.eventId)}`,
    ...within('p.created_at', filter.from, filter.to),
    ...(filter.any.length === 0 ? [] : [`(${filter.any.map(has).join(' or ')})`]),
    ...filter.all.map(has),
    ...(filter.phrase === '' ? [] : [has(filter.phrase)]),
    ...filter.none.map((word) => `not ${has(word)}`),
    ...(filter.lang === '' ? [] : [langCondition(filter)]),
    // The bounds again, for whoever keeps the answers apart from the posts: they carry the post's time.
    ...(filter.kind === '' ? [] : [`c.label = ${quote(filter.kind)}`, ...within('c.created_at', filter.from, filter.to)]),
  ];
}

/** Where the network states no language, the classifier's answer counts. */
function langCondition({ eventId, lang, from, to }: Filter): string {
  const terms = [`event_id = ${quote(eventId)}`, "classifier = 'language'", `label = ${quote(lang)}`, ...within('created_at', from, to)];
  return `(p.lang = ${quote(lang)} or p.post_id in (select post_id from lake.classifications where ${terms.join(' and ')}))`;
}
