import { useEffect, useMemo, useRef } from 'preact/hooks';
import type { Answer } from './ask.ts';
import { count, isNumeric } from './parts.tsx';
import type { Plot } from './plot.ts';
import { defaultAxes, plotData } from './plotdata.ts';
import { place, setParams } from './state.ts';

const kindNames = [['bar', 'Bars'], ['line', 'Lines'], ['scatter', 'Points']] as const;

/** A chart of the result; which columns it shows stands in the address. */
export function PlotView({ answer }: { answer: Answer }) {
  const { columns, rows } = answer;
  const params = place.value.searchParams;
  const usual = defaultAxes(columns);
  const known = (name: string | null, otherwise: string): string => (name === '-' ? '' : name !== null && columns.some((column) => column.name === name) ? name : otherwise);
  const [x, y, by] = [known(params.get('x'), usual?.x ?? ''), known(params.get('y'), usual?.y ?? ''), known(params.get('by'), usual?.by ?? '')];
  const kind = kindNames.find(([name]) => name === params.get('kind'))?.[0] ?? (columns.find(({ name }) => name === x)?.type.startsWith('TIMESTAMP') === true ? 'line' : 'bar');
  const data = useMemo(() => plotData(columns, rows, x, y, by), [answer.version, x, y, by]);
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<Promise<Plot | undefined>>(undefined);
  useEffect(() => {
    const element = holder.current;
    if (element === null) return undefined;
    const made = import('./plot.ts').then(({ createPlot }) => createPlot(element)).catch(() => undefined); // the table below has the numbers
    plot.current = made;
    return () => void made.then((instance) => instance?.dispose());
  }, []);
  useEffect(() => void plot.current?.then((instance) => instance?.show(data, kind)), [data, kind]);
  const choice = (label: string, name: string, value: string, names: readonly string[], none?: string) => (
    <label class="inline">{label}
      <select value={value} onChange={(event) => setParams({ [name]: event.currentTarget.value || '-' }, true)}>
        {none !== undefined && <option value="">{none}</option>}
        {names.map((option) => <option key={option} value={option}>{option}</option>)}
      </select>
    </label>
  );
  const numbers = columns.filter(({ type }) => isNumeric(type)).map(({ name }) => name);
  if (usual === undefined) return <p class="soft">A chart needs a column of numbers and another to draw it over. Count something: <code>select lang, count(*) from lake.posts group by 1</code>.</p>;
  const label = `Chart of ${y} over ${x}: ${data.series.map((series) => `${series.name}, ${series.points.length} points`).join('; ')}. The table below has the numbers.`;
  return (
    <div>
      <div class="row">
        <label class="inline">Draw
          <select value={kind} onChange={(event) => setParams({ kind: event.currentTarget.value }, true)}>{kindNames.map(([name, text]) => <option key={name} value={name}>{text}</option>)}</select>
        </label>
        {choice('of', 'y', y, numbers)}
        {choice('over', 'x', x, columns.map(({ name }) => name))}
        {choice('for each', 'by', by, columns.map(({ name }) => name), 'nothing')}
      </div>
      <div ref={holder} class="chart" role="img" aria-label={label} />
      {data.left > 0 && <p class="soft">{count.format(data.left)} of {count.format(rows.length)} rows are not drawn: they have no number, or there are too many to tell apart.</p>}
    </div>
  );
}
