import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chmod } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { removeFolder, temporaryFolder } from '../services/process.ts';

const cli = join(import.meta.dirname, '../../cli/main.ts');
let folder: string;
let taken: Server;
let takenPort: string;

beforeAll(async () => {
  folder = await temporaryFolder('refused-start');
  await chmod(folder, 0o711); // as root, the database server runs as another user, who must get to its files
  taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
  const address = taken.address();
  takenPort = String(typeof address === 'object' && address !== null ? address.port : 0);
});

afterAll(async () => {
  taken.close();
  await removeFolder(folder);
});

interface Ended {
  readonly code: unknown;
  readonly said: string;
}

/** Runs until it ends by itself. */
function ended(command: string, args: readonly string[], env: Readonly<Record<string, string>>): Promise<Ended> {
  const variables = {
    PATH: process.env['PATH'], WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0',
    WATERSHED_SAMPLE: 'off', ...env,
  };
  return new Promise((resolve) => {
    execFile(command, args, { env: variables, timeout: 120_000 }, (error, stdout, stderr) => {
      resolve({ code: error === null ? 0 : error.code, said: stdout + stderr });
    });
  });
}
const start = (env: Readonly<Record<string, string>>): Promise<Ended> => ended(process.execPath, [cli, 'start'], env);

test.each(['WATERSHED_HTTP_PORT', 'WATERSHED_PGWIRE_PORT'])('a port in use (%s) ends the start with a sentence that names it', async (name) => {
  const { code, said } = await start({ [name]: takenPort });
  expect(code).toBe(2);
  expect(said).toContain(takenPort);
  expect(said).toMatch(/something else listens|in use|taken/);
  expect(said).toContain(name);
  expect(said).not.toMatch(/\n\s+at /); // a sentence, no stack
}, 120_000);

test('an unknown variable and a malformed one are named, with what would be right', async () => {
  const unknown = await start({ WATERSHED_HTTP_PROT: '1' });
  expect(unknown.code).toBe(2);
  expect(unknown.said).toContain('WATERSHED_HTTP_PROT');
  const malformed = await start({ WATERSHED_HTTP_PORT: 'eighty' });
  expect(malformed.code).toBe(2);
  expect(malformed.said).toContain('WATERSHED_HTTP_PORT');
  expect(malformed.said).toContain('eighty');
}, 120_000);

test('a read-only data folder ends the start with what to do, and nothing is made', async () => {
  // A disk of its own, in a mount namespace that ends with the command.
  const script = 'mount -t tmpfs -o size=8m none /mnt && mount -o remount,ro /mnt && "$@"; code=$?; ls -A /mnt; exit $code';
  const { code, said } = await ended('unshare', ['-rm', 'sh', '-c', script, 'sh', process.execPath, cli, 'start'], { WATERSHED_DATA_DIR: '/mnt' });
  expect(code).toBe(1);
  expect(said).toContain('read-only');
  expect(said).toContain('/mnt');
  expect(said).toContain('what to do: ');
  expect(said.trim().split('\n').at(-1)).not.toBe('.writable');
}, 120_000);
