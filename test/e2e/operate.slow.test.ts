import { execFile } from 'node:child_process';
import { chmod, readFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFolder, startProcess, temporaryFolder, waitUntilReady } from '../services/process.ts';

const root = join(import.meta.dirname, '..', '..');
let folder: string;

beforeAll(async () => {
  folder = await temporaryFolder('operate');
  await chmod(folder, 0o711); // as root, the database server runs as another user, who must get to its files
});

afterAll(async () => {
  await removeFolder(folder);
});

const variables = (data: string): Record<string, string> => ({
  WATERSHED_DATA_DIR: join(folder, data), WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_SAMPLE_SPEED: 'max',
});

function watershed(data: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return watershedWith({}, data, ...args);
}

function watershedWith(more: Readonly<Record<string, string>>, data: string, ...args: string[]): ReturnType<typeof watershed> {
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], ...variables(data), ...more };
    execFile(process.execPath, [join(root, 'cli', 'main.ts'), ...args], { env }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

const ask = async (data: string, sql: string): Promise<string> => (await watershed(data, 'sql', '--format', 'csv', sql)).out.trim().split('\n').at(-1) ?? '';
const digest = `select count(*) || ' ' || bit_xor(hash(event_id, post_id, created_at, text, log_partition, log_offset)) from lake.posts`;

/** Runs the server on a data folder until it answers with all posts of the sample, then does the work, then stops it. */
async function whileRunning(data: string, work: () => Promise<void>): Promise<void> {
  const running = await startProcess({ command: process.execPath, args: [join(root, 'cli', 'main.ts'), 'start'], env: variables(data), folder });
  try {
    await waitUntilReady('watershed', { folder, process: running, timeoutMs: 120_000 }, async () =>
      Number(await ask(data, 'select count(*) from lake.posts')) >= 11_029 ? true : undefined);
    await work();
  } finally {
    await running.stop();
  }
}

test('status and doctor tell how it is, a backup restored elsewhere answers the same, and a lost file is found', async () => {
  expect(await watershed('first', 'status')).toMatchObject({ code: 1, err: expect.stringContaining('there is no token') });
  let before = '';
  await whileRunning('first', async () => {
    before = await ask('first', digest);
    const status = await watershed('first', 'status', '--json');
    expect(status.code).toBe(0);
    expect(JSON.parse(status.out)).toMatchObject({ landings: expect.arrayContaining([expect.objectContaining({ landing: 'posts', waitingRecords: 0 })]) });
    const doctor = await watershed('first', 'doctor');
    expect([doctor.code, doctor.out]).toEqual([0, expect.stringContaining('table posts            11029 rows')]);
    expect(doctor.out).not.toContain('BAD');
    expect((await watershed('first', 'backup', join(folder, 'lake.tar.zst'))).code).toBe(0);
    expect((await watershed('first', 'backup', join(folder, 'lake.tar.zst'))).err).toContain('there is a file');
    expect((await watershed('first', 'restore', join(folder, 'lake.tar.zst'))).err).toContain('a Watershed runs on the data folder');
  });
  expect(await watershed('second', 'restore', join(folder, 'lake.tar.zst'), '--check')).toMatchObject({ code: 0, out: expect.stringContaining('is whole') });
  expect((await watershed('second', 'restore', join(folder, 'lake.tar.zst'))).code).toBe(0);
  // The lake it came from is not needed.
  await rm(join(folder, 'first'), { recursive: true });
  await whileRunning('second', async () => {
    expect(before).toMatch(/^11029 \d+$/);
    expect(await ask('second', digest)).toBe(before);
  });
  const posts = join(folder, 'second', 'lake', 'store', 'posts');
  const files = (await readdir(posts, { recursive: true })).filter((name) => name.endsWith('.parquet'));
  for (const name of files) await rm(join(posts, name));
  const doctor = await watershed('second', 'doctor', '--json');
  expect(doctor.code).toBe(1);
  expect(JSON.parse(doctor.out)).toMatchObject({
    findings: expect.arrayContaining([expect.objectContaining({ part: 'table posts', state: 'bad', hint: expect.stringContaining('restore') })]),
  });
  // Engines that are named and not there are told, each with its setting, and what else is wrong with them.
  const nowhere = await watershedWith({ REDIS_URL: 'redis://127.0.0.1:9', TRINO_URL: 'http://127.0.0.1:9' }, 'second', 'doctor', '--json');
  expect(JSON.parse(nowhere.out)).toMatchObject({
    findings: expect.arrayContaining([
      expect.objectContaining({ part: 'queue', state: 'bad', hint: expect.stringContaining('REDIS_URL') }),
      expect.objectContaining({ part: 'engine', state: 'bad', hint: expect.stringContaining('TRINO_URL') }),
      expect.objectContaining({ part: 'table posts', state: 'bad' }),
    ]),
  });
  expect(await readFile(join(folder, 'lake.tar.zst'))).not.toHaveLength(0);
}, 400_000);
