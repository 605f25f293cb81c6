/**
 * From a real broker to committed Iceberg snapshots, broker and database on the same cores: `node bench/kafka-to-table.ts [posts]`.
 * Measured, each in a process of its own: the two raw limits (our client draining the topic; DuckDB alone projecting the same bytes into
 * one file), then the writer with landing `posts` alone and with `raw` beside it. Prints one JSON line each and the ratio of ours to the
 * sum of the limits; appends them to bench/results/kafka-to-table.jsonl.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { appendFile, chmod, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { createKafkaLog } from '#core/log/kafka/kafka.ts';
import { startKafka } from '#test/services/kafka.ts';
import { tweets } from './tweets.ts';

const posts = Number(process.argv[2] ?? 600_000);
const partitions = 4;
const results = join(import.meta.dirname, 'results');
const folder = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
await chmod(folder, 0o711); // the embedded server may run as another user
const kafka = await startKafka({ heapMiB: 768 });
try {
  const bytes = await fill();
  const facts = { bench: 'kafka-to-table', at: new Date().toISOString(), node: process.version, cores: availableParallelism(), cpu: cpus()[0]?.model };
  const lines: object[] = [];
  const report = (line: object): void => {
    console.log(JSON.stringify(line));
    lines.push({ ...facts, ...line });
  };
  const drain = await measured('drain');
  const duck = await measured('duckdb');
  report(line('limit: client draining', drain));
  report(line('limit: duckdb, one file', duck));
  for (const landings of ['posts', 'posts,raw']) {
    const ours = await measured('writer', landings);
    const limit = { wall: drain.wallMs + duck.wallMs, cpu: drain.cpuMs + duck.cpuMs };
    report({
      ...line(`landed: ${landings}`, ours), bytesPerPost: Math.round(bytes / posts), stageShare: ours.stageShare, commits: ours.commits,
      ratioToLimitsWall: round(ours.wallMs / limit.wall), ratioToLimitsCpu: round(ours.cpuMs / limit.cpu),
    });
  }
  await mkdir(results, { recursive: true });
  await appendFile(join(results, 'kafka-to-table.jsonl'), lines.map((entry) => `${JSON.stringify(entry)}\n`).join(''));
} finally {
  await kafka.stop();
  await rm(folder, { recursive: true, force: true });
}

/** Fills topic `posts`; resolves to the bytes of all records. */
async function fill(): Promise<number> {
  await using log = createKafkaLog({ brokers: kafka.brokers, replication: 1, clock: systemClock });
  await log.ensureTopic('posts', partitions);
  let bytes = 0;
  await Promise.all(Array.from({ length: partitions }, async (_, partition) => {
    for (const batch of tweets(posts / partitions, partition)) {
      bytes += batch.reduce((sum, record) => sum + record.length, 0);
      await log.append('posts', partition, batch);
    }
  }));
  return bytes;
}

interface Measured {
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly brokerCpuMs: number;
  readonly residentBytes: number;
  readonly stageShare?: Readonly<Record<string, number>>;
  readonly commits?: number;
}

async function measured(part: string, landings = ''): Promise<Measured> {
  const order = { part, brokers: kafka.brokers, posts, folder: join(folder, `${part}-${landings.replace(',', '-')}`), landings };
  const brokerBefore = await cpuMsOf(kafka.nodes[0]?.process().pid ?? 0);
  const child = spawn(process.execPath, [join(import.meta.dirname, 'kafka-to-table-part.ts'), JSON.stringify(order)], { stdio: ['ignore', 'pipe', 'inherit'] });
  let said = '';
  child.stdout.on('data', (data: Buffer) => (said += data.toString()));
  const [code] = await once(child, 'close') as [number];
  if (code !== 0) throw new Error(`${part} ended with ${code}`);
  return { ...JSON.parse(said) as Measured, brokerCpuMs: await cpuMsOf(kafka.nodes[0]?.process().pid ?? 0) - brokerBefore };
}

function line(what: string, { wallMs, cpuMs, brokerCpuMs, residentBytes }: Measured): object {
  const perMillion = (ms: number): number => round(ms / 1000 / (posts / 1e6));
  return {
    what, posts, postsPerSecond: Math.round(posts / (wallMs / 1000)), cpuSecondsPerMillion: perMillion(cpuMs),
    brokerCpuSecondsPerMillion: perMillion(brokerCpuMs), residentMiB: Math.round(residentBytes / 2 ** 20),
  };
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** What a process has used of the CPU: fields 14 and 15 of /proc/PID/stat, in hundredths of a second (proc(5)). */
async function cpuMsOf(pid: number): Promise<number> {
  const fields = (await readFile(`/proc/${pid}/stat`, 'utf8')).split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[11]) + Number(fields[12])) * 10;
}
