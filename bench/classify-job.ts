/**
 * From a range of the log to committed labels: the labelled posts of 26 real events in the table, ten thousand rows a file
 * as after an upkeep, classified by the job with the default model into a lake in a temporary folder; then counted.
 * `node bench/classify-job.ts` prints a line of JSON for each.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { openJobsLake } from '../test/jobs-lake.ts';
import { openLinear } from '../transform/classifiers/linear.ts';
import { activityJob } from '../transform/jobs/activity.ts';
import { classifyJob } from '../transform/jobs/classify.ts';
import { loadTraining, vectorsFile, weightsFile } from '../transform/train/train.ts';

const root = join(import.meta.dirname, '..');
const file = (path: string): { path: string; bytes: Uint8Array } => ({ path, bytes: readFileSync(join(root, path)) });
await using classifier = openLinear({ vectors: file(vectorsFile), weights: file(weightsFile) });
const { events } = await loadTraining(root);
const rows = events.flatMap(({ set, name, posts }) =>
  posts.map(({ id, text }) => ({
    event_id: `${set}-${name}`,
    source: 'x',
    post_id: String(id),
    created_at: new Date(Number(id >> 22n) + 1_288_834_974_657).toISOString(),
    author_id: String(id % 9973n),
    text,
    lang: 'en',
  })),
);
await using lake = await openJobsLake('bench');
for (let at = 0; at < rows.length; at += 10_000) await lake.land('posts', 0, at, rows.slice(at, at + 10_000));

const context = { signal: new AbortController().signal, progress: async () => undefined };
const crashPoint = (): void => undefined;
const measure = async (what: string, run: () => Promise<void>): Promise<void> => {
  const [cpu, began] = [process.cpuUsage(), performance.now()];
  await run();
  const seconds = (performance.now() - began) / 1000;
  const { user, system } = process.cpuUsage(cpu);
  console.log(
    JSON.stringify({
      bench: what,
      posts: rows.length,
      seconds: Number(seconds.toFixed(2)),
      cpuSeconds: Number(((user + system) / 1e6).toFixed(2)),
      postsPerSecond: Math.round(rows.length / seconds),
      cores: cpus().length,
      cpu: cpus()[0]?.model,
      node: process.version,
    }),
  );
};
const job = classifyJob({ ...lake.fresh(), classifier, logIdentity: 'bench', onCommit: () => undefined, crashPoint });
await measure('classify-job', () => job.run({}, context));
const counting = activityJob({ ...lake.fresh(), crashPoint });
await measure('activity-job', () => counting.run({}, context));
