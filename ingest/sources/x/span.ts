import type { CrisisEvent } from '#core/contract/event.ts';

/** When an event begins, in ms; one without a start has always begun. */
export function startOf({ start }: Pick<CrisisEvent, 'start'>): number {
  return start === null ? Number.NEGATIVE_INFINITY : Date.parse(start);
}

/** When an event ends, in ms; one without an end never does. */
export function endOf({ end }: Pick<CrisisEvent, 'end'>): number {
  return end === null ? Number.POSITIVE_INFINITY : Date.parse(end);
}
