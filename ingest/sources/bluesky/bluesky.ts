import type { CrisisEvent } from '#core/contract/event.ts';
import { WatershedError } from '#core/errors.ts';
import { compileRules } from '#core/match/matcher.ts';
import type { EventFeed, JournalItem, Source, SourceItem } from '../source.ts';
import { createChannel } from '../x/channel.ts';
import {
  holeUsMin, keptUs, matchesOf, tell, tellCursor, untilChanged, type BlueskyOptions, type Collector,
} from './collector.ts';
import { readEarlier } from './earlier.ts';
import { createHandles } from './handles.ts';
import { createHosts, type Failure, type Host } from './hosts.ts';
import { readPast } from './past.ts';
import { parseState, takeEvents } from './state.ts';
import { followStream, type StreamEnd } from './stream.ts';

/**
 * Jetstream v1 of Bluesky: every post of the network passes by, and our matcher takes what belongs to an event. A
 * changed rule is in force with the next message. What a lost connection missed, the network replays from the cursor.
 *
 *     idle ──first event──▶ connecting ──open──▶ following ──loss, silence──▶ waiting ──▶ connecting (another host)
 *
 * Beside it, the past of events that began before they were followed is read over a connection of its own (past.ts).
 */
export function blueskySource(options: BlueskyOptions): Source {
  return { name: 'bluesky', read: (input) => read(options, input) };
}

/** A cursor of the same host is rewound by this, one of another by more: their clocks and queues differ. */
const rewindUs = 5_000_000;
const rewindOtherHostUs = 30_000_000;
const heldMs = 60_000;
const handleRetryMs = 60_000;
const handleRefreshMs = 3_600_000; // should an identity message have been missed
const itemsAheadMax = 500;

async function* read(
  options: BlueskyOptions, input: { cursor: string | undefined; events: EventFeed; signal: AbortSignal },
): AsyncGenerator<SourceItem> {
  const stop = new AbortController();
  const collector: Collector = {
    options, state: parseState(input.cursor), channel: createChannel(itemsAheadMax), feed: input.events,
    signal: AbortSignal.any([input.signal, stop.signal]), urls: options.urls.map(addressOf),
    handles: createHandles(options.resolveHandle, options.clock), current: [], matcher: compileRules([]),
    earlier: undefined, changed: Promise.withResolvers(), readUs: 0,
  };
  const { channel } = collector;
  const running = Promise.all([keepRules(collector), follow(collector), readPast(collector)]).then(
    () => channel.close(), (error: unknown) => collector.signal.aborted ? channel.close() : channel.fail(error));
  try {
    yield* channel;
  } finally {
    stop.abort();
    channel.close();
    await running;
  }
}

function addressOf(text: string): URL {
  const url = URL.parse(text);
  if (url !== null && /^wss?:$/.test(url.protocol)) return url;
  throw new WatershedError('bad_config', `${JSON.stringify(text)} is not the address of a Jetstream`, {
    hint: 'such an address begins with wss:// and ends with /subscribe; several are separated by commas',
  });
}

/** Takes in every change of the events, until the signal. What handles stand for is found out beside it. */
async function keepRules(collector: Collector): Promise<void> {
  const { feed, signal, options: { clock } } = collector;
  let before: string | undefined;
  while (!signal.aborted) {
    const round = new AbortController();
    const either = AbortSignal.any([signal, round.signal]);
    const changed = feed.changed(either);
    changed.catch(() => undefined);
    const events = feed.current();
    const inForce = events.map(({ id, version }) => `${id}@${version}`).join(' ');
    if (inForce !== before) {
      useRules(collector, events);
      const ids = events.map(({ id }) => id);
      if (ids.length > 0 || before !== undefined) await tell(collector, { kind: 'rules_changed', count: ids.length, detail: { events: ids } });
      before = inForce;
      const readUs = Math.max(collector.readUs, collector.state.timeUs ?? 0);
      if (readUs > 0) collector.earlier = await readEarlier(collector, readUs - rewindOtherHostUs);
    }
    const learned = learnHandles(collector, events, either)
      .then((complete) => clock.sleep(complete ? handleRefreshMs : handleRetryMs, either));
    learned.catch(() => undefined);
    await Promise.race([changed, learned]);
    round.abort();
  }
}

/** True when all handles are known. */
async function learnHandles(
  collector: Collector, events: readonly CrisisEvent[], signal: AbortSignal,
): Promise<boolean> {
  const { changed, unknown } = await collector.handles.learn(events, signal);
  if (changed && !signal.aborted) useRules(collector, events);
  return unknown.length === 0;
}

function useRules(collector: Collector, events: readonly CrisisEvent[]): void {
  const { state, options, handles } = collector;
  collector.current = events;
  collector.matcher = compileRules(handles.translate(events));
  takeEvents(state, events, Math.max(collector.readUs, state.timeUs ?? 0), Math.floor(options.clock.now() * 1000));
  collector.changed.resolve();
  collector.changed = Promise.withResolvers();
}

