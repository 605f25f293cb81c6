import { chmod } from 'node:fs/promises';
import { seededRandom, type Random } from '#core/clock.ts';
import { startKafka } from '../services/kafka.ts';
import { startPostgres } from '../services/postgres.ts';
import { removeFolder, temporaryFolder } from '../services/process.ts';
import { createFakeBluesky } from '../world/bluesky.ts';
import { startFakeX } from '../world/x.ts';
import { allDeeds } from './deeds.ts';
import { createLake } from './lake.ts';
import { createModel, type Gap, type Row, type Verdict } from './model.ts';
import { gapsOf, healthy, keepPosting, makeEvent, record, revive, settled, sleep, until, type Stage } from './stage.ts';

export interface OracleOptions {
  readonly seed: number;
  /** How long deeds are done, but each at least once; starting, and waiting for what is on its way, come on top. */
  readonly seconds: number;
  /** On Kafka instead of the embedded log. */
  readonly kafka?: boolean;
  /** The programs apart instead of all in one process: any of them may be killed. */
  readonly apart?: boolean;
  readonly note?: (text: string) => void;
}

export interface OracleReport extends Verdict {
  /** Gaps on record that were not filled. */
  readonly gaps: readonly Gap[];
  readonly posts: number;
  /** How often a program had ended by itself, and was started again as whoever runs it would. */
  readonly revived: number;
  readonly deeds: Readonly<Record<string, number>>;
  /** What was done to the events, when: to read beside what is wrong. */
  readonly history: readonly string[];
}

/**
 * Two networks post for so many seconds of real time, while events are edited, connections fail in all ways, and Watershed and its
 * database are killed. Then: every post of the networks that an event asked for is in the table exactly once with its text
 * byte for byte, or within a gap on record; nothing else is; and what was deleted is hidden.
 */
export async function runOracle(options: OracleOptions): Promise<OracleReport> {
  const { seed, seconds, note = () => undefined } = options;
  await using stack = new AsyncDisposableStack();
  const stage = await setUp(options, stack);
  await stage.lake.start();
  stage.model.settling = true;
  for (const name of ['alpha', 'beta', 'gamma']) await makeEvent(stage, `${name} ${seed}`);
  const posting = keepPosting(stage);
  stack.defer(() => posting.stop());
  await settled(stage);
  stage.model.settling = false;
  const deeds: Record<string, number> = {};
  const startedAt = performance.now();
  const waiting: string[] = [];
  for (let at = 0, round = 0; at < seconds || (round === 1 && waiting.length > 0); at = (performance.now() - startedAt) / 1000) {
    if (waiting.length === 0) {
      waiting.push(...shuffled(stage.random, Object.keys(allDeeds)));
      round++;
    }
    const deed = waiting.pop() ?? '';
    deeds[deed] = (deeds[deed] ?? 0) + 1;
    note(`${Math.round(at)} of ${seconds} s, ${stage.posts} posts: ${deed}`);
    record(stage, deed);
    await allDeeds[deed]?.(stage);
    await revive(stage);
  }
  note(`after ${Math.round((performance.now() - startedAt) / 1000)} s: waiting for what is on its way`);
  await calm(stage);
  const verdict = await judge(stage);
  const journal = await stage.lake.rows('select "at", source, kind, event_id, since, until, filled_at, cause, detail from journal order by "at"');
  stage.history.push(...journal.map((row) => JSON.stringify(row)));
  return { ...verdict, posts: stage.posts, revived: stage.revived, deeds, history: stage.history };
}

function shuffled(random: Random, names: readonly string[]): string[] {
  return names.map((name) => ({ name, at: random() })).toSorted((a, b) => a.at - b.at).map(({ name }) => name);
}

async function setUp({ seed, kafka = false, apart = false }: OracleOptions, stack: AsyncDisposableStack): Promise<Stage> {
  const folder = await temporaryFolder('oracle');
  stack.defer(() => removeFolder(folder));
  await chmod(folder, 0o711);
  const postgres = await startPostgres();
  stack.defer(() => postgres.stop());
  const broker = kafka ? stack.use(await startKafka()) : undefined;
  const network = createFakeBluesky({ seed });
  const hosts = [stack.use(await network.host()), stack.use(await network.host())];
  const x = stack.use(await startFakeX({ seed }));
  const lake = stack.use(createLake({ folder, apart, environment: {
    DATABASE_URL: postgres.url, WATERSHED_BLUESKY_URL: hosts.map(({ url }) => url).join(','), WATERSHED_X_URL: x.url,
    WATERSHED_X_BEARER_TOKEN: x.token, ...(broker === undefined ? {} : { KAFKA_BROKERS: broker.brokers }) } }));
  const authors = Array.from({ length: 30 }, () => network.makeDid());
  return {
    random: seededRandom(seed), people: seededRandom(seed + 1), model: createModel(), network, hosts, x, lake, postgres,
    absent: new Set(), authors, history: [], posts: 0, revived: 0,
  };
}

/** Waits until everything is whole, and what was on its way has arrived: also what X is asked for afterwards. */
async function calm(stage: Stage): Promise<void> {
  stage.hosts.forEach((host) => host.silence(false));
  stage.x.silence(false);
  await settled(stage);
  await healthy(stage);
  await until(stage, 'X was asked for its gaps', async () => (await gapsOf(stage)).every(({ isFinal }) => isFinal));
  await sleep(2000);
}

/** Compared again and again for a while: what was posted last is on its way, and so are gaps and what fills them. */
async function judge(stage: Stage): Promise<Verdict & { gaps: readonly Gap[] }> {
  const giveUpAt = performance.now() + 60_000;
  for (;;) {
    const atMs = Date.now();
    const rows = await stage.lake.rows<{ event: string; source: string; id: string; text: string; n: number }>(
      'select event_id as event, source, post_id as id, text, count(*) as n from posts group by event_id, source, post_id, text');
    const gaps = await gapsOf(stage);
    const verdict = stage.model.compare(rows.map((row): Row => ({ ...row, count: row.n })), gaps, atMs - 10_000);
    const isWhole = verdict.wrong.length === 0 && gaps.every(({ isFinal }) => isFinal);
    if (isWhole || performance.now() > giveUpAt) return { ...verdict, gaps };
    await sleep(1000);
  }
}
