import type { PostFormat } from '#core/contract/envelope.ts';

/**
 * How one format of post becomes a row of `posts`, in DuckDB's SQL over a typed JSON reading of the record.
 * The writer reads lines with `read_ndjson(columns = {o: BIGINT, p: INTEGER, events: …, receivedAt: VARCHAR, post:
 * <postType>})`.
 */
export interface Projection {
  readonly format: PostFormat;
  /** DuckDB type of the member `post`, as written in `columns`: what is not named is not parsed. */
  readonly postType: string;
  /**
   * Parts of `post` that several expressions ask for, by name: each level is computed once, and may use those before
   * it. (DuckDB computes an expression that occurs in several branches of CASE as often as it occurs.)
   */
  readonly parts?: readonly Readonly<Record<string, string>>[];
  /**
   * Expressions over `post` and the parts by column name of table posts, for all columns but event_id, source, collected_at, matched,
   * log_partition and log_offset, which the writer fills. A missing key is null. `post_id` and `created_at` must not be
   * null for a row to be kept: otherwise the record is dead with the reason `dead`.
   */
  readonly select: Readonly<Record<string, string>>;
}

/** A FROM item with the columns of `records` (a FROM item with column `post`) and the projection's parts. */
export function withParts(projection: Projection, records: string): string {
  return (projection.parts ?? []).reduce((from, level) =>
    `(select *, ${Object.entries(level).map(([name, expression]) => `${expression} as ${name}`).join(', ')} from ${from})`, records);
}
