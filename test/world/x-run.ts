import { manualClock, systemClock, type Clock, type ManualClock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import { xSource } from '#ingest/sources/x/x.ts';
import type { JournalItem, PostItem, SourceItem } from '#ingest/sources/source.ts';
import { createFakeFeed, type FakeFeed } from './feed.ts';
import { startFakeX, type FakeX, type FakeXOptions } from './x.ts';

/** An active event of source x. */
export function crisis(id: string, any: readonly string[], more: Partial<CrisisEvent> = {}): CrisisEvent {
  return { id, name: id, description: '', status: 'active', sources: ['x'], rule: { any: [...any] }, start: null, end: null, version: 1,
    createdAt: '2026-01-01T00:00:00.000Z', createdBy: 'admin', updatedAt: '2026-01-01T00:00:00.000Z', updatedBy: 'admin', ...more };
}

export const flood = crisis('flood', ['flood', '#abflood']);

export interface Run extends AsyncDisposable {
  readonly fake: FakeX;
  readonly items: SourceItem[];
  readonly feed: FakeFeed;
  readonly clock: ManualClock | undefined;
  posts(): string[];
  journal(kind?: JournalItem['entry']['kind']): JournalItem['entry'][];
  cursor(): string | undefined;
  /** Waits for a condition; moves the manual clock on while it does not hold. */
  until(condition: () => boolean, stepMs?: number): Promise<void>;
  stop(): Promise<void>;
  readonly ended: Promise<unknown>;
  over(): boolean;
  readonly dropped: string[];
}

interface Setting extends FakeXOptions {
  readonly events?: readonly CrisisEvent[];
  /** How the events were before, and until when. */
  readonly earlier?: Parameters<typeof createFakeFeed>[2];
  readonly manual?: boolean;
  readonly cursor?: string;
  readonly postsPerMonth?: number;
  readonly token?: string;
  readonly on?: FakeX;
  readonly consume?: (item: SourceItem) => Promise<void>;
  readonly startMs?: number;
  /** The stream has a keep-alive at every step of `until`. */
  readonly alive?: boolean;
}

/** Source x on a fake X of its own, or on a given one, and all that it says. */
export async function start(setting: Setting = {}): Promise<Run> {
  const clock = setting.manual === true ? manualClock(setting.startMs) : undefined;
  const now: Clock = clock ?? systemClock;
  const fake = setting.on ?? await startFakeX({ now: () => now.now(), ...setting });
  const feed = createFakeFeed(setting.events ?? [flood], () => now.now(), setting.earlier);
  const stop = new AbortController();
  const items: SourceItem[] = [];
  const dropped: string[] = [];
  const source = xSource({ url: fake.url, token: setting.token ?? fake.token, clock: now, postsPerMonth: setting.postsPerMonth ?? 0,
    onDropped: (reason) => dropped.push(reason) });
  const ended = (async () => {
    for await (const item of source.read({ cursor: setting.cursor, events: feed, signal: stop.signal })) {
      items.push(item);
      await setting.consume?.(item);
    }
  })().catch((error: unknown) => error);
  let over = false;
  void ended.then(() => { over = true; });
  const journal = (kind?: JournalItem['entry']['kind']): JournalItem['entry'][] =>
    items.flatMap((item) => item.kind === 'journal' && (kind === undefined || item.entry.kind === kind) ? [item.entry] : []);
  const run: Run = {
    fake, items, feed, clock, journal, dropped, ended, over: () => over,
    posts: () => items.filter((item): item is PostItem => item.kind === 'post').map((item) => Buffer.from(item.body).toString('utf8')),
    cursor: () => items.findLast((item) => item.kind === 'cursor')?.cursor,
    async until(condition, stepMs = 100) {
      const deadline = Date.now() + 40_000;
      while (!condition()) {
        if (Date.now() > deadline) throw new Error(`never: ${condition.toString()}\n${JSON.stringify(journal())} ${items.length} items`);
        if (setting.alive === true) fake.keepAlive();
        await clock?.advance(stepMs);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    },
    async stop() {
      stop.abort();
      await ended;
    },
    async [Symbol.asyncDispose]() {
      await run.stop();
      if (setting.on === undefined) await fake[Symbol.asyncDispose]();
    },
  };
  return run;
}
