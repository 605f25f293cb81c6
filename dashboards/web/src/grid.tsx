import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { Answer } from './ask.ts';
import { cellText, count, isNumeric } from './parts.tsx';

const rowHeight = 29;
/** Rows beyond the edges that are there already when somebody scrolls. */
const spare = 12;
const lookedAt = 200;
const shownChars = 300;

/**
 * The rows of a result, of which only those in sight are in the page: a hundred thousand scroll like ten. Arrow keys,
 * Page Up, Page Down, Home and End move the row that is shown whole below.
 */
export function Grid({ answer }: { answer: Answer }) {
  const { columns, rows } = answer;
  const box = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(480);
  const [current, setCurrent] = useState<number>();
  useEffect(() => {
    const element = box.current;
    if (element === null) return undefined;
    const follow = new ResizeObserver(() => setHeight(element.clientHeight));
    follow.observe(element);
    return () => follow.disconnect();
  }, []);
  useEffect(() => {
    setCurrent(undefined);
    box.current?.scrollTo(0, 0);
  }, [columns]);
  const widths = useMemo(() => columns.map((column, at) => widthOf(column.name, rows.slice(0, lookedAt).map((row) => cellText(row[at])))), [columns, Math.min(rows.length, lookedAt)]);
  const first = Math.max(0, Math.floor(top / rowHeight) - spare);
  const last = Math.min(rows.length, Math.ceil((top + height) / rowHeight) + spare);
  const move = (event: KeyboardEvent): void => {
    const page = Math.max(1, Math.floor(height / rowHeight) - 2);
    const steps = new Map([['ArrowDown', 1], ['ArrowUp', -1], ['PageDown', page], ['PageUp', -page], ['Home', -rows.length], ['End', rows.length]]);
    const by = steps.get(event.key);
    if (by === undefined || rows.length === 0) return;
    event.preventDefault();
    const next = Math.max(0, Math.min(rows.length - 1, (current ?? -1) + by));
    setCurrent(next);
    const at = next * rowHeight;
    const element = box.current;
    if (element === null) return;
    if (at < element.scrollTop) element.scrollTop = at;
    else if (at + 3 * rowHeight > element.scrollTop + height) element.scrollTop = at + 3 * rowHeight - height;
  };
  return (
    <>
      <div ref={box} class="grid" tabIndex={0} role="region" aria-label="Rows; arrow keys choose one" onScroll={(event) => setTop(event.currentTarget.scrollTop)} onKeyDown={move}>
        <table aria-rowcount={rows.length + 1} style={{ width: `${widths.reduce((sum, width) => sum + width, 0)}px` }}>
          <colgroup>{widths.map((width, at) => <col key={at} style={{ width: `${width}px` }} />)}</colgroup>
          <thead><tr aria-rowindex={1}>{columns.map((column, at) => <th key={at} class={isNumeric(column.type) ? 'number' : ''} title={`${column.name}: ${column.type}`} scope="col">{column.name}</th>)}</tr></thead>
          <tbody>
            {first > 0 && <tr aria-hidden="true"><td style={{ height: `${first * rowHeight}px`, padding: 0 }} colSpan={columns.length} /></tr>}
            {rows.slice(first, last).map((row, index) => {
              const at = first + index;
              return (
                <tr key={at} aria-rowindex={at + 2} class={at === current ? 'current' : ''} onClick={() => setCurrent(at)}>
                  {columns.map((column, place) => <td key={place} class={isNumeric(column.type) ? 'number' : ''}>{cellText(row[place]).slice(0, shownChars)}</td>)}
                </tr>
              );
            })}
            {last < rows.length && <tr aria-hidden="true"><td style={{ height: `${(rows.length - last) * rowHeight}px`, padding: 0 }} colSpan={columns.length} /></tr>}
          </tbody>
        </table>
      </div>
      {rows.length === 0 && answer.done && <p class="soft">No rows: nothing in the lake fits. Loosen a condition, or look at what there is with <code>select * from lake.posts limit 10</code>.</p>}
      <Row answer={answer} at={current} />
    </>
  );
}

function Row({ answer, at }: { answer: Answer; at: number | undefined }) {
  const row = at === undefined ? undefined : answer.rows[at];
  if (at === undefined || row === undefined) {
    return answer.rows.length > 0 ? <p class="soft">Click a row, or choose one with the arrow keys, to read it whole.</p> : null;
  }
  return (
    <section class="row-detail" aria-label={`Row ${at + 1}`}>
      <h3>Row {count.format(at + 1)}</h3>
      <dl>{answer.columns.map(({ name }, place) => <div key={place}><dt>{name}</dt><dd dir="auto">{cellText(row[place]).slice(0, 20_000)}</dd></div>)}</dl>
    </section>
  );
}

/** Pixels for the longest of the first texts, within bounds. */
function widthOf(name: string, texts: readonly string[]): number {
  const longest = Math.max(name.length, ...texts.map((text) => text.length));
  return Math.max(64, Math.min(420, Math.round(longest * 8.2) + 24));
}
