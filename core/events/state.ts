import type { CollectorName, CrisisEvent, EventStatus, Rule } from '../contract/event.ts';
import { WatershedError } from '../errors.ts';
import { parseRule, requireSubject } from '../match/rule.ts';

export interface EventInput {
  readonly name: string;
  readonly description?: string;
  readonly sources: readonly CollectorName[];
  readonly rule: Rule;
  readonly start?: string | null;
  readonly end?: string | null;
}

export type StatusChange = 'paused' | 'resumed' | 'archived' | 'restored';

/** What of an event can be changed: kept as JSON in its row and, twice, in each row of its history. */
export type State = Omit<CrisisEvent, 'id' | 'version' | 'createdAt' | 'createdBy' | 'updatedAt' | 'updatedBy'>;

/**
 * The state as it is kept: instants in UTC, the name in one line. Throws `bad_request` where it could never collect
 * anything.
 */
export function normalise(given: State): State {
  const state: State = {
    ...given,
    // Two names that nobody can tell apart are one name: in NFC, without what has neither width nor meaning.
    name: given.name.normalize('NFC').replace(/[\u00ad\u200b\u2060\ufeff]/gu, '').trim().replace(/\s+/gu, ' '),
    description: given.description.trim(),
    start: instantOf('start', given.start),
    end: instantOf('end', given.end),
  };
  if (state.name === '') throw new WatershedError('bad_request', 'an event needs a name');
  requireText('name', state.name);
  requireText('description', state.description);
  if (state.start !== null && state.end !== null && state.start >= state.end) {
    throw new WatershedError('bad_request', `the event would end (${state.end}) before it starts (${state.start})`);
  }
  const rule = parseRule(state.rule);
  const live = state.sources.filter((source) => source !== 'replay');
  if (live.length > 0) requireSubject(rule);
  if (rule.places.length > 0 && live.length === 1 && live[0] === 'bluesky') {
    throw new WatershedError('bad_request', 'posts of Bluesky carry no place: a rule with places would collect nothing there', {
      hint: 'leave the places out and name them among the terms, or collect from X as well',
    });
  }
  return state;
}

/** The instant as RFC 3339 in UTC with milliseconds, which sorts as text. */
function instantOf(what: string, given: string | null): string | null {
  if (given === null) return null;
  const ms = Date.parse(given);
  if (Number.isNaN(ms)) {
    throw new WatershedError('bad_request', `the ${what} "${given}" is no instant`, { hint: 'write it as 2026-11-24T09:00:00Z' });
  }
  return new Date(ms).toISOString();
}

function requireText(what: string, text: string): void {
  // PostgreSQL holds no NUL in text, and half a surrogate pair is no text at all.
  if (/(?![\n\t])\p{Cc}/u.test(text) || !text.isWellFormed()) {
    throw new WatershedError('bad_request', `the ${what} holds a control character`, { hint: 'write it as plain text' });
  }
}

//    active ⇄ paused          pause, resume
//    active, paused → archived → paused     archive, restore
const changes: Readonly<Record<StatusChange, { readonly to: EventStatus; readonly from: readonly EventStatus[] }>> = {
  paused: { to: 'paused', from: ['active', 'paused'] },
  resumed: { to: 'active', from: ['paused', 'active'] },
  archived: { to: 'archived', from: ['active', 'paused', 'archived'] },
  restored: { to: 'paused', from: ['archived'] },
};

/** The status after a change; `conflict` where the change is none for an event that is as it is. */
export function statusAfter(id: string, status: EventStatus, change: StatusChange): EventStatus {
  const { to, from } = changes[change];
  if (from.includes(status)) return to;
  throw new WatershedError('conflict', `event ${id} is ${status} and cannot be ${change}`, {
    hint: status === 'archived' ? 'restore it first' : 'nothing to do', retryable: false,
  });
}

/** The change that leads from one status to another; undefined where there is nothing to do. */
export function changeTo(status: EventStatus, wanted: EventStatus): StatusChange | undefined {
  if (status === wanted) return undefined;
  if (wanted === 'archived') return 'archived';
  if (status === 'archived') return 'restored';
  return wanted === 'active' ? 'resumed' : 'paused';
}

export function sameState(left: State, right: State): boolean {
  const inOrder = (state: State): string => JSON.stringify(Object.entries(state).toSorted(([a], [b]) => (a < b ? -1 : 1)));
  return inOrder(left) === inOrder(right);
}
