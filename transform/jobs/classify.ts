import { randomUUID } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { DuckDBConnection } from '@duckdb/node-api';
import Type from 'typebox';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Metrics } from '#core/metrics.ts';
import { literal, type Duck } from '#warehouse/duck.ts';
import { encodeParquet, type EncodedFile } from '#warehouse/encode.ts';
import { commitAppend, type CrashPoint } from '#warehouse/table/append.ts';
import { dataFileFromStats } from '#warehouse/table/datafile.ts';
import type { TableMetadata } from '#warehouse/table/metadata.ts';
import type { Answer, ClassifiablePost, Classifier } from '../classifiers/classifier.ts';
import { adaptedProperty, dropUnneeded, loadAdaptations, saveAdaptations, type Adaptations } from './adaptations.ts';
import type { JobContext, JobDefinition } from './job.ts';
import { loadTables, showRows, type JobLake } from './lake-files.ts';
import { planNext, type Plan } from './marks.ts';
import { conditionOf, filterOf } from './ranges.ts';

export interface ClassifyOptions extends JobLake {
  readonly duck: Duck;
  readonly metrics: Metrics;
  readonly classifier: Classifier;
  /** Identity of topic `posts`. */
  readonly logIdentity: string;
  /** Told after each commit with the number of posts; may be lost. */
  readonly onCommit: (posts: number) => void;
  readonly crashPoint: CrashPoint;
}

const Payload = Type.Object({}, { additionalProperties: false });

/**
 * Says of every post what it is: takes the posts that landed since the mark, classifies them in the order of the log,
 * and commits labels, mark and adaptation together. Ends when nothing is left; a hint after each commit of the writer
 * starts it again, the schedule makes up for hints that were lost.
 */
export function classifyJob(options: ClassifyOptions): JobDefinition<typeof Payload> {
  const memory: { adaptations: Adaptations | undefined } = { adaptations: undefined };
  return {
    name: 'classify',
    description:
      'Says of each post whether it is about the crisis, which kind of information it is and in which language',
    payload: Payload,
    schedule: { when: { everyMs: 5_000 }, payload: {} },
    concurrency: 1,
    attempts: 5,
    run: (_payload, context) => classifyAll(options, memory, context),
  };
}

/** Another process may classify too: it takes the next range when this one loses. */
const lostRacesMax = 5;

async function classifyAll(
  options: ClassifyOptions,
  memory: { adaptations: Adaptations | undefined },
  context: JobContext,
): Promise<void> {
  const connection = await options.duck.connect();
  let done = 0;
  let lost = 0;
  try {
    while (!context.signal.aborted) {
      const state = await loadTables(options, ['posts', 'classifications']);
      const plan = planNext({ ...state, logIdentity: options.logIdentity, version: options.classifier.version, recordsMax: options.classifier.commitPostsMax });
      if (plan === undefined) return;
      const pointer = state.classifications.properties[adaptedProperty(options.classifier.version)];
      try {
        const before = await loadAdaptations(options.store, pointer, [], memory.adaptations);
        memory.adaptations = before;
        const chunk = await classifyRange(options, connection, { ...state, plan, before }, context.signal);
        memory.adaptations = chunk.adaptations;
        await dropUnneeded(options.store, before, chunk.adaptations);
        done += chunk.posts;
        options.onCommit(chunk.posts);
        await context.progress({ posts: done, left: Number(plan.left) });
      } catch (error) {
        if (!isWatershedError(error, 'fenced') || ++lost > lostRacesMax) throw error;
      }
    }
  } finally {
    connection.closeSync();
  }
}

interface RangeInput {
  readonly posts: TableMetadata;
  readonly plan: Plan;
  readonly before: Adaptations;
}

async function classifyRange(
  options: ClassifyOptions,
  connection: DuckDBConnection,
  { posts, plan, before }: RangeInput,
  signal: AbortSignal,
): Promise<{ posts: number; adaptations: Adaptations }> {
  const { store, classifier, duck, crashPoint } = options;
  const rows = await readPosts(options, connection, posts, plan);
  crashPoint('read');
  const { lines, adaptations } = await classifySlices(options, rows, before, signal);
  crashPoint('classified');
  const answers = join(duck.staging, `${randomUUID()}.answers.ndjson`);
  try {
    await writeFile(answers, lines);
    const file =
      lines === ''
        ? undefined
        : await encodeParquet(connection, answerRows(options, answers), tables.classifications, duck.staging);
    const saved =
      adaptations.size === 0 ? before : await saveAdaptations(store, before, adaptations, classifier.version);
    crashPoint('encoded');
    await commit(options, plan, before, saved, file);
    count(options, plan, rows.length);
    return { posts: rows.length, adaptations: saved };
  } finally {
    await rm(answers, { force: true });
  }
}

