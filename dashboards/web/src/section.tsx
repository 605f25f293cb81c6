import type { ComponentChildren } from 'preact';
import { ms } from './timeline.ts';

/** A table under a heading, or words where it is empty. */
export function Section({ id, title, head, rows, empty, numeric = [] }: {
  id: string; title: string; head: readonly string[]; rows: readonly (readonly ComponentChildren[])[] | undefined; empty: string; numeric?: readonly number[];
}) {
  return (
    <section class="card" aria-labelledby={id}>
      <h2 id={id}>{title}</h2>
      {rows === undefined ? <p class="soft">loading…</p> : rows.length === 0 ? <p class="soft">{empty}</p> : (
        <div class="table-wrap" tabIndex={0} role="region" aria-label={`Rows of ${title}`}>
          <table>
            <thead><tr>{head.map((name, at) => <th key={name} scope="col" class={numeric.includes(at) ? 'number' : ''}>{name}</th>)}</tr></thead>
            <tbody>{rows.map((row, index) => <tr key={index}>{row.map((cell, at) => <td key={at} class={numeric.includes(at) ? 'number' : ''}>{cell}</td>)}</tr>)}</tbody>
          </table>
        </div>
      )}
    </section>
  );
}

export function time(instant: string): string {
  return `${new Date(ms(instant)).toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}
