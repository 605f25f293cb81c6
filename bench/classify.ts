/**
 * The default model: posts classified per second on one core, over the labelled posts of 26 real events, each event's
 * posts in the order of time and five events at once, as a job brings them (256 posts a call, the adaptation going
 * from call to call). `node bench/classify.ts [rounds]` prints a line of JSON per round; the first has an empty
 * lexicon.
 */
import { readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { openLinear } from '../transform/classifiers/linear.ts';
import { loadTraining, vectorsFile, weightsFile } from '../transform/train/train.ts';

const rounds = Number(process.argv[2] ?? 3);
const root = join(import.meta.dirname, '..');
const { events } = await loadTraining(root);
const queues = events.map(({ name, set, posts }) =>
  posts.map(({ text }) => ({ eventId: `${set}-${name}`, text, lang: 'en' })),
);
const posts: { eventId: string; text: string; lang: string }[] = [];
for (let at = 0; at < queues.length; at += 5) {
  const some = queues.slice(at, at + 5);
  for (let index = 0; some.some((queue) => index < queue.length); index++)
    posts.push(...some.flatMap((queue) => queue[index] ?? []));
}
const file = (path: string): { path: string; bytes: Uint8Array } => ({ path, bytes: readFileSync(join(root, path)) });
await using classifier = openLinear({ vectors: file(vectorsFile), weights: file(weightsFile) });

for (let round = 0; round < rounds; round++) {
  const cpu = process.cpuUsage();
  let adaptation: ReadonlyMap<string, Uint8Array> = new Map();
  for (let at = 0; at < posts.length; at += 256) {
    const { adapted } = await classifier.classify(posts.slice(at, at + 256), adaptation);
    adaptation = new Map([...adaptation, ...adapted]);
  }
  const { user, system } = process.cpuUsage(cpu);
  const cpuSeconds = (user + system) / 1e6;
  console.log(
    JSON.stringify({
      bench: 'classify',
      round,
      posts: posts.length,
      cpuSeconds: Number(cpuSeconds.toFixed(2)),
      postsPerCoreSecond: Math.round(posts.length / cpuSeconds),
      cores: cpus().length,
      cpu: cpus()[0]?.model,
      node: process.version,
    }),
  );
}
