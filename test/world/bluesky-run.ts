import { manualClock, type ManualClock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { blueskySource } from '#ingest/sources/bluesky/bluesky.ts';
import type { JournalItem, SourceItem } from '#ingest/sources/source.ts';
import { createFakeBluesky, type FakeBluesky, type FakeHost } from './bluesky.ts';
import { createFakeFeed } from './feed.ts';

/** An active event of source bluesky. */
export function event(id: string, any: readonly string[], more: Partial<CrisisEvent> = {}): CrisisEvent {
  return { id, name: id, description: '', status: 'active', sources: ['bluesky'], rule: { any: [...any] }, start: null, end: null, version: 1,
    createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'admin', updatedAt: '2026-01-01T00:00:00.000Z', updatedBy: 'admin', ...more };
}

/** The whole program of a test: a network, its hosts, the source that follows it, and what came out. */
export interface Run extends AsyncDisposable {
  readonly network: FakeBluesky;
  readonly hosts: readonly FakeHost[];
  readonly clock: ManualClock;
  readonly items: SourceItem[];
  readonly dropped: Map<string, number>;
  /** Ids of collected posts with their events, in order. */
  posts(): string[];
  journal(kind?: JournalItem['entry']['kind']): JournalItem['entry'][];
  tombstones(): string[];
  dead(): string[];
  cursor(): string | undefined;
  setEvents(events: readonly CrisisEvent[]): void;
  /** Waits until it holds; while it does not, moves the clock on by `stepMs`. */
  until(condition: () => boolean, stepMs?: number): Promise<void>;
  stop(): Promise<void>;
}

export interface Setting {
  readonly events?: readonly CrisisEvent[];
  /** How the events were before, and until when. */
  readonly earlier?: Parameters<typeof createFakeFeed>[2];
  readonly hosts?: number;
  readonly cursor?: string | undefined;
  /** Goes on with the network, the hosts and the clock of another run. */
  readonly after?: Run;
  /** What happened before the source began. */
  readonly before?: (network: FakeBluesky, clock: ManualClock) => void | Promise<void>;
  /** Addresses instead of those of the fake's hosts. */
  readonly urls?: readonly string[];
  /** How far the network's clock is ahead of ours. */
  readonly skewMs?: number;
  /** What the consumer does with each item before it takes the next. */
  readonly consume?: (item: SourceItem) => Promise<void>;
}

const patienceMs = 15_000;

export async function run(setting: Setting = {}): Promise<Run> {
  const clock = setting.after?.clock ?? manualClock(Date.UTC(2026, 10, 24, 12));
  const network = setting.after?.network ?? createFakeBluesky({ seed: 7, nowMs: () => clock.now() + (setting.skewMs ?? 0) });
  await setting.before?.(network, clock);
  const hosts = setting.after?.hosts ?? await Promise.all(Array.from({ length: setting.hosts ?? 1 }, () => network.host()));
  const dropped = new Map<string, number>();
  const feed = createFakeFeed(setting.events ?? [event('flood', ['flood'])], () => clock.now(), setting.earlier);
  const source = blueskySource({
    urls: setting.urls ?? hosts.map(({ url }) => url), clock, random: () => 0.5, resolveHandle: (handle) => network.resolveHandle(handle),
    onDropped: (reason, count) => void dropped.set(reason, (dropped.get(reason) ?? 0) + count),
  });
  const stop = new AbortController();
  const items: SourceItem[] = [];
  const ended = (async () => {
    for await (const item of source.read({ cursor: setting.cursor, events: feed, signal: stop.signal })) {
      await setting.consume?.(item);
      items.push(item);
    }
  })();
  ended.catch(() => undefined);
  let stopped = false;
  const stopRun = async (): Promise<void> => {
    stopped = true;
    stop.abort(new Error('the test is over'));
    await ended;
  };
  return {
    network, hosts, clock, items, dropped, setEvents: (events) => feed.set(events),
    posts: () => items.flatMap((item) => item.kind === 'post' ? [`${idOf(item.body)} ${item.events.map(({ id }) => id).join()}`] : []),
    journal: (kind) => items.flatMap((item) => item.kind === 'journal' && (kind === undefined || item.entry.kind === kind) ? [item.entry] : []),
    tombstones: () => items.flatMap((item) => item.kind === 'tombstone' ? [`${item.what} ${item.id} ${item.state} ${item.why}`] : []),
    dead: () => items.flatMap((item) => item.kind === 'dead' ? [item.reason] : []),
    cursor: () => items.findLast((item) => item.kind === 'cursor')?.cursor,
    async until(condition, stepMs = 0) {
      const giveUpAt = performance.now() + patienceMs;
      while (!condition()) {
        if (performance.now() > giveUpAt) throw new Error(`it did not come: ${condition.toString()}; journal ${JSON.stringify(items.filter(({ kind }) => kind === 'journal'))}`);
        await clock.advance(stepMs);
        await new Promise((resolve) => setTimeout(resolve, 1)); // real sockets need real time
      }
    },
    stop: stopRun,
    async [Symbol.asyncDispose]() {
      if (!stopped) await stopRun();
      if (setting.after === undefined) for (const host of hosts) await host[Symbol.asyncDispose]();
    },
  };
}

function idOf(body: Uint8Array): string {
  const { did, commit } = JSON.parse(Buffer.from(body).toString('utf8'));
  return `${commit.rkey}/${did}`;
}
