import Type, { type Static } from 'typebox';
import Value from 'typebox/value';
import { WatershedError } from '#core/errors.ts';

const Micros = Type.Integer({ minimum: 0 });
const State = Type.Object({
  /** The network's time of the last message that was read, whatever its host; absent before the first. */
  timeUs: Type.Optional(Micros),
  /** The host it came from: cursors of another are rewound further. */
  host: Type.Optional(Type.String()),
  /** The events that are followed, and from which time on messages of the stream belong to them. */
  following: Type.Record(Type.String(), Micros),
  /** The earliest time that was asked for, for every event that was ever followed: a pause is not made up for. */
  asked: Type.Record(Type.String(), Micros),
  /** What is still to be read of the time before an event was followed. */
  past: Type.Array(Type.Object({ event: Type.String(), sinceUs: Micros, nextUs: Micros, untilUs: Micros })),
});

/** What a restart needs to know; the cursor of source `bluesky` is this as JSON. */
export type BlueskyState = Static<typeof State>;
export type Past = BlueskyState['past'][number];

export function parseState(cursor: string | undefined): BlueskyState {
  if (cursor === undefined) return { following: {}, asked: {}, past: [] };
  try {
    return Value.Parse(State, JSON.parse(cursor));
  } catch (cause) {
    throw new WatershedError('corrupt', `the stored cursor of source bluesky is none of ours: ${cursor.slice(0, 200)}`, { cause });
  }
}

/**
 * Takes in the list of active events. `readUs` is the network's time that has been read, 0 before the first message;
 * `nowUs` is ours. An event takes posts from its start on, one without a start from now on, and one that goes on after
 * a pause too.
 */
export function takeEvents(
  state: BlueskyState, events: readonly { readonly id: string; readonly start: string | null }[],
  readUs: number, nowUs: number,
): void {
  for (const { id, start } of events) {
    const startUs = start === null ? undefined : Date.parse(start) * 1000;
    const askedUs = state.asked[id];
    if (startUs !== undefined && startUs < (askedUs ?? nowUs)) {
      state.past.push({ event: id, sinceUs: startUs, nextUs: startUs, untilUs: askedUs ?? nowUs });
      state.asked[id] = startUs;
    }
    state.asked[id] ??= startUs ?? nowUs;
    state.following[id] ??= Math.max(readUs === 0 ? 0 : readUs + 1, startUs ?? 0);
  }
  const ids = new Set(events.map(({ id }) => id));
  for (const id of Object.keys(state.following)) if (!ids.has(id)) delete state.following[id];
  // What a pause cuts short of the past is asked for again when the event goes on.
  for (const { event, untilUs } of state.past) if (!ids.has(event)) state.asked[event] = untilUs;
  state.past = state.past.filter(({ event }) => ids.has(event));
}
