import Type, { type Static } from 'typebox';

/** A term is a word, a `"quoted phrase"` or a `#hashtag`. */
const Terms = Type.Array(Type.String({ minLength: 1, maxLength: 200 }), { maxItems: 500 });

export const Rule = Type.Object({
  any: Type.Optional(Terms),
  all: Type.Optional(Terms),
  none: Type.Optional(Terms),
  accounts: Type.Optional(Terms),
  languages: Type.Optional(Terms),
  places: Type.Optional(Terms),
}, { additionalProperties: false });
export type Rule = Static<typeof Rule>;

export const eventStatuses = ['active', 'paused', 'archived'] as const;
export const EventStatus = Type.Union(eventStatuses.map((status) => Type.Literal(status)));
export type EventStatus = (typeof eventStatuses)[number];

export const collectorNames = ['x', 'bluesky', 'replay'] as const;
export type CollectorName = (typeof collectorNames)[number];

const Instant = Type.String({ format: 'date-time' });
const Nullable = <T extends Parameters<typeof Type.Union>[0][number]>(schema: T) => Type.Union([schema, Type.Null()]);

/** An event as the API shows it (architecture.md §8). */
export const CrisisEvent = Type.Object({
  id: Type.String(),
  name: Type.String({ minLength: 1, maxLength: 200 }),
  description: Type.String({ maxLength: 5000 }),
  status: EventStatus,
  sources: Type.Array(Type.Union(collectorNames.map((name) => Type.Literal(name))), { uniqueItems: true }),
  rule: Rule,
  start: Nullable(Instant),
  end: Nullable(Instant),
  /** Grows by one with every change; PATCH may send it back (`If-Match`) to be refused when somebody was quicker. */
  version: Type.Integer(),
  createdAt: Instant,
  createdBy: Type.String(),
  updatedAt: Instant,
  updatedBy: Type.String(),
});
export interface CrisisEvent {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly status: EventStatus;
  readonly sources: readonly CollectorName[];
  readonly rule: Rule;
  readonly start: string | null;
  readonly end: string | null;
  readonly version: number;
  readonly createdAt: string;
  readonly createdBy: string;
  readonly updatedAt: string;
  readonly updatedBy: string;
}

/** One change of an event: who made it, and what was before and after. */
export interface HistoryEntry {
  readonly version: number;
  readonly at: string;
  readonly by: string;
  readonly change: string;
  readonly from: unknown;
  readonly to: unknown;
}
