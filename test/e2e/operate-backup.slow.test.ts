// A backup as an operator lives it: taken while posts arrive, killed, taken again, restored into the wrong and into the right place.
import { execFile } from 'node:child_process';
import { chmod, mkdir, readdir, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { createFakeBluesky } from '../world/bluesky.ts';
import { freePorts, removeFolder, startProcess, temporaryFolder, type RunningProcess } from '../services/process.ts';
import { askDoor, eventually } from './programs.ts';

const cli = join(import.meta.dirname, '..', '..', 'cli', 'main.ts');
const token = 'token-of-the-test-0123456789';
const network = createFakeBluesky({ seed: 3 });
let folder: string;
let host: Awaited<ReturnType<typeof network.host>>;
const running: RunningProcess[] = [];

beforeAll(async () => {
  folder = await temporaryFolder('operate-backup');
  await chmod(folder, 0o711); // as root, the database server runs as another user, who must get to its files
  host = await network.host();
});

afterAll(async () => {
  await Promise.all(running.map((process) => process.stop()));
  await host[Symbol.asyncDispose]();
  await removeFolder(folder);
});

/** Nobody listens there. */
const nowhere = 'ws://127.0.0.1:9/subscribe';

const variables = (data: string, port = 0, bluesky = host.url): Record<string, string> => ({
  WATERSHED_DATA_DIR: join(folder, data), WATERSHED_HTTP_PORT: String(port), WATERSHED_PGWIRE_PORT: '0', WATERSHED_SAMPLE: 'off',
  WATERSHED_ADMIN_TOKEN: token, WATERSHED_BLUESKY_URL: bluesky, WATERSHED_MEMORY_BYTES: '300000000',
});

function watershed(data: string, ...args: string[]): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args], { env: { PATH: process.env['PATH'], ...variables(data) } }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), said: out + err });
    });
  });
}

interface Server { readonly process: RunningProcess; readonly ask: (sql: string) => Promise<unknown[][]> }

async function start(data: string, bluesky = host.url): Promise<Server> {
  const [port = 0] = await freePorts(1);
  const process = await startProcess({ command: globalThis.process.execPath, args: [cli, 'start'], env: variables(data, port, bluesky), folder });
  running.push(process);
  const url = `http://127.0.0.1:${port}`;
  await eventually(`the server on ${data}`, 120_000, async () => await fetch(`${url}/readyz`).then(({ ok }) => ok, () => false));
  const made = await fetch(`${url}/api/events`, {
    method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    body: JSON.stringify({ name: 'Flood', sources: ['bluesky'], rule: { any: ['flood'] } }),
  });
  await made.text();
  return { process, ask: (sql) => askDoor(url, token, sql) };
}

/** Of what lies below these offsets, by partition: number of rows, and a hash that does not depend on their order. */
const digest = (marks: readonly unknown[][]): string => `select count(*), bit_xor(hash(event_id, source, post_id, created_at, text, log_partition, log_offset))
  from store.posts where ${marks.map(([partition, offset]) => `(log_partition = ${String(partition)} and log_offset <= ${String(offset)})`).join(' or ')}`;

test('taken while posts arrive; killed on the way it leaves nothing that passes for one; restored elsewhere it is the same, and goes on', async () => {
  const first = await start('first');
  let told = 0;
  const telling = setInterval(() => {
    for (let n = 0; n < 5; n++) network.post({ text: `flood water ${told++} at our door` });
  }, 50);
  try {
    const count = async ({ ask }: Server): Promise<number> => Number((await ask('select count(*) from store.posts'))[0]?.[0]);
    await eventually('posts arrive', 60_000, async () => await count(first) > 300);

    // Killed while it writes: what lies there is no backup, and does not stand in the way of the next one.
    const file = join(folder, 'lake.tar.zst');
    const half = `${file}.half`;
    const killed = await startProcess({ command: process.execPath, args: [cli, 'backup', file], env: variables('first'), folder });
    await eventually('the backup begins', 60_000, async () => existsSync(half) || existsSync(file));
    await killed.kill();
    if (existsSync(half)) expect(await watershed('second', 'restore', half)).toMatchObject({ code: 1, said: expect.stringContaining('cut short') });

    const before = await count(first);
    const whole = join(folder, 'whole.tar.zst');
    expect(await watershed('first', 'backup', whole)).toMatchObject({ code: 0, said: expect.stringContaining('rows of the database') });
    await eventually('posts went on', 60_000, async () => await count(first) > before + 50);

    // A folder that holds a lake, and one in which somebody put files where the tables go.
    expect(await watershed('first', 'restore', whole)).toMatchObject({ code: 1, said: expect.stringContaining('a Watershed runs on the data folder') });
    await mkdir(join(folder, 'strange', 'lake'), { recursive: true });
    await writeFile(join(folder, 'strange', 'lake', 'mine.txt'), 'mine');
    expect(await watershed('strange', 'restore', whole)).toMatchObject({ code: 1, said: expect.stringContaining('is not empty') });
    expect(await readdir(join(folder, 'strange', 'lake'))).toContain('mine.txt');

    expect(await watershed('second', 'restore', whole)).toMatchObject({ code: 0, said: expect.stringContaining('The lake is as it was at') });
    expect(await watershed('second', 'restore', whole)).toMatchObject({ code: 1, said: expect.stringContaining('not empty') });
    // Without a network, what it has is what the backup had: the same as the lake it came from has up to there, row by row.
    const still = await start('second', nowhere);
    await eventually('what waited in the log has landed', 120_000, async () => {
      const { code, said } = await watershed('second', 'status', '--json');
      const { landings } = code === 0 ? JSON.parse(said) as { landings: { waitingRecords: number }[] } : { landings: [] };
      return landings.length > 0 && landings.every(({ waitingRecords }) => waitingRecords === 0) && await count(still) >= before;
    });
    const marks = await still.ask('select log_partition, max(log_offset) from store.posts group by 1');
    expect(await first.ask(digest(marks))).toEqual(await still.ask(digest(marks)));
    expect(await still.ask(digest(marks))).toEqual([[await count(still), expect.anything()]]);
    await still.process.stop();
    const second = await start('second');
    await eventually('it goes on reading the network where the backup was taken', 120_000, async () => await count(second) > await count(first) - 20);
    const rows = await second.ask('select count(*), count(distinct post_id) from store.posts');
    expect(rows[0]?.[0]).toBe(rows[0]?.[1]);
  } finally {
    clearInterval(telling);
  }
}, 900_000);
