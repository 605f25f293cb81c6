import { sql } from './api.ts';
import { type Filter, kinds, needsPosts } from './filter.ts';
import { kindsSql, matchingSql, rangeOfPostsSql, rangeSql, totalsSql, type Unit } from './queries.ts';

export interface Series {
  readonly label: string;
  /** [ms since 1970, posts], one per step, in order. */
  readonly points: readonly (readonly [number, number])[];
}

export interface Timeline {
  /** The event's own range of time, ms since 1970. */
  readonly first: number;
  readonly last: number;
  readonly stepMs: number;
  readonly unit: Unit;
  /** False while nothing is counted yet and the posts themselves were asked. */
  readonly counted: boolean;
  readonly series: readonly Series[];
  readonly posts: number;
  /** The begin of a time that holds some hundreds of the newest posts, and of one that holds `samplePosts`. */
  readonly recent: number;
  readonly sampleSince: number;
  /** Where words are looked for only since then, because the event has more posts than are read at once. */
  readonly boundedSince: number | undefined;
}

/** How many of the newest fitting posts languages and terms are taken of, where counts cannot tell. */
export const samplePosts = 5_000;
/** How many posts a search for words reads. */
export const searchedPosts = 500_000;

const minute = 60_000;
// Widths a person reads easily; the one that gives at most 240 bars is taken.
const stepsMs = [1, 5, 15, 60, 180, 360, 1440, 4320, 10080].map((minutes) => minutes * minute);
const barsMax = 240;

export function stepOf(spanMs: number): number {
  return stepsMs.find((step) => spanMs / step <= barsMax) ?? 10080 * minute;
}

export function unitOf(stepMs: number): Unit {
  return stepMs < 60 * minute ? 'minute' : stepMs < 1440 * minute ? 'hour' : 'day';
}

/** Loads the timeline by kind of what the filter leaves. */
export async function loadTimeline(filter: Filter, signal: AbortSignal): Promise<Timeline> {
  const { first, last, counted, posts } = await loadRange(filter.eventId, signal);
  const boundedSince = counted && needsPosts(filter) && posts > searchedPosts ? await searchBegin(filter, signal) : undefined;
  const bounded = boundedSince === undefined ? filter : { ...filter, from: Math.max(boundedSince, filter.from ?? boundedSince) };
  const stepMs = stepOf(Math.min(last, filter.to ?? last) - Math.max(first, bounded.from ?? first));
  const unit = unitOf(stepMs);
  const rows = counted && !needsPosts(filter) ? await countedRows(filter, unit, signal)
    : (await sql(matchingSql(bounded, unit), [], signal)).rows.map(([at, label, posts]) => [ms(at), String(label ?? ''), Number(posts)] as const);
  const series = stack(rows, stepMs);
  return {
    first, last, stepMs, unit, counted, series, recent: recentOf(rows, last, 500), sampleSince: recentOf(rows, last, samplePosts), boundedSince,
    posts: rows.reduce((sum, [, , posts]) => sum + posts, 0),
  };
}

type Row = readonly [at: number, label: string, posts: number];

async function loadRange(eventId: string, signal: AbortSignal): Promise<{ first: number; last: number; counted: boolean; posts: number }> {
  const activity = (await sql(rangeSql(eventId), [], signal)).rows[0];
  const counted = activity?.[0] !== null && activity?.[0] !== undefined;
  const [first, last, posts] = (counted ? activity : (await sql(rangeOfPostsSql(eventId), [], signal)).rows[0]) ?? [null, null];
  return { first: ms(first ?? null), last: ms(last ?? null) + minute, counted, posts: Number(posts ?? 0) };
}

/** Since when the newest `searchedPosts` posts of a range were written; undefined where there are no more. */
async function searchBegin(filter: Filter, signal: AbortSignal): Promise<number | undefined> {
  const { rows } = await sql(totalsSql(filter, 'hour'), [], signal);
  let posts = 0;
  for (const [at, n] of rows.toReversed()) {
    posts += Number(n);
    if (posts > searchedPosts) return ms(at);
  }
  return undefined;
}

async function countedRows(filter: Filter, unit: Unit, signal: AbortSignal): Promise<Row[]> {
  const [labelled, totals] = await Promise.all([
    sql(kindsSql(filter, unit), [], signal),
    filter.kind === '' ? sql(totalsSql(filter, unit), [], signal) : undefined,
  ]);
  const rows: Row[] = labelled.rows.map(([at, label, posts]) => [ms(at), String(label ?? ''), Number(posts)]);
  const answered = new Map<number, number>();
  for (const [at, , posts] of rows) answered.set(at, (answered.get(at) ?? 0) + posts);
  // What has no kind yet, or is not about the crisis, is the rest.
  for (const [at, posts] of totals?.rows ?? []) rows.push([ms(at), '', Math.max(0, Number(posts) - (answered.get(ms(at)) ?? 0))]);
  return rows;
}

/** Rows to one series per kind over equal steps, in the order of `kinds`. */
export function stack(rows: readonly Row[], stepMs: number): Series[] {
  const byLabel = new Map<string, Map<number, number>>();
  for (const [at, label, posts] of rows) {
    const known = kinds.some((kind) => kind.label === label) ? label : '';
    const points = byLabel.get(known) ?? new Map<number, number>();
    const step = Math.floor(at / stepMs) * stepMs;
    points.set(step, (points.get(step) ?? 0) + posts);
    byLabel.set(known, points);
  }
  return kinds.flatMap(({ label }) => {
    const points = [...byLabel.get(label) ?? []].filter(([, posts]) => posts > 0).sort(([a], [b]) => a - b);
    return points.length === 0 ? [] : [{ label, points }];
  });
}

/**
 * The same series with a value at every step that any of them has: ECharts stacks by the position in the list, not by
 * the time, so that lists of different length would float.
 */
export function aligned(series: readonly Series[]): Series[] {
  const steps = [...new Set(series.flatMap(({ points }) => points.map(([at]) => at)))].sort((a, b) => a - b);
  return series.map(({ label, points }) => {
    const posts = new Map(points);
    return { label, points: steps.map((at) => [at, posts.get(at) ?? 0] as const) };
  });
}

/** Goes back from the end until so many posts lie behind: newest posts need not be looked for earlier. */
function recentOf(rows: readonly Row[], last: number, wanted: number): number {
  let posts = 0;
  for (const [at, , n] of rows.toSorted(([a], [b]) => b - a)) {
    posts += n;
    if (posts >= wanted) return at;
  }
  return rows.length === 0 ? last : Math.min(...rows.map(([at]) => at));
}

export function ms(instant: unknown): number {
  return typeof instant === 'string' ? Date.parse(instant) : 0;
}
