import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { barsLayout, type BarsLayout, type Gap } from './bars.ts';
import { kindName, kinds } from './filter.ts';
import { count } from './parts.tsx';
import { setParams } from './state.ts';
import type { Timeline } from './timeline.ts';

const minuteMs = 60_000;
// A press that moves less than this is no drawing.
const drawnMin = 5;

/**
 * Stacked bars over time, drawn by hand: a library for it took longer to load and draw than the lake to answer. Drawing
 * over it narrows the time in the address.
 */
export function TimeChart({ timeline, gaps }: { timeline: Timeline | undefined; gaps: readonly Gap[] }) {
  const holder = useRef<HTMLDivElement>(null);
  const [size, setSize] = useState<{ width: number; height: number }>();
  const [drawn, setDrawn] = useState<{ from: number; to: number }>();
  const [pointed, setPointed] = useState<number>();
  useEffect(() => {
    const element = holder.current;
    if (element === null) return undefined;
    const follow = new ResizeObserver(() => setSize({ width: element.clientWidth, height: element.clientHeight }));
    follow.observe(element);
    return () => follow.disconnect();
  }, []);
  const layout = useMemo(() => (timeline === undefined || size === undefined ? undefined : barsLayout(timeline.series, timeline.stepMs, gaps, size.width, size.height)), [timeline, gaps, size]);
  const label = `Bar chart over time, stacked by kind: ${timeline?.series.map((series) => `${kindName(series.label)} ${series.points.reduce((sum, [, posts]) => sum + posts, 0)}`).join(', ') ?? ''}`;
  const place = (event: PointerEvent): number => event.clientX - (holder.current?.getBoundingClientRect().left ?? 0);
  const press = (event: PointerEvent): void => {
    if (event.button !== 0 || layout === undefined) return;
    holder.current?.setPointerCapture(event.pointerId);
    setPointed(undefined);
    setDrawn({ from: place(event), to: place(event) });
  };
  const move = (event: PointerEvent): void => {
    if (drawn !== undefined) setDrawn({ ...drawn, to: place(event) });
    else if (event.pointerType === 'mouse') setPointed(place(event));
  };
  const release = (): void => {
    setDrawn(undefined);
    if (drawn === undefined || layout === undefined || Math.abs(drawn.to - drawn.from) < drawnMin) return;
    const [from, to] = [layout.timeAt(Math.min(drawn.from, drawn.to)), layout.timeAt(Math.max(drawn.from, drawn.to))];
    setParams({ from: minuteText(Math.floor(from / minuteMs) * minuteMs), to: minuteText(Math.ceil(to / minuteMs) * minuteMs) });
  };
  return (
    <div ref={holder} class="chart time" role="img" aria-label={label} onPointerDown={press} onPointerMove={move} onPointerUp={release}
      onPointerCancel={() => setDrawn(undefined)} onPointerLeave={() => setPointed(undefined)}>
      {layout !== undefined && size !== undefined && <Drawing layout={layout} {...size} />}
      {layout !== undefined && drawn !== undefined && <div class="drawn" style={{ left: `${Math.max(layout.left, Math.min(drawn.from, drawn.to))}px`,
        width: `${Math.max(0, Math.min(layout.right, Math.max(drawn.from, drawn.to)) - Math.max(layout.left, Math.min(drawn.from, drawn.to)))}px`, top: `${layout.top}px`, height: `${layout.bottom - layout.top}px` }} />}
      {layout !== undefined && timeline !== undefined && pointed !== undefined && pointed >= layout.left && pointed <= layout.right
        && <Pointed timeline={timeline} at={layout.stepAt(pointed)} x={pointed} end={layout.right} />}
    </div>
  );
}

function Drawing({ layout, width, height }: { layout: BarsLayout; width: number; height: number }) {
  const { left, right, top, bottom } = layout;
  return (
    <svg width={width} height={height} aria-hidden="true">
      {layout.values.map(({ y, text }) => <g key={text}><line class="rule" x1={left} x2={right} y1={y} y2={y} /><text x={left - 6} y={y + 4} text-anchor="end">{text}</text></g>)}
      {layout.gaps.map(({ x, width: wide }, index) => <rect key={index} class="gap" x={x} y={top} width={wide} height={bottom - top} />)}
      {layout.outlines.map(({ label, d }) => <path key={label} d={d} fill={kinds.find((kind) => kind.label === label)?.color ?? '#8a949b'} />)}
      {layout.times.map(({ x, text }) => <g key={x}><line class="rule" x1={x} x2={x} y1={bottom} y2={bottom + 4} /><text x={x} y={bottom + 18} text-anchor="middle">{text}</text></g>)}
    </svg>
  );
}

/** The numbers of the step below the mouse; all of them are in the table that a button shows. */
function Pointed({ timeline, at, x, end }: { timeline: Timeline; at: number; x: number; end: number }) {
  const rows = timeline.series.map(({ label, points }) => ({ label, posts: points.find(([time]) => time === at)?.[1] ?? 0 })).filter(({ posts }) => posts > 0);
  const side = x > end / 2 ? { right: `calc(100% - ${x - 12}px)` } : { left: `${x + 12}px` };
  return (
    <div class="pointed" style={side} aria-hidden="true">
      <b>{new Date(at).toISOString().slice(0, 16).replace('T', ' ')} UTC</b>
      {rows.length === 0 && <div>no posts</div>}
      {rows.map(({ label, posts }) => <div key={label}><span class="swatch" style={{ background: kinds.find((kind) => kind.label === label)?.color }} />{kindName(label)} {count.format(posts)}</div>)}
    </div>
  );
}

function minuteText(at: number): string {
  return `${new Date(at).toISOString().slice(0, 16)}Z`;
}
