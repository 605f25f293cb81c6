import type { Condition } from '#core/contract/condition.ts';
import type { EventView } from './api.ts';

/** A condition while it is written: everything is text. An empty kind is no condition. */
export interface ConditionDraft {
  readonly kind: Condition['kind'] | '';
  readonly event: string;
  readonly source: string;
  readonly minutes: string;
  readonly times: string;
  readonly above: string;
  readonly sql: string;
}

const kindNames: Readonly<Record<Condition['kind'], string>> = {
  burst: 'many more posts than usual', stall: 'a network brings no posts', gap: 'a gap in collecting is open', posts: 'more posts than a number', rows: 'a statement returns a row',
};
const kinds: readonly Condition['kind'][] = ['burst', 'stall', 'gap', 'posts', 'rows'];

export function conditionDraft(condition: Condition | null, otherwise: ConditionDraft['kind']): ConditionDraft {
  const empty = { kind: otherwise, event: '', source: '', minutes: '', times: '', above: '', sql: '' };
  if (condition === null) return empty;
  return { ...empty, ...Object.fromEntries(Object.entries(condition).map(([name, value]) => [name, String(value)])), kind: condition.kind };
}

/** What was written, as the server takes it; null where it is to have none. */
export function conditionOf(draft: ConditionDraft): Condition | null {
  const event = draft.event === '' ? {} : { event: draft.event };
  const source = draft.source.trim() === '' ? {} : { source: draft.source.trim() };
  const minutes = draft.minutes.trim() === '' ? {} : { minutes: Number(draft.minutes) };
  switch (draft.kind) {
    case '': return null;
    case 'burst': return { kind: 'burst', ...event, ...minutes, ...(draft.times.trim() === '' ? {} : { times: Number(draft.times) }) };
    case 'stall': return { kind: 'stall', ...event, ...source, ...minutes };
    case 'gap': return { kind: 'gap', ...event, ...source };
    case 'posts': return { kind: 'posts', ...event, ...minutes, above: Number(draft.above) };
    case 'rows': return { kind: 'rows', sql: draft.sql };
  }
}

/** The fields of a condition: which it is, and the numbers it needs. `none` names the choice of having none. */
export function ConditionFields({ draft, change, events, label, none }: {
  draft: ConditionDraft; change: (draft: ConditionDraft) => void; events: readonly EventView[]; label: string; none?: string;
}) {
  const { kind } = draft;
  const number = (name: 'minutes' | 'times' | 'above', text: string, usual: string, limits: { min: number; max?: number; step?: string }) => (
    <label>{text}<input type="number" value={draft[name]} placeholder={usual} {...limits} required={usual === ''} onInput={(event) => change({ ...draft, [name]: event.currentTarget.value })} /></label>
  );
  return (
    <div class="fields">
      <label>{label}
        <select value={kind} onChange={(event) => change({ ...draft, kind: kinds.find((known) => known === event.currentTarget.value) ?? '' })}>
          {none !== undefined && <option value="">{none}</option>}
          {kinds.map((known) => <option key={known} value={known}>{kindNames[known]}</option>)}
        </select>
      </label>
      {kind !== '' && kind !== 'rows' && <label>In event
        <select value={draft.event} onChange={(event) => change({ ...draft, event: event.currentTarget.value })}>
          <option value="">any event</option>
          {events.map(({ id, name }) => <option key={id} value={id}>{name}</option>)}
          {draft.event !== '' && !events.some(({ id }) => id === draft.event) && <option value={draft.event}>{draft.event}</option>}
        </select>
      </label>}
      {(kind === 'stall' || kind === 'gap') && <label>From network
        <input value={draft.source} placeholder="any" autocomplete="off" onInput={(event) => change({ ...draft, source: event.currentTarget.value })} /></label>}
      {kind === 'burst' && number('minutes', 'Minutes looked at', '10', { min: 1, max: 10_080 })}
      {kind === 'burst' && number('times', 'Times what is usual', '5', { min: 1.1, step: 'any' })}
      {kind === 'stall' && number('minutes', 'Minutes without a post', '15', { min: 1, max: 10_080 })}
      {kind === 'posts' && number('above', 'More posts than', '', { min: 0 })}
      {kind === 'posts' && number('minutes', 'Minutes looked at', none === undefined ? '60' : 'time of the report', { min: 1, max: 10_080 })}
      {kind === 'rows' && <label class="whole-row">Statement: it holds while this returns a row
        <textarea value={draft.sql} required spellcheck={false} onInput={(event) => change({ ...draft, sql: event.currentTarget.value })} /></label>}
    </div>
  );
}
