import type { Condition } from '../contract/condition.ts';
import { WatershedError } from '../errors.ts';

/** What came of looking at a condition. */
export interface Verdict {
  readonly holds: boolean;
  /** For people: what was seen. */
  readonly detail: string;
}

/** Throws `bad_request` for numbers that make no sense; the shape itself is the API's schema. */
export function checkCondition(condition: Condition): void {
  const minutes = 'minutes' in condition ? condition.minutes : undefined;
  const wrong = minutes !== undefined && !(minutes >= 1 && minutes <= 7 * 24 * 60) ? 'minutes are 1 to 10080'
    : condition.kind === 'burst' && condition.times !== undefined && !(condition.times > 1) ? 'times are more than 1'
    : condition.kind === 'posts' && !(condition.above >= 0) ? 'above is 0 or more'
    : condition.kind === 'rows' && condition.sql.trim() === '' ? 'it needs a statement' : undefined;
  if (wrong !== undefined) throw new WatershedError('bad_request', `the condition cannot be watched: ${wrong}`);
}
