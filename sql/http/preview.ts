import { text } from 'node:stream/consumers';
import type { Rule } from '#core/contract/event.ts';
import { type MatchablePost, compileRules } from '#core/match/matcher.ts';
import type { Engine } from '../engine/engine.ts';

/** What a rule finds among the newest posts in the lake. */
export interface Preview {
  /** How many posts were looked at, and whether these are all there are. */
  readonly looked: number;
  readonly complete: boolean;
  /** When the oldest of them was written; null for an empty lake. */
  readonly since: string | null;
  readonly matched: number;
  /** The newest that match, at most as many as were asked for. */
  readonly posts: readonly PreviewPost[];
}

export interface PreviewPost {
  readonly source: string;
  readonly postId: string;
  readonly createdAt: string;
  readonly author: string | null;
  readonly text: string;
  /** The terms of the rule that it holds. */
  readonly matched: readonly string[];
  /** The events that it belongs to already. */
  readonly events: readonly string[];
}

export type PreviewRule = (rule: Rule, postsMax: number, user: string, signal: AbortSignal) => Promise<Preview>;

/** Enough to judge a rule by, and read in a second or two. */
const looksMax = 20_000;
const bytesMax = 64 * 1024 * 1024;
const timeoutMsMax = 15_000;

const statement = `select event_id, source, post_id, created_at, author_id, author_handle, text, lang, hashtags, urls,
    place, country, latitude, longitude
  from posts order by created_at desc nulls last limit ${looksMax}`;

/**
 * Looks at the newest posts with the matcher that collectors use, so that the answer is theirs. `timeoutMs` is what any
 * statement may take; a preview takes 15 s at most. Errors: `bad_request`
 * for a rule that is none, `limit_exceeded`, `cancelled`, `unavailable` of the engine.
 */
export function previewOn(engine: Engine, timeoutMs: number): PreviewRule {
  return async (rule, postsMax, user, signal) => {
    const matcher = compileRules([{ id: 'preview', rule }]);
    const result = await engine.run({
      sql: statement,
      params: [],
      user,
      encoding: 'ndjson',
      signal,
      limits: { timeoutMs: Math.min(timeoutMs, timeoutMsMax), rowsMax: looksMax, bytesMax },
    });
    const lines = (await text(result.chunks)).split('\n').filter((line) => line !== '');
    const { truncated } = await result.summary;
    const rows = new Map<string, { row: Row; events: Set<string> }>();
    for (const line of lines) {
      const row = JSON.parse(line) as Row; // the columns of the statement above
      const key = `${row.source} ${row.post_id}`;
      const known = rows.get(key);
      if (known === undefined) rows.set(key, { row, events: new Set([row.event_id]) });
      else known.events.add(row.event_id);
    }
    const found = [...rows.values()].flatMap(({ row, events }): PreviewPost[] => {
      const [match] = matcher.match(matchableOf(row));
      return match === undefined
        ? []
        : [
            {
              source: row.source,
              postId: row.post_id,
              createdAt: row.created_at,
              author: row.author_handle ?? row.author_id,
              text: row.text ?? '',
              matched: match.matched,
              events: [...events],
            },
          ];
    });
    const oldest = [...rows.values()].at(-1)?.row.created_at;
    return {
      looked: rows.size,
      complete: lines.length < looksMax && !truncated,
      since: oldest ?? null,
      matched: found.length,
      posts: found.slice(0, postsMax),
    };
  };
}

interface Row {
  readonly event_id: string;
  readonly source: string;
  readonly post_id: string;
  readonly created_at: string;
  readonly author_id: string | null;
  readonly author_handle: string | null;
  readonly text: string | null;
  readonly lang: string | null;
  readonly hashtags: readonly string[] | null;
  readonly urls: readonly string[] | null;
  readonly place: string | null;
  readonly country: string | null;
  readonly latitude: number | null;
  readonly longitude: number | null;
}

function matchableOf(row: Row): MatchablePost {
  const { place, country, latitude, longitude } = row;
  return {
    texts: [row.text ?? ''],
    hashtags: row.hashtags ?? [],
    urls: row.urls ?? [],
    ...(row.lang === null ? {} : { languages: [row.lang] }),
    ...(row.author_handle === null ? {} : { authorHandle: row.author_handle }),
    ...(row.author_id === null ? {} : { authorId: row.author_id }),
    place: {
      ...(place === null ? {} : { name: place }),
      ...(country === null ? {} : { country }),
      ...(latitude === null ? {} : { latitude }),
      ...(longitude === null ? {} : { longitude }),
    },
  };
}
