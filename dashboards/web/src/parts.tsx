import type { ComponentChildren } from 'preact';
import type { ApiError, Cell } from './api.ts';
import { go } from './state.ts';

/** A link within the page: no reload, but a real address for a new tab. */
export function Link({ to, children, ...rest }: { to: string; children: ComponentChildren; [name: string]: unknown }) {
  const follow = (event: MouseEvent): void => {
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.button !== 0) return;
    event.preventDefault();
    go(to);
    scrollTo(0, 0);
  };
  return <a href={to} onClick={follow} {...rest}>{children}</a>;
}

export function Problem({ error }: { error: ApiError }) {
  const expired = error.status === 401;
  return (
    <div class="card error" role="alert">
      <strong>{expired ? 'Your session has ended.' : error.message}</strong>
      <div class="soft">{expired ? <><a href="/" target="_blank">Sign in</a> in another tab, or run <code>watershed open</code> and follow the address it prints; nothing is lost.</> : error.hint}</div>
    </div>
  );
}

/** Bars from left to right over equal steps of time; for cards, without axes. The numbers are in `label`. */
export function Spark({ values, label }: { values: readonly number[]; label: string }) {
  const most = Math.max(1, ...values);
  const width = 100 / Math.max(1, values.length);
  return (
    <svg class="spark" viewBox="0 0 100 30" preserveAspectRatio="none" role="img" aria-label={label}>
      {values.map((value, index) => value > 0 && (
        <rect key={index} x={index * width} width={width * 0.85} y={30 - (value / most) * 30} height={(value / most) * 30} />
      ))}
    </svg>
  );
}

const numeric = /^(TINYINT|SMALLINT|INTEGER|BIGINT|HUGEINT|U\w*INT\w*|FLOAT|REAL|DOUBLE|DECIMAL.*)$/i;

/** Whether a column of this type, by the engine's name of it, holds numbers. */
export function isNumeric(type: string): boolean {
  return numeric.test(type);
}

export function cellText(cell: Cell | undefined): string {
  if (cell === null || cell === undefined) return '∅';
  if (typeof cell === 'string') return /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.0+Z$/.test(cell) ? `${cell.slice(0, 19)}Z` : cell; // no fraction where it is nought
  return typeof cell === 'object' ? JSON.stringify(cell) : String(cell);
}

export const count = new Intl.NumberFormat('en');
