/** What must be in the tables, known from what the world did and nothing else. */
export interface Model {
  follow(event: string, terms: readonly string[]): void;
  setActive(event: string, active: boolean): void;
  forget(event: string): void;
  readonly events: ReadonlyMap<string, { readonly terms: readonly string[]; readonly active: boolean }>;
  /** While rules are being changed, a post may be taken by the old rule or by the new one. */
  settling: boolean;
  posted(post: { source: string; id: string; text: string; author: string; holds: readonly string[]; atMs: number }): void;
  deleted(source: string, id: string): void;
  account(author: string, isGone: boolean): void;
  /** What was posted after `untilMs` may still be on its way. */
  compare(rows: readonly Row[], gaps: readonly Gap[], untilMs: number): Verdict;
}

export interface Row { readonly event: string; readonly source: string; readonly id: string; readonly text: string; readonly count: number }
/** A gap on record that was not filled; of one event, or of all that were followed. */
export interface Gap {
  readonly source: string; readonly event: string | null; readonly sinceMs: number; readonly untilMs: number;
  /** It is said why not; otherwise it may be filled yet. */
  readonly isFinal: boolean;
}

/** A post that an event asked for and did not get, within a gap on record. */
export interface Excused { readonly event: string; readonly source: string; readonly id: string; readonly atMs: number }

export interface Verdict {
  /** Sentences about what is wrong; empty when all is as it must be. */
  readonly wrong: readonly string[];
  readonly found: number;
  readonly excused: readonly Excused[];
  readonly hidden: number;
}

interface Posted {
  readonly source: string; readonly id: string; readonly text: string; readonly author: string; readonly atMs: number;
  readonly holds: readonly string[];
  readonly must: readonly string[]; readonly may: Set<string>;
}

/** Clocks of networks and ours are one here; what is on record is in whole milliseconds. */
const toleranceMs = 1000;
/** A connection to another host begins 30 s before what was read last; one after a kill a little earlier. */
const replayedMsMax = 40_000;

export function createModel(): Model {
  const events = new Map<string, { terms: readonly string[]; active: boolean }>();
  const removed = new Set<string>();
  const posts = new Map<string, Posted>();
  const gone = new Set<string>();
  const absent = new Set<string>();
  const keyOf = (source: string, id: string): string => `${source} ${id}`;
  const model: Model = {
    events, settling: false,
    follow(event, terms) {
      const before = events.get(event);
      events.set(event, { terms, active: before?.active ?? true });
      if (before?.active === false) return;
      // What is replayed, or asked for again, is judged by the rule in force then: an event takes a little of what was before.
      const sinceMs = Date.now() - replayedMsMax;
      for (const post of posts.values()) {
        if (post.atMs > sinceMs && terms.some((term) => post.holds.includes(term))) post.may.add(event);
      }
    },
    setActive: (event, active) => void events.set(event, { terms: events.get(event)?.terms ?? [], active }),
    forget(event) {
      events.delete(event);
      removed.add(event);
    },
    posted(post) {
      const { holds } = post;
      const takers = [...events].filter(([, { terms, active }]) => active && terms.some((term) => holds.includes(term))).map(([id]) => id);
      const all = [...new Set([...events.keys(), ...removed])];
      posts.set(keyOf(post.source, post.id), { ...post, must: model.settling ? [] : takers, may: new Set(model.settling && holds.length > 0 ? all : takers) });
    },
    deleted: (source, id) => void gone.add(keyOf(source, id)),
    account: (author, isGone) => void (isGone ? absent.add(author) : absent.delete(author)),
    compare(rows, gaps, untilMs) {
      const wrong: string[] = [];
      const isHidden = (post: Posted): boolean => gone.has(keyOf(post.source, post.id)) || absent.has(post.author);
      const seen = new Set<string>();
      for (const row of rows) {
        const post = posts.get(keyOf(row.source, row.id));
        const name = `${row.source} ${row.id} of ${row.event}`;
        seen.add(`${row.event} ${keyOf(row.source, row.id)}`);
        if (post === undefined) wrong.push(`${name} was never posted`);
        else if (row.count !== 1) wrong.push(`${name} is there ${row.count} times`);
        else if (post.text !== row.text) wrong.push(`${name} has another text: ${JSON.stringify(row.text)} instead of ${JSON.stringify(post.text)}`);
        else if (isHidden(post)) wrong.push(`${name} is to be hidden`);
        else if (!post.may.has(row.event)) {
          wrong.push(`${name} does not belong there, posted ${new Date(post.atMs).toISOString()}: ${JSON.stringify(post.text)}`);
        }
        else if (removed.has(row.event)) wrong.push(`${name} is shown though the event was deleted`);
      }
      const excused: Excused[] = [];
      let hidden = 0;
      for (const post of posts.values()) {
        if (isHidden(post)) hidden++;
        for (const event of post.must) {
          if (post.atMs > untilMs || isHidden(post) || removed.has(event) || seen.has(`${event} ${keyOf(post.source, post.id)}`)) continue;
          const inGap = gaps.some((gap) => gap.source === post.source && (gap.event === null || gap.event === event)
            && post.atMs >= gap.sinceMs - toleranceMs && post.atMs <= gap.untilMs + toleranceMs);
          if (inGap) excused.push({ event, source: post.source, id: post.id, atMs: post.atMs });
          else wrong.push(`${post.source} ${post.id} of ${event} is missing, posted ${new Date(post.atMs).toISOString()}: ${JSON.stringify(post.text)}`);
        }
      }
      return { wrong, found: rows.length, excused, hidden };
    },
  };
  return model;
}