async function follow(collector: Collector): Promise<void> {
  const { state, signal, urls, options: { clock, random } } = collector;
  const hosts = createHosts(urls, clock, random);
  const told = new Set<string>();
  let loss = 'not running';
  let skipToUs = 0;
  let wantedUs: number | undefined;
  while (!signal.aborted) {
    // Nobody has ever asked for anything: the network is left alone.
    if (state.timeUs === undefined && collector.current.length === 0) {
      wantedUs = undefined;
      await untilChanged(collector);
      continue;
    }
    const host = await hosts.next(signal);
    const lastUs = state.timeUs ?? wantedUs;
    const cursorUs = cursorFor(collector, host, skipToUs) ?? wantedUs;
    // The first connection begins with what happens now; one that was not to be had is made up for by the next.
    wantedUs ??= clock.now() * 1000;
    if (cursorUs !== undefined) collector.earlier = await readEarlier(collector, cursorUs);
    const end = await followLive(collector, host, cursorUs, { cause: loss, skipToUs, lastUs });
    if (signal.aborted) return;
    if (end.connected) told.clear();
    if (end.livedMs >= heldMs) hosts.held(host);
    const waitMs = hosts.failed(host, end.failure);
    if (state.timeUs === undefined) await tellCursor(collector, wantedUs);
    loss = end.failure.cause;
    // Where nothing came before it, it lies further ahead: then another second is left out, and another.
    if (end.failure.kind === 'too_large') skipToUs = Math.max(skipToUs, state.timeUs ?? clock.now() * 1000) + 1_000_000;
    const news = `${host.url.host} ${end.failure.cause}`;
    if (!told.has(news)) await tellFailure(collector, host, end.failure, waitMs);
    told.add(news);
  }
}

function cursorFor({ state }: Collector, host: Host, skipToUs: number): number | undefined {
  if (state.timeUs === undefined) return skipToUs === 0 ? undefined : skipToUs;
  return Math.max(skipToUs, state.timeUs - (host.url.host === state.host ? rewindUs : rewindOtherHostUs));
}

async function followLive(
  collector: Collector, host: Host, cursorUs: number | undefined, loss: Loss,
): Promise<StreamEnd> {
  const { state, channel, signal, options: { clock, onDropped } } = collector;
  return followStream({
    host, cursorUs, clock, signal, channel,
    mayMatch: (json, did) => collector.matcher.mayMatch(json, did) || collector.earlier?.mayMatch(json, did) === true,
    match(post, timeUs) {
      const matches = matchesOf(collector, collector.matcher, post, timeUs, (id) => state.following[id]);
      const earlier = collector.earlier?.match(post, timeUs) ?? [];
      return [...matches, ...earlier.filter(({ id }) => !matches.some((match) => match.id === id))];
    },
    onFirst: (timeUs) => loss.lastUs === undefined ? []
      : [gapBefore(timeUs, Math.max(loss.lastUs, state.timeUs ?? 0), loss, clock.now())],
    onTime(timeUs) {
      collector.readUs = timeUs;
      if (collector.earlier !== undefined && timeUs >= collector.earlier.untilUs) collector.earlier = undefined;
    },
    onIdentity(did, handle) {
      if (collector.handles.tell(did, handle)) useRules(collector, collector.current);
    },
    async onProgress(timeUs) {
      state.timeUs = Math.max(state.timeUs ?? 0, timeUs);
      state.host = host.url.host;
      await tellCursor(collector, timeUs);
    },
    isFinished: () => false,
    onDropped: onDropped ?? ignore,
  });
}

/** Why messages are missing since the last one; up to `skipToUs` they are left out on purpose. */
interface Loss {
  readonly cause: string;
  readonly skipToUs: number;
  /** Undefined where nothing was asked for before. */
  readonly lastUs: number | undefined;
}

/** What lies between the last message before a loss and the first one after it: replayed, or gone. */
function gapBefore(firstUs: number, lastUs: number, { cause, skipToUs }: Loss, nowMs: number): JournalItem {
  const sinceMs = lastUs / 1000;
  const lost = (untilUs: number, notFilled: string): JournalItem => (
    { kind: 'journal', entry: { kind: 'gap', sinceMs, untilMs: untilUs / 1000, cause, detail: { notFilled } } });
  if (skipToUs > lastUs) return lost(Math.max(skipToUs, firstUs), 'what we cannot take was passed over');
  if (firstUs > lastUs + holeUsMin) {
    return lost(firstUs, nowMs * 1000 - lastUs > keptUs ? 'the network replays 36 hours' : 'the replay began later than asked');
  }
  return { kind: 'journal', entry: { kind: 'gap', sinceMs, untilMs: nowMs, cause, filledAtMs: nowMs } };
}

async function tellFailure(collector: Collector, host: Host, failure: Failure, waitMs: number): Promise<void> {
  const { cause, said } = failure;
  const detail = { host: host.url.host, waitMs: Math.round(waitMs), ...(said === undefined ? {} : { said }) };
  if (failure.kind !== 'rate_limited') return tell(collector, { kind: 'disconnected', cause, detail });
  const nowMs = collector.options.clock.now();
  await tell(collector, { kind: 'rate_limited', cause, sinceMs: nowMs, untilMs: nowMs + waitMs, detail });
}

function ignore(): void {}
