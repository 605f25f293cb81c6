import type { Clock } from '#core/clock.ts';
import type { EventMatch, MatchablePost } from '#core/match/matcher.ts';
import type { SourceItem } from '../source.ts';
import type { Channel } from '../x/channel.ts';
import { connect, frameBytesMax, type Connection } from './connection.ts';
import { readFrame, postCollection } from './frame.ts';
import type { Failure, Host } from './hosts.ts';

export interface StreamOptions {
  readonly host: Host;
  /** Where to go on, by the network's time; undefined: with what happens now. */
  readonly cursorUs: number | undefined;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly channel: Channel<SourceItem>;
  readonly mayMatch: (json: string, did: string) => boolean;
  readonly match: (post: MatchablePost, timeUs: number) => readonly EventMatch[];
  /** The first message of this connection; what it gives is told before the message. */
  readonly onFirst: (timeUs: number) => readonly SourceItem[];
  /** The time of every message, before anything else is made of it. */
  readonly onTime: (timeUs: number) => void;
  readonly onIdentity: (did: string, handle: string) => void;
  /** Everything up to this time is in the channel. About once a second. */
  readonly onProgress: (timeUs: number) => Promise<void>;
  /** Ends the connection where it says true of the time that has been read. */
  readonly isFinished: (timeUs: number) => boolean;
  /** Messages that are well formed and not wanted, by reason. */
  readonly onDropped: (reason: string, count: number) => void;
}

export interface StreamEnd {
  readonly failure: Failure;
  readonly connected: boolean;
  readonly livedMs: number;
}

/** What waits between the network and the channel; beyond it the network is held back. */
const itemsWaitingMax = 2000;
const bytesWaitingMax = 16 * 1024 * 1024;
const progressMs = 1000;
/** So much in a row that cannot be understood is not our network: quarantine is not to be filled with it. */
const brokenInARowMax = 100;
/** A message may be ahead of our clock by this much: clocks differ, but no cursor must ever lie in the far future. */
const aheadMsMax = 86_400_000;

/** Follows one connection from its beginning to its end. Never rejects, but for the channel. */
export async function followStream(options: StreamOptions): Promise<StreamEnd> {
  const { clock, channel, signal } = options;
  const intake = createIntake(options);
  let wake = Promise.withResolvers<void>();
  let connection: Connection | undefined;
  const opened = await connect({
    url: addressOf(options), clock, signal,
    onFrame(bytes, isBinary) {
      intake.take(bytes, isBinary);
      if (intake.waiting.length === 0 && intake.failure === undefined) return;
      if (intake.waiting.length >= itemsWaitingMax || intake.bytes >= bytesWaitingMax) connection?.pause();
      wake.resolve();
    },
  });
  if (!('ended' in opened)) return { failure: opened, connected: false, livedMs: 0 };
  connection = opened;
  const openedAt = clock.monotonic();
  let failure: Failure | undefined;
  void opened.ended.then((reason) => {
    failure = reason;
    wake.resolve();
  });
  let toldAt = openedAt;
  let toldUs = 0;
  await channel.put({ kind: 'journal', entry: { kind: 'connected', detail: detailOf(options) } });
  for (;;) {
    wake = Promise.withResolvers();
    const over = failure ?? intake.failure;
    for (const item of intake.drain()) await channel.put(item);
    opened.resume();
    const { timeUs } = intake;
    if (timeUs > toldUs && (over !== undefined || clock.monotonic() - toldAt >= progressMs)) {
      await options.onProgress(timeUs);
      toldUs = timeUs;
      toldAt = clock.monotonic();
    }
    intake.reportDropped();
    if (over === undefined && timeUs > 0 && options.isFinished(timeUs)) opened.close({ kind: 'finished', cause: 'everything asked for was read' });
    else if (intake.failure !== undefined) opened.close(intake.failure);
    if (over !== undefined) return { failure: over, connected: true, livedMs: clock.monotonic() - openedAt };
    if (failure !== undefined || intake.waiting.length > 0) continue;
    const cancel = clock.timer(progressMs, wake.resolve);
    await wake.promise;
    cancel();
  }
}

function addressOf({ host, cursorUs }: StreamOptions): URL {
  const url = new URL(host.url);
  url.searchParams.set('wantedCollections', postCollection);
  url.searchParams.set('maxMessageSizeBytes', String(frameBytesMax));
  if (cursorUs !== undefined) url.searchParams.set('cursor', String(cursorUs));
  return url;
}

