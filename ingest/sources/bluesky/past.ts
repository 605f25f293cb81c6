import { compileRules, type Matcher } from '#core/match/matcher.ts';
import type { JournalItem } from '../source.ts';
import { holeUsMin, keptUs, matchesOf, tell, tellCursor, untilChanged, type Collector } from './collector.ts';
import { createHosts, type Host } from './hosts.ts';
import type { Past } from './state.ts';
import { followStream, type StreamEnd } from './stream.ts';

/**
 * Reads what events cover and lies before they were followed, as far as the network keeps it, one event after the
 * other. Deletions are read with it: what was deleted meanwhile must not come in.
 */
export async function readPast(collector: Collector): Promise<void> {
  const { state, signal, urls, options: { clock, random } } = collector;
  const hosts = createHosts(urls, clock, random);
  while (!signal.aborted) {
    const [past] = state.past;
    if (past === undefined) {
      await untilChanged(collector);
      continue;
    }
    const host = await hosts.next(signal);
    const isDone = (): boolean => past.nextUs >= past.untilUs || !state.past.includes(past);
    const end = isDone() ? undefined : await readOnce(collector, past, host, isDone);
    if (signal.aborted) return;
    if (isDone()) {
      if (state.past.includes(past)) await finish(collector, past);
    } else if (end !== undefined) {
      hosts.failed(host, end.failure);
      if (end.failure.kind === 'too_large') await passOver(collector, past);
    }
  }
}

async function readOnce(
  collector: Collector, past: Past, host: Host, isDone: () => boolean,
): Promise<StreamEnd> {
  const { channel, signal, options: { clock, onDropped } } = collector;
  // Compiled for this event alone, and again when its rule has changed.
  let compiledFor = collector.current;
  const compile = (): Matcher =>
    compileRules(collector.handles.translate(collector.current.filter(({ id }) => id === past.event)));
  let matcher = compile();
  const current = (): Matcher => {
    if (compiledFor !== collector.current) {
      compiledFor = collector.current;
      matcher = compile();
    }
    return matcher;
  };
  return followStream({
    host, cursorUs: past.nextUs, clock, signal, channel,
    mayMatch: (json, did) => current().mayMatch(json, did),
    match: (post, timeUs) => timeUs >= past.untilUs ? []
      : matchesOf(collector, current(), post, timeUs, () => past.sinceUs),
    onFirst: (firstUs) => notKept(past, firstUs, clock.now()),
    onTime: () => undefined,
    onIdentity: () => undefined,
    async onProgress(timeUs) {
      past.nextUs = Math.max(past.nextUs, timeUs);
      await tellCursor(collector);
    },
    isFinished: (timeUs) => timeUs >= past.untilUs || isDone(),
    onDropped: onDropped ?? (() => undefined),
  });
}

/** A second is left out where something in it cannot be taken. */
async function passOver({ channel }: Collector, past: Past): Promise<void> {
  const sinceMs = past.nextUs / 1000;
  past.nextUs += 1_000_000;
  await channel.put({ kind: 'journal', entry: {
    kind: 'gap', eventId: past.event, sinceMs, untilMs: past.nextUs / 1000, cause: pastCause,
    detail: { notFilled: 'what we cannot take was passed over' },
  } });
}

/** The part of the past that the network does not have any more. */
function notKept(past: Past, firstUs: number, nowMs: number): JournalItem[] {
  const sinceUs = past.nextUs;
  if (firstUs <= sinceUs + holeUsMin) return [];
  const untilUs = Math.min(firstUs, past.untilUs);
  past.sinceUs = untilUs;
  past.nextUs = untilUs;
  const why = nowMs * 1000 - sinceUs > keptUs ? 'the network replays 36 hours' : 'the replay began later than asked';
  return [{ kind: 'journal', entry: {
    kind: 'gap', eventId: past.event, sinceMs: sinceUs / 1000, untilMs: untilUs / 1000, cause: pastCause, detail: { notFilled: why },
  } }];
}

const pastCause = 'it began before it was followed';

async function finish(collector: Collector, past: Past): Promise<void> {
  const { state, options: { clock } } = collector;
  state.past = state.past.filter((one) => one !== past);
  if (past.sinceUs < past.untilUs) {
    await tell(collector, {
      kind: 'gap', eventId: past.event, sinceMs: past.sinceUs / 1000, untilMs: past.untilUs / 1000, cause: pastCause,
      filledAtMs: clock.now(),
    });
  }
  await tellCursor(collector);
}
