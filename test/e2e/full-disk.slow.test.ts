import { execFile } from 'node:child_process';
import { chmod, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { removeFolder, startProcess, temporaryFolder, waitUntilReady } from '../services/process.ts';

// A disk of its own needs the right to mount one.
const root = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
const exec = promisify(execFile);
const mount = async (...args: readonly string[]): Promise<void> => {
  const [command = '', ...rest] = [...root, ...args];
  await exec(command, rest);
};
const cli = join(import.meta.dirname, '../../cli/main.ts');
let folder: string;
let disk: string;

beforeAll(async () => {
  folder = await temporaryFolder('full-disk');
  disk = join(folder, 'disk');
  await mkdir(disk);
  await chmod(folder, 0o711); // as root, the database server runs as another user, who must get to its files
  await mount('mount', '-t', 'tmpfs', '-o', 'size=500m', 'tmpfs', disk);
  await mount('chmod', '1777', disk);
});

afterAll(async () => {
  await mount('umount', '-l', disk);
  await removeFolder(folder);
});

const env = (): Record<string, string> => ({
  WATERSHED_DATA_DIR: join(disk, 'data'), WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_SAMPLE: 'off',
});

async function watershed(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [cli, ...args], { env: { PATH: process.env['PATH'], ...env() } }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), out, err });
    });
  });
}

async function archive(from: number, count: number): Promise<string> {
  const path = join(folder, `posts-${from}.ndjson`);
  await writeFile(path, Array.from({ length: count }, (_, index) => `${JSON.stringify({
    id: String(1_700_000_000_000_000_000n + BigInt(from + index) * 4_194_304n), text: `the river is rising ${from + index}`, author_id: '7',
    created_at: '2024-05-01T10:00:00.000Z', lang: 'en',
  })}\n`).join(''));
  return path;
}

test('a full disk stops taking in and landing with a sentence, ends nothing, and with room again nothing is lost', async () => {
  const server = await startProcess({ command: process.execPath, args: [cli, 'start'], env: env(), folder });
  try {
    const count = async (): Promise<string | undefined> =>
      (await watershed('sql', '--format', 'csv', 'select count(*) || \' \' || count(distinct post_id) from lake.posts')).out.trim().split('\n').at(-1);
    await waitUntilReady('watershed', { folder, process: server, timeoutMs: 120_000 }, async () => await count() === '0 0' ? true : undefined);
    expect((await watershed('load', await archive(0, 2_000), '--event', 'Flood')).code).toBe(0);

    // Somebody else fills the disk, to below what is kept for the database.
    const filler = join(disk, 'filler');
    const { stdout } = await exec('df', ['--output=avail', '-B1', disk]);
    await exec('fallocate', ['-l', String(Number(stdout.trim().split('\n').at(-1)) - 60 * 1024 ** 2), filler]);
    const refused = await watershed('load', await archive(2_000, 2_000), '--event', 'Flood');
    expect(refused.code).toBe(1);
    expect(refused.err).toContain('taking in posts needs 128 MB, and ');
    expect(refused.err).toContain('what to do: free some space there');
    // What is there is answered all the while.
    expect(await count()).toBe('2000 2000');

    await mount('rm', filler);
    expect((await watershed('load', await archive(2_000, 2_000), '--event', 'Flood')).code).toBe(0);
    await waitUntilReady('the table', { folder, process: server, timeoutMs: 60_000 }, async () => await count() === '4000 4000' ? true : undefined);
    expect(await readFile(join(folder, 'output.log'), 'utf8')).not.toContain('database_died');
  } finally {
    await server.stop();
  }
}, 300_000);

test('a database that died of a full disk is started again when there is room', async () => {
  const server = await startProcess({ command: process.execPath, args: [cli, 'start'], env: env(), folder });
  const said = (): Promise<string> => readFile(join(folder, 'output.log'), 'utf8');
  try {
    await waitUntilReady('watershed', { folder, process: server, timeoutMs: 120_000 }, async () =>
      (await watershed('sql', 'select 1')).code === 0 ? true : undefined);
    const filler = join(disk, 'filler');
    const { stdout } = await exec('df', ['--output=avail', '-B1', disk]);
    await exec('fallocate', ['-l', String(Number(stdout.trim().split('\n').at(-1)) - 4 * 1024 ** 2), filler]);
    const [pid = ''] = (await readFile(join(disk, 'data', 'postgres', 'postmaster.pid'), 'utf8')).split('\n');
    await mount('kill', '-9', pid);
    await waitUntilReady('the wait', { folder, process: server, timeoutMs: 60_000 }, async () =>
      (await said()).includes('database_waits_for_room') ? true : undefined);
    await mount('rm', filler);
    await waitUntilReady('the database', { folder, process: server, timeoutMs: 120_000 }, async () =>
      (await watershed('load', await archive(9_000, 10), '--event', 'Flood')).code === 0 ? true : undefined);
  } finally {
    await server.stop();
  }
}, 300_000);
