import { type Answers, type Bars, type Cell, type Document, instantText, type Layout, type Parameters, type Part, type Rows, type Section } from './layout.ts';

/** A report of saved queries: each is shown as a table, as bars or as a number, in the order given. */
export const queriesReport: Layout = {
  name: 'queries',
  title: 'Saved queries',
  description: 'Your own saved queries, each as a table, as bars (step, series, value) or as a number',
  hours: 24,
  questions: ({ content = [] }) => Object.fromEntries(content.map(({ question }, index) => [nameOf(index), question])),
  compose,
};

const palette = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#d55e00', '#56b4e9', '#999999', '#000000'];
// More steps than pixels are no chart; more colours nobody tells apart.
const stepsMax = 400;
const seriesMax = 8;

function nameOf(index: number): string {
  return `part ${index}`;
}

function compose({ title, period, content = [] }: Parameters, answers: Answers): Document {
  const sections: Section[] = [];
  for (const [index, part] of content.entries()) {
    const rows = answers[nameOf(index)] ?? { columns: [], rows: [] };
    const last = sections.at(-1);
    // Numbers that follow each other stand in one table.
    if (part.show !== 'number') sections.push(sectionOf(part, rows));
    else if (last?.kind === 'numbers') sections[sections.length - 1] = { ...last, numbers: [...last.numbers, numberOf(part, rows)] };
    else sections.push({ kind: 'numbers', title: 'Numbers', numbers: [numberOf(part, rows)] });
  }
  return { title: title ?? 'Report', subtitle: `${instantText(period.from)} to ${instantText(period.to)}`, sections };
}

/** The first cell of the first row, against the second where there is one. */
function numberOf({ title }: Part, { rows: [first = []] }: Rows): { name: string; value: number; before: number | undefined } {
  const [value, before] = first.map((cell) => Number(cell ?? 0));
  return { name: title, value: Number.isFinite(value) ? value ?? 0 : 0, before: before === undefined || !Number.isFinite(before) ? undefined : before };
}

function sectionOf({ title, show }: Part, { columns, rows, truncated }: Rows): Section {
  const empty = 'The query returned no row.';
  if (show !== 'bars') return { kind: 'table', title, columns, rows, empty, ...(truncated === true ? { cut: true } : {}) };
  const bars = rows.length === 0 ? undefined : barsOf(columns, rows);
  if (bars === undefined) return { kind: 'notice', title, text: rows.length === 0 ? empty : 'Bars need a step and a number: (step, number…) or (step, series, number).' };
  const cut = truncated === true || bars.steps.length > stepsMax;
  const first = Math.max(0, bars.steps.length - stepsMax);
  return {
    kind: 'bars', title: cut ? `${title} (the last ${Math.min(stepsMax, bars.steps.length)} steps)` : title,
    bars: { steps: bars.steps.slice(first), series: bars.series.map((series) => ({ ...series, values: series.values.slice(first) })) },
  };
}

/** (step, series, number) is turned round; (step, number…) has a series per column. Undefined for neither. */
function barsOf(columns: readonly string[], rows: readonly (readonly Cell[])[]): Bars | undefined {
  const isNumber = (index: number): boolean => rows.every((row) => row[index] === null || (row[index] !== '' && Number.isFinite(Number(row[index]))));
  const triples = columns.length === 3 && !isNumber(1) && isNumber(2);
  if (!triples && !(columns.length >= 2 && isNumber(1))) return undefined;
  const steps = [...new Set(rows.map(([step]) => stepText(step)))];
  const at = new Map(steps.map((step, index) => [step, index]));
  const sums = new Map<string, number[]>();
  const add = (series: string, step: string, value: Cell | undefined): void => {
    const values = sums.get(series) ?? steps.map(() => 0);
    const index = at.get(step) ?? 0;
    values[index] = (values[index] ?? 0) + Number(value ?? 0);
    sums.set(series, values);
  };
  for (const row of rows) {
    const step = stepText(row[0]);
    if (triples) add(String(row[1] ?? '–'), step, row[2]);
    else columns.slice(1).forEach((name, index) => isNumber(index + 1) && add(name, step, row[index + 1]));
  }
  return { steps, series: fewer([...sums]).map(([name, values], index) => ({ name, color: palette[index % palette.length] ?? '', values })) };
}

/** The largest keep their names, the rest are one. */
function fewer(series: [string, number[]][]): [string, number[]][] {
  if (series.length <= seriesMax) return series;
  const total = ([, values]: [string, number[]]): number => values.reduce((sum, value) => sum + value, 0);
  const kept = new Set(series.toSorted((a, b) => total(b) - total(a)).slice(0, seriesMax - 1));
  const rest = series.filter((one) => !kept.has(one));
  const others = (rest[0]?.[1] ?? []).map((_value, index) => rest.reduce((sum, [, values]) => sum + (values[index] ?? 0), 0));
  return [...series.filter((one) => kept.has(one)), ['others', others]];
}

/** Instants are shortened to what distinguishes them on an axis. */
function stepText(step: Cell | undefined): string {
  const text = String(step ?? '–');
  const [, day, minute] = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d):\d\d/.exec(text) ?? [];
  if (day === undefined) return text.slice(0, 60);
  return minute === '00:00' ? day : `${day.slice(5)} ${minute}`;
}
