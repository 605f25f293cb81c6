/**
 * The Postgres wire against DuckDB called directly, a million rows of nine columns: time to the first row, time to the last,
 * memory of the process that holds the door, and many short statements at once beside two long ones.
 * `node bench/wire.ts [rows]` prints a line of JSON per way. The direct way fetches the same rows as values with the client library.
 */
import { cpus } from 'node:os';
import { startDoor, token } from '../test/interop/door.ts';
import { frontend, RawClient } from '../test/interop/raw-client.ts';

const rows = Number(process.argv[2] ?? 1_000_000);
const columns = 'event_id, post_id, created_at, text, lang, hashtags, reposts, latitude, author_verified';
await using door = await startDoor({ posts: rows });
const sql = `select ${columns} from posts`;

interface Taken { readonly firstMs: number; readonly totalMs: number; readonly bytes: number; readonly grownMb: number }

/** What `columns` fields as values cost in this process: chunk by chunk, as the package's own reader does. */
async function direct(): Promise<Taken> {
  const from: string[] = [];
  for await (const { key } of door.lake.store.list('store/posts/data/')) from.push(`'${door.lake.folder}/lake/${key}'`);
  const startedMs = performance.now();
  const result = await door.lake.duck.stream(`select ${columns} from read_parquet([${from.join(', ')}])`);
  let firstMs = 0;
  let count = 0;
  for (;;) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    count += chunk.getRows().length;
    firstMs ||= performance.now() - startedMs;
  }
  if (count !== rows) throw new Error(`${count} rows`);
  return { firstMs, totalMs: performance.now() - startedMs, bytes: 0, grownMb: 0 };
}

/** The same over a socket, in one format; the client counts bytes and no more. */
async function wire(format: 0 | 1): Promise<Taken> {
  const client = new RawClient(door.port);
  await client.logIn('analyst', token);
  client.socket.removeAllListeners('data');
  const before = process.memoryUsage().rss;
  let highest = before;
  const startedMs = performance.now();
  let firstMs = 0;
  let bytes = 0;
  const done = new Promise<void>((resolve) => client.socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    if (bytes > 200) firstMs ||= performance.now() - startedMs;
    highest = Math.max(highest, process.memoryUsage.rss());
    // ReadyForQuery: Z, length 5, I.
    if (chunk.subarray(-6).equals(Buffer.from([0x5a, 0, 0, 0, 5, 0x49]))) resolve();
  }));
  client.send(frontend.parse('', sql), frontend.bind('', '', [], [format]), frontend.execute(''), frontend.sync());
  await done;
  const totalMs = performance.now() - startedMs;
  client.close();
  return { firstMs, totalMs, bytes, grownMb: (highest - before) / 2 ** 20 };
}

const report = (way: string, { firstMs, totalMs, bytes, grownMb }: Taken): void => console.log(JSON.stringify({
  bench: 'wire', way, rows, firstMs: Math.round(firstMs * 10) / 10, totalMs: Math.round(totalMs), rowsPerSecond: Math.round(rows / totalMs * 1000),
  megabytes: Math.round(bytes / 2 ** 20), grownMb: Math.round(grownMb), cores: cpus().length, cpu: cpus()[0]?.model, node: process.version,
}));

/** Until the row of a short statement is there, by the simple and the extended protocol, and from DuckDB itself. */
async function shortStatements(turns: number): Promise<void> {
  const client = new RawClient(door.port);
  await client.logIn('analyst', token);
  const times: Record<'direct' | 'simple' | 'extended', number[]> = { direct: [], simple: [], extended: [] };
  const timed = async (way: keyof typeof times, work: () => Promise<unknown>): Promise<void> => {
    const startedMs = performance.now();
    await work();
    times[way].push(performance.now() - startedMs);
  };
  const untilRow = async (...messages: readonly Buffer[]): Promise<void> => {
    client.send(...messages);
    const answer = await client.through('Z');
    if (!answer.some(({ tag }) => tag === 'D')) throw new Error('no row');
  };
  for (let turn = 0; turn < turns; turn++) {
    await timed('direct', async () => (await (await door.lake.duck.stream('select 1')).fetchChunk())?.getRows());
    await timed('simple', async () => untilRow(frontend.query('select 1')));
    await timed('extended', async () => untilRow(frontend.parse('', 'select 1'), frontend.bind('', '', [], [1]), frontend.execute(''), frontend.sync()));
  }
  client.close();
  // The first turns compile code.
  const median = (numbers: readonly number[]): number => numbers.slice(15).toSorted((a, b) => a - b)[Math.floor((turns - 15) / 2)] ?? 0;
  for (const way of ['simple', 'extended'] as const) console.log(JSON.stringify({
    bench: 'wire', way: `select 1, ${way}`, directMs: median(times.direct), wireMs: median(times[way]), addedMs: median(times[way]) - median(times.direct),
    cores: cpus().length, cpu: cpus()[0]?.model, node: process.version,
  }, (_key, value: unknown) => typeof value === 'number' ? Math.round(value * 100) / 100 : value));
}

await shortStatements(75);
for (let round = 0; round < 3; round++) {
  report('direct', await direct());
  report('wire binary', await wire(1));
  report('wire text', await wire(0));
}

/** Idle connections: what a hundred of them add to this process. */
const idleBefore = process.memoryUsage().rss;
const idle = Array.from({ length: 100 }, () => new RawClient(door.port));
await Promise.all(idle.map((client) => client.logIn('analyst', token)));
console.log(JSON.stringify({ bench: 'wire', way: '100 idle connections', grownMb: Math.round((process.memoryUsage().rss - idleBefore) / 2 ** 20) }));
for (const client of idle) client.close();