function detailOf({ host, cursorUs }: StreamOptions): Record<string, unknown> {
  return { host: host.url.host, ...(cursorUs === undefined ? {} : { from: new Date(cursorUs / 1000).toISOString() }) };
}

/** Makes items of messages, as they come. */
interface Intake {
  take(bytes: Buffer, isBinary: boolean): void;
  readonly waiting: readonly SourceItem[];
  /** Of the bodies that wait. */
  readonly bytes: number;
  /** The latest time that was seen on this connection; 0 before the first message. */
  readonly timeUs: number;
  readonly failure: Failure | undefined;
  drain(): SourceItem[];
  reportDropped(): void;
}

function createIntake(options: StreamOptions): Intake {
  const { clock, match, mayMatch } = options;
  let waiting: SourceItem[] = [];
  let bytesWaiting = 0;
  let timeUs = 0;
  let brokenInARow = 0;
  let failure: Failure | undefined;
  const unknown = new Set<string>();
  const dropped = new Map<string, number>();
  const drop = (reason: string): void => void dropped.set(reason, (dropped.get(reason) ?? 0) + 1);
  const dead = (reason: string, bytes: Buffer): void => {
    waiting.push({ kind: 'dead', reason, bytes });
    bytesWaiting += bytes.length;
    if (++brokenInARow >= brokenInARowMax) failure ??= { kind: 'garbage', cause: `${brokenInARowMax} messages in a row that are none of the protocol` };
  };
  const arrived = (atUs: number): boolean => {
    if (atUs > (clock.now() + aheadMsMax) * 1000) return false;
    if (timeUs === 0) waiting.push(...options.onFirst(atUs));
    timeUs = Math.max(timeUs, atUs);
    options.onTime(timeUs);
    brokenInARow = 0;
    return true;
  };
  return {
    get waiting() { return waiting; },
    get bytes() { return bytesWaiting; },
    get timeUs() { return timeUs; },
    get failure() { return failure; },
    drain() {
      const drained = waiting;
      waiting = [];
      bytesWaiting = 0;
      return drained;
    },
    reportDropped() {
      for (const [reason, count] of dropped) options.onDropped(reason, count);
      dropped.clear();
    },
    take(bytes, isBinary) {
      if (failure !== undefined) return undefined; // the connection is being closed: what follows is replayed elsewhere
      if (isBinary) return dead('it is binary, which we did not ask for', bytes);
      const frame = readFrame(bytes, mayMatch);
      if (frame.kind === 'broken') return dead(frame.reason, bytes);
      if (!arrived(frame.timeUs)) return dead('its time lies more than a day ahead', bytes);
      switch (frame.kind) {
        case 'passed':
          return drop(frame.why);
        case 'post': {
          const events = match(frame.post, frame.timeUs);
          if (events.length === 0) return drop('no match');
          waiting.push({ kind: 'post', source: 'bluesky', format: 'bluesky', events, receivedAtMs: clock.now(), body: bytes });
          bytesWaiting += bytes.length;
          return undefined;
        }
        case 'deleted':
        case 'account':
          if (isPassing(frame)) return drop('account out of step');
          return void waiting.push(tombstoneOf(frame));
        case 'identity':
          if (frame.handle !== undefined) options.onIdentity(frame.did, frame.handle);
          return drop('identity');
        case 'unknown':
          // One of each kind is kept to be looked at; a new kind of message may come as often as posts.
          if (unknown.has(frame.name) || unknown.size > 20) return drop('unknown kind');
          unknown.add(frame.name);
          waiting.push({ kind: 'dead', reason: `a message of an unknown kind: ${frame.name}`, bytes });
          return undefined;
      }
    },
  };
}

function isPassing(frame: Parameters<typeof tombstoneOf>[0]): boolean {
  return frame.kind === 'account' && !frame.active && passing.has(frame.status);
}

function tombstoneOf(frame: Extract<ReturnType<typeof readFrame>, { kind: 'deleted' | 'account' }>): SourceItem {
  const base = { kind: 'tombstone', source: 'bluesky', atMs: frame.timeUs / 1000 } as const;
  if (frame.kind === 'deleted') return { ...base, what: 'post', id: `${frame.rkey}/${frame.did}`, state: 'gone', why: 'deleted' };
  return { ...base, what: 'author', id: frame.did, state: frame.active ? 'back' : 'gone', why: frame.status };
}

/** What servers say of each other, not of the account (lexicon com.atproto.sync.subscribeRepos, account status). */
const passing: ReadonlySet<string> = new Set(['desynchronized', 'throttled']);
