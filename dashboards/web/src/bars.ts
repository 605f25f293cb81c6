import { aligned, type Series } from './timeline.ts';

export interface Gap {
  readonly from: number;
  readonly to: number;
}

/** What is drawn, in pixels from the upper left; times in ms since 1970, UTC. */
export interface BarsLayout {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
  /** One outline per series, over all its bars. */
  readonly outlines: readonly { readonly label: string; readonly d: string }[];
  readonly times: readonly { readonly x: number; readonly text: string }[];
  readonly values: readonly { readonly y: number; readonly text: string }[];
  readonly gaps: readonly { readonly x: number; readonly width: number }[];
  /** The time at a place from left to right, kept within what is drawn. */
  readonly timeAt: (x: number) => number;
  /** The begin of the step at that place. */
  readonly stepAt: (x: number) => number;
}

const count = new Intl.NumberFormat('en');
const margin = { left: 52, right: 12, top: 12, bottom: 28 };
// A part of a step stays free, so that bars can be told apart.
const barShare = 0.88;
const minuteMs = 60_000;
const dayMs = 1440 * minuteMs;
const tickStepsMs = [
  ...[1, 2, 5, 10, 15, 30, 60, 120, 180, 360, 720].map((minutes) => minutes * minuteMs),
  ...[1, 2, 7, 14, 28, 91, 182, 364].map((days) => days * dayMs),
];
const pixelsPerTime = 90;

/** Stacked bars over time for a place of `width` by `height` pixels. Linear in the number of points. */
export function barsLayout(
  series: readonly Series[], stepMs: number, gaps: readonly Gap[], width: number, height: number,
): BarsLayout {
  const lists = aligned(series);
  const steps = lists[0]?.points.map(([at]) => at) ?? [];
  const first = steps[0] ?? 0;
  const last = (steps.at(-1) ?? first) + stepMs;
  const { left, top } = margin;
  const [right, bottom] = [Math.max(left + 1, width - margin.right), height - margin.bottom];
  const x = (at: number): number => left + ((at - first) / (last - first)) * (right - left);
  const sums = steps.map((_, index) => lists.reduce((sum, { points }) => sum + (points[index]?.[1] ?? 0), 0));
  const scale = valueScale(sums.reduce((most, sum) => Math.max(most, sum), 1));
  const y = (posts: number): number => bottom - (posts / scale.most) * (bottom - top);
  const barWidth = Math.max(1, x(first + stepMs * barShare) - left);
  const below = steps.map(() => 0);
  const outlines = lists.map(({ label, points }) => ({
    label,
    d: points.map(([at, posts], index) => {
      if (posts === 0) return '';
      const from = below[index] ?? 0;
      below[index] = from + posts;
      return `M${round(x(at))} ${round(y(from))}h${round(barWidth)}V${round(y(from + posts))}h${round(-barWidth)}z`;
    }).join(''),
  }));
  const timeAt = (place: number): number =>
    first + Math.min(1, Math.max(0, (place - left) / (right - left))) * (last - first);
  return {
    left, right, top, bottom, outlines, timeAt,
    times: steps.length === 0 ? []
      : timeTicks(first, last, right - left).map((at) => ({ x: round(x(at)), text: timeText(at, last - first) })),
    values: scale.ticks.map((value) => ({ y: round(y(value)), text: count.format(value) })),
    gaps: steps.length === 0 ? [] : gaps.map(({ from, to }) => ({ from: Math.max(from, first), to: Math.min(to, last) }))
      .filter(({ from, to }) => to > from)
      .map(({ from, to }) => ({ x: round(x(from)), width: Math.max(1, round(x(to) - x(from))) })),
    stepAt: (place) => Math.min(last - stepMs, Math.floor(timeAt(place) / stepMs) * stepMs),
  };
}

function round(pixels: number): number {
  return Math.round(pixels * 10) / 10;
}

/** Whole numbers that a person reads easily, three to six of them, from nought to no less than `most`. */
function valueScale(most: number): { most: number; ticks: number[] } {
  const raw = most / 4;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = Math.max(1, ([1, 2, 5, 10].find((factor) => factor * power >= raw) ?? 10) * power);
  const ticks = Array.from({ length: Math.ceil(most / step) + 1 }, (_, index) => index * step);
  return { most: ticks.at(-1) ?? 1, ticks };
}

function timeTicks(first: number, last: number, pixels: number): number[] {
  const wanted = Math.max(2, Math.floor(pixels / pixelsPerTime));
  const step = tickStepsMs.find((ms) => (last - first) / ms <= wanted)
    ?? Math.ceil((last - first) / wanted / dayMs) * dayMs;
  const ticks: number[] = [];
  for (let at = Math.ceil(first / step) * step; at < last; at += step) ticks.push(at);
  return ticks;
}

/** "06:00"; at midnight the day; the year where years are shown. */
function timeText(at: number, spanMs: number): string {
  const iso = new Date(at).toISOString();
  if (spanMs > 300 * dayMs) return iso.slice(0, 10);
  return at % dayMs === 0 ? `${new Date(at).toLocaleString('en', { month: 'short', timeZone: 'UTC' })} ${Number(iso.slice(8, 10))}` : iso.slice(11, 16);
}
