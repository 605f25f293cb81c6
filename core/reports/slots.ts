import { Cron } from 'croner';
import { WatershedError } from '../errors.ts';

/** What happens to slots that passed while nothing ran: none of them, the last one, or all. */
export const catchUps = ['skip', 'last', 'all'] as const;
export type CatchUp = (typeof catchUps)[number];

export interface Slot {
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly run: boolean;
}

// A slot that is later than this was missed: the process was down, or busy beyond hope.
const missedAfterMs = 10 * 60_000;
// What a report may have to make up for at once; older slots are let go.
const slotsMax = 500;

/**
 * The times at which a report is due. Throws `bad_request` for what is no cron expression (five fields) or time zone.
 */
export function parseSchedule(cron: string, timeZone: string): Cron {
  try {
    if (cron.trim().split(/\s+/).length !== 5) throw new Error('it has five fields: minute, hour, day, month, weekday');
    // Croner itself only notices a wrong zone when it computes.
    new Intl.DateTimeFormat('en', { timeZone });
    return new Cron(cron, { timezone: timeZone, paused: true });
  } catch (cause) {
    throw new WatershedError('bad_request', `the schedule "${cron}" in ${timeZone} cannot be read`, {
      cause, hint: 'Five fields and a zone, such as "0 7 * * *" in "America/Denver".',
    });
  }
}

/**
 * The slots in (`after`, `now`], oldest first, each with whether it runs. Where a clock is turned back, a time of day
 * that comes twice is one slot (every hour and every few minutes go on through both); a time that the clock leaps over
 * is the first moment after it.
 */
export function dueSlots(cron: string, timeZone: string, catchUp: CatchUp, after: number, now: number): Slot[] {
  const schedule = parseSchedule(cron, timeZone);
  // Looking ahead one slot costs a hundredth of looking back over all of them, and most of the time none is due.
  const next = schedule.nextRun(new Date(after));
  if (next === null || next.getTime() > now) return [];
  // Backwards, so that years of rest cost no more than a day of it. `previousRuns` is strict, a slot of this moment is
  // due.
  const times = schedule.previousRuns(slotsMax, new Date(now + 1000)).map((time) => time.getTime())
    .filter((time) => time > after && time <= now).toSorted((a, b) => a - b);
  const missed = times.filter((at) => now - at > missedAfterMs);
  const lastOfAll = times.at(-1);
  return times.map((at) => ({ at, run: !missed.includes(at) || catchUp === 'all' || (catchUp === 'last' && at === lastOfAll) }));
}

/** The next time after `after` at which the report is due, milliseconds since 1970; undefined for one that never is again. */
export function nextSlot(cron: string, timeZone: string, after: number): number | undefined {
  return parseSchedule(cron, timeZone).nextRun(new Date(after))?.getTime();
}
