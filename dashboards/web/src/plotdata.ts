import type { Cell } from './api.ts';
import { cellText, isNumeric } from './parts.tsx';

type Column = { readonly name: string; readonly type: string };
type Point = readonly [x: number | string, y: number];

export interface PlotData {
  readonly axis: 'time' | 'value' | 'category';
  readonly categories: readonly string[];
  readonly series: readonly { readonly name: string; readonly points: readonly Point[] }[];
  /** Rows that are not in it, for there are too many or they have no number. */
  readonly left: number;
}

/** What a chart can show without being a carpet. */
const pointsMax = 5_000;
const categoriesMax = 100;
const seriesMax = 8;

export function isInstant(type: string): boolean {
  return /^(timestamp|date)/i.test(type);
}

/** Column 0 to draw over where it is no number, else the first that is none; every number to draw. */
export function defaultAxes(columns: readonly Column[]): { x: string; y: string; by: string } | undefined {
  const y = columns.findLast(({ type }) => isNumeric(type));
  const x = columns.find(({ type }) => isInstant(type)) ?? columns.find((column) => column !== y);
  if (y === undefined || x === undefined) return undefined;
  const by = isInstant(x.type) ? columns.find((column) => column !== x && column !== y && !isNumeric(column.type) && !isInstant(column.type)) : undefined;
  return { x: x.name, y: y.name, by: by?.name ?? '' };
}

/** The points of column `y` over column `x`, a series for each value of `by` (the most frequent ones). */
export function plotData(columns: readonly Column[], rows: readonly (readonly Cell[])[], x: string, y: string, by: string): PlotData {
  const place = (name: string): number => columns.findIndex((column) => column.name === name);
  const [xAt, yAt, byAt] = [place(x), place(y), by === '' ? -1 : place(by)];
  const type = columns[xAt]?.type ?? '';
  const axis = isInstant(type) ? 'time' : isNumeric(type) ? 'value' : 'category';
  const series = new Map<string, Point[]>();
  const categories = new Set<string>();
  let points = 0;
  for (const row of rows) {
    const value = row[yAt] === null ? NaN : Number(row[yAt]);
    const over = axis === 'time' ? Date.parse(cellText(row[xAt])) : axis === 'value' ? Number(row[xAt]) : cellText(row[xAt]).slice(0, 80);
    const name = byAt === -1 ? y : cellText(row[byAt]).slice(0, 80);
    const list = series.get(name);
    if (!Number.isFinite(value) || (typeof over === 'number' && !Number.isFinite(over)) || points >= pointsMax || (list === undefined && series.size >= seriesMax)) continue;
    if (typeof over === 'string') {
      if (!categories.has(over) && categories.size >= categoriesMax) continue;
      categories.add(over);
    }
    points += 1;
    if (list === undefined) series.set(name, [[over, value]]);
    else list.push([over, value]);
  }
  const sorted = [...series].map(([name, list]) => ({ name, points: axis === 'category' ? list : list.toSorted(([a], [b]) => Number(a) - Number(b)) }));
  return { axis, categories: [...categories], series: sorted, left: rows.length - points };
}