const postColumns = ['event_id', 'source', 'post_id', 'created_at', 'text', 'lang', 'log_partition', 'log_offset'];

/** The rows of the range, numbered in temp table `chunk`, in the order of the log. */
async function readPosts(
  options: ClassifyOptions,
  connection: DuckDBConnection,
  metadata: TableMetadata,
  plan: Plan,
): Promise<ClassifiablePost[]> {
  await showRows(options, connection, 'landed', {
    table: 'posts',
    metadata,
    columns: postColumns,
    filter: filterOf(plan.ranges),
  });
  await connection.run(`create or replace temp table chunk as
    select row_number() over (order by log_partition, log_offset, event_id) as n, *
    from landed where ${conditionOf(plan.ranges)}`);
  const reader = await connection.runAndReadAll('select event_id, text, lang from chunk order by n');
  return reader.getRowsJS().map(([eventId, text, lang]) => ({
    eventId: textOf(eventId) ?? '',
    text: textOf(text) ?? '',
    lang: textOf(lang),
  }));
}

function textOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

/** So many posts take about 10 ms: in a process that also answers people, nobody waits longer for their turn. */
const slicePosts = 256;

async function classifySlices(
  { store, classifier }: ClassifyOptions,
  rows: readonly ClassifiablePost[],
  before: Adaptations,
  signal: AbortSignal,
): Promise<{ lines: string; adaptations: ReadonlyMap<string, Uint8Array> }> {
  const events = [...new Set(rows.map(({ eventId }) => eventId))];
  const { states } = await loadAdaptations(store, before.key, events, before);
  const changed = new Map<string, Uint8Array>();
  const lines: string[] = [];
  for (let at = 0; at < rows.length; at += slicePosts) {
    signal.throwIfAborted();
    const { answers, adapted } = await classifier.classify(
      rows.slice(at, at + slicePosts),
      new Map([...states, ...changed]),
      signal,
    );
    answers.forEach((some, index) => lines.push(...some.map((answer) => lineOf(at + index + 1, answer))));
    for (const [event, state] of adapted) changed.set(event, state);
    await yieldToOthers();
  }
  return { lines: lines.join(''), adaptations: changed };
}

function lineOf(n: number, { question, label, score, scores }: Answer): string {
  return `${JSON.stringify({ n, classifier: question, label, score, scores: JSON.stringify(scores) })}\n`;
}

function answerRows({ classifier, clock }: ClassifyOptions, answers: string): string {
  return `select c.event_id, c.source, c.post_id, c.created_at, a.classifier, ${literal(classifier.version)} as model_version,
      a.label, a.score, a.scores, make_timestamptz(${clock.now()} * 1000) as classified_at,
      c.log_partition, c.log_offset
    from chunk c join read_json(${literal(answers)}, format = 'newline_delimited',
      columns = {n: 'BIGINT', classifier: 'VARCHAR', label: 'VARCHAR', score: 'DOUBLE', scores: 'VARCHAR'}) a using (n)`;
}

async function commit(
  options: ClassifyOptions,
  plan: Plan,
  before: Adaptations,
  saved: Adaptations,
  file: EncodedFile | undefined,
): Promise<void> {
  const { catalog, store, cache, clock, random, classifier, crashPoint } = options;
  const key = `${storeNamespace}/classifications/data/${randomUUID()}.parquet`;
  if (file !== undefined) await store.putFile(key, file.localPath);
  crashPoint('placed');
  const adapted = adaptedProperty(classifier.version);
  try {
    await commitAppend({
      catalog,
      store,
      clock,
      random,
      cache,
      crashPoint,
      ledger: [],
      tables: [
        {
          ref: { namespace: storeNamespace, name: 'classifications' },
          spec: tables.classifications,
          files:
            file === undefined ? [] : [dataFileFromStats(tables.classifications, `${store.uri}/${key}`, file.stats)],
          properties: { ...plan.set, ...(saved.key === undefined ? {} : { [adapted]: saved.key }) },
          expectProperties: { ...plan.expect, [adapted]: before.key },
        },
      ],
    });
  } catch (error) {
    // After a lost answer both may be part of the table.
    if (!isWatershedError(error, 'commit_unknown')) {
      await Promise.allSettled([
        store.delete(key),
        ...(saved.key === undefined || saved.key === before.key ? [] : [store.delete(saved.key)]),
      ]);
    }
    throw error;
  }
}

function count({ metrics }: ClassifyOptions, plan: Plan, posts: number): void {
  metrics
    .counter('watershed_classified_posts_total', 'Posts classified, new ones and again by a new model', ['kind'])
    .add(posts, { kind: plan.kind });
  metrics
    .gauge('watershed_classify_waiting_records', 'Records of the log that wait to be classified')
    .set(Number(plan.left));
}
