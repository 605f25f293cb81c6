import type { CollectorName } from '#core/contract/event.ts';
import type { PostFormat, SourceName } from '#core/contract/envelope.ts';
import type { CrisisEvent } from '#core/contract/event.ts';
import type { EventSpan } from '#core/events/spans.ts';

/**
 * A network, or a file that stands for one: an async iteration of what happened, with a cursor.
 *
 * - **At least once**: after a restart it goes on from the cursor that was stored last, and may repeat.
 * - **Back-pressure**: it reads on only as the consumer takes; what the network drops meanwhile becomes a gap.
 * - **Honesty**: it says when it was connected, what it missed (`journal` items) and what it was refused.
 * - **Errors** end the iteration only when it cannot go on without a person (`unauthorized`, `bad_config`).
 *   Everything else it survives by itself, with back-off, and tells in the journal.
 */
export interface Source {
  readonly name: CollectorName;
  /** `events` always yields the whole current list of this source's active events, again whenever it changes. */
  read(input: { cursor: string | undefined; events: EventFeed; signal: AbortSignal }): AsyncIterable<SourceItem>;
}

export interface EventFeed {
  /** The active events of this source, now. */
  current(): readonly CrisisEvent[];
  /** Resolves when the list has changed since `current` was called with this version. */
  changed(signal: AbortSignal): Promise<void>;
  /** How events of this source were followed between two instants, by the rules of then, pauses left out. */
  during(sinceMs: number, untilMs: number, signal: AbortSignal): Promise<readonly EventSpan[]>;
}

export type SourceItem = PostItem | DeadItem | TombstoneItem | JournalItem | CursorItem;

/** A post that belongs to at least one event. */
export interface PostItem {
  readonly kind: 'post';
  readonly source: SourceName;
  readonly format: PostFormat;
  readonly events: readonly { readonly id: string; readonly matched: readonly string[] }[];
  readonly receivedAtMs: number;
  /** The source's own JSON, untouched. */
  readonly body: Uint8Array;
}

export interface DeadItem {
  readonly kind: 'dead';
  readonly reason: string;
  readonly bytes: Uint8Array;
  /** The whole length where `bytes` are only the beginning. */
  readonly bytesLength?: number;
}

export interface TombstoneItem {
  readonly kind: 'tombstone';
  readonly source: SourceName;
  readonly what: 'post' | 'author';
  readonly id: string;
  readonly state: 'gone' | 'back';
  readonly why: string;
  /** When it happened, by the network, where it says so: of replayed states the latest wins, not the one told last. */
  readonly atMs?: number;
}

export interface JournalItem {
  readonly kind: 'journal';
  readonly entry: {
    readonly kind: 'connected' | 'disconnected' | 'gap' | 'rate_limited' | 'rules_changed' | 'undelivered';
    readonly eventId?: string;
    readonly sinceMs?: number;
    readonly untilMs?: number;
    readonly cause?: string;
    readonly filledAtMs?: number;
    readonly count?: number;
    readonly detail?: Readonly<Record<string, unknown>>;
  };
}

/** Everything before this item may be forgotten once it is in the log: where to go on after a restart. */
export interface CursorItem {
  readonly kind: 'cursor';
  readonly cursor: string;
  /** The network's time up to which it was read, where the source knows; null where there is nothing to be behind of. */
  readonly readUntilMs?: number | null;
}
