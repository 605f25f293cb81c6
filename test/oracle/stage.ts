import type { Random } from '#core/clock.ts';
import type { TestPostgres } from '../services/postgres.ts';
import type { FakeBluesky, FakeHost } from '../world/bluesky.ts';
import type { FakeX } from '../world/x.ts';
import type { Lake } from './lake.ts';
import type { Gap, Model } from './model.ts';
import { makeText, subjects } from './people.ts';

/** Everything that takes part. */
export interface Stage {
  /** Of what is done; who posts what when has chance of its own, for that runs beside. */
  readonly random: Random;
  readonly people: Random;
  readonly model: Model;
  readonly network: FakeBluesky;
  readonly hosts: readonly FakeHost[];
  readonly x: FakeX;
  readonly lake: Lake;
  readonly postgres: TestPostgres;
  readonly absent: Set<string>;
  readonly authors: readonly string[];
  readonly history: string[];
  posts: number;
  revived: number;
}

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

export function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)] as T; // never empty here
}

export function record(stage: Stage, what: string): void {
  stage.history.push(`${new Date().toISOString()} ${what}`);
}

export async function revive(stage: Stage): Promise<void> {
  if (!await stage.lake.revive()) return;
  stage.revived++;
  record(stage, `it had ended by itself:\n${await stage.lake.output()}`);
}

/** A call that must be taken in the end; the database may be on its way up. */
export async function must(stage: Stage, method: string, path: string, body?: unknown): Promise<unknown> {
  for (let attempt = 0; ; attempt++) {
    const answer = await stage.lake.call(method, path, body).catch((error: unknown) => ({ status: 599, body: String(error) }));
    if (answer.status === 599) await revive(stage);
    if (answer.status < 300) {
      if (method !== 'GET') record(stage, `${method} ${path} ${JSON.stringify(body ?? null)}`);
      return answer.body;
    }
    // An answer that was lost: it was done.
    if (attempt > 0 && method === 'DELETE' && answer.status === 404) return undefined;
    if (answer.status < 500 || attempt === 40) throw new Error(`${method} ${path} was answered with ${answer.status}: ${JSON.stringify(answer.body)}`);
    await sleep(300);
  }
}

export async function until(stage: Stage, what: string, condition: () => Promise<boolean>, withinMs = 120_000): Promise<void> {
  const giveUpAt = performance.now() + withinMs;
  let last: unknown;
  while (!await condition().catch((error: unknown) => { last = error; })) {
    await revive(stage);
    if (performance.now() > giveUpAt) {
      throw new Error(`it did not come that ${what}:\n${stage.history.join('\n')}\n${await stage.lake.output()}`, { cause: last });
    }
    await sleep(100);
  }
}

/**
 * Rules are changed while all is well, and posts of these moments may go either way. `work` tells whether what is
 * followed changes; then both collectors say in the journal that they have taken it.
 */
export async function whileSettling(stage: Stage, work: () => Promise<boolean>): Promise<void> {
  await healthy(stage);
  stage.model.settling = true;
  await sleep(1500);
  const sinceMs = Date.now();
  if (await work()) await taken(stage, sinceMs);
  await settled(stage);
  stage.model.settling = false;
}

/** A collector that is ended after it took the rules and before it could say so, never says it: hence no longer than this. */
const takenWithinMs = 20_000;

async function taken(stage: Stage, sinceMs: number): Promise<void> {
  const since = new Date(sinceMs).toISOString();
  const giveUpAt = performance.now() + takenWithinMs;
  await until(stage, 'the rules are taken', async () => {
    await sleep(200);
    const rows = await stage.lake.rows(`select distinct source from journal where kind = 'rules_changed' and "at" >= timestamp '${since.slice(0, -1)}' and cause is null`);
    return rows.length === 2 || performance.now() > giveUpAt;
  });
}

export async function settled(stage: Stage): Promise<void> {
  await sleep(1000);
  const follows = [...stage.model.events.values()].some(({ active }) => active);
  await until(stage, 'X is connected', async () => !follows || stage.x.connected());
  await healthy(stage);
}

export async function healthy(stage: Stage): Promise<void> {
  await until(stage, 'the collectors are connected', async () => {
    const { body } = await stage.lake.call('GET', '/api/status');
    const { collectors } = body as { collectors: { source: string; state: string; lagSeconds: number | null }[] }; // of /api/status
    const bluesky = collectors.find(({ source }) => source === 'bluesky');
    return bluesky?.state === 'connected' && (bluesky.lagSeconds ?? 99) < 4 && stage.hosts.some((host) => host.connected() > 0);
  });
}

/** True when the event is followed from now on. */
export async function makeEvent(stage: Stage, name: string): Promise<true> {
  const terms = someTerms(stage.random);
  const { id } = await must(stage, 'POST', '/api/events', { name, sources: ['bluesky', 'x'], rule: { any: terms } }) as { id: string }; // an event
  stage.model.follow(id, terms);
  return true;
}

export function someTerms(random: Random): string[] {
  const chosen = subjects.filter(() => random() < 0.4).map(({ term }) => term);
  return chosen.length === 0 ? [pick(random, subjects).term] : chosen;
}

/** People go on posting whatever happens to Watershed. */
export function keepPosting(stage: Stage): { stop(): Promise<void> } {
  let stopped = false;
  const loop = (async () => {
    for (let turn = 0; !stopped; turn++) {
      postOne(stage, turn % 6 === 0);
      if (turn % 100 === 0) stage.x.keepAlive();
      if (turn % 10 === 0) stage.network.other('app.bsky.feed.like');
      await sleep(stage.people() * 60);
    }
  })();
  return {
    async stop() {
      stopped = true;
      await loop;
    },
  };
}

function postOne(stage: Stage, onX: boolean): void {
  const { text, holds } = makeText(stage.people, stage.posts++, onX);
  if (onX) {
    const post = stage.x.makePost(text);
    stage.model.posted({ source: 'x', id: post.id, text, author: post.author.id, holds, atMs: post.createdAtMs });
    stage.x.publish(post);
    return;
  }
  const did = pick(stage.people, stage.authors.filter((author) => !stage.absent.has(author)));
  const post = stage.network.post({ text, did });
  stage.model.posted({ source: 'bluesky', id: post.id, text, author: did, holds, atMs: post.timeUs / 1000 });
}

/** Gaps on record that were not filled, or not yet. */
export async function gapsOf({ lake }: Stage): Promise<Gap[]> {
  const rows = await lake.rows<{ source: string; event_id: string | null; since: string; until: string; filled: boolean; said: boolean }>(
    `select source, event_id, since, until, bool_or(filled_at is not null) as filled, bool_or(detail is not null) as said from journal
     where kind = 'gap' group by source, event_id, since, until`);
  // One that a kill left behind was told again, up to a later time, by the next start.
  const isLeft = ({ source, event_id: event, since, until: end, said }: typeof rows[number]): boolean => !said
    && rows.some((other) => other.source === source && other.event_id === event && other.since === since && other.until > end);
  return rows.filter((row) => !row.filled && !isLeft(row)).map(({ source, event_id: event, since, until: end, said }) => (
    { source, event, sinceMs: Date.parse(since), untilMs: Date.parse(end), isFinal: said }));
}
