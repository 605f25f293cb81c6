import { chmod, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { removeFolder, startProcess, temporaryFolder, waitUntilReady, type RunningProcess } from '#test/services/process.ts';
import { askDoor, eventually } from './programs.ts';

const cli = join(import.meta.dirname, '../../cli/main.ts');
const token = 'the-token-of-the-world-0123456789';
let folder: string;
let running: RunningProcess | undefined;

beforeAll(async () => {
  folder = await temporaryFolder('world');
  await chmod(folder, 0o711); // as root, the database server runs as another user
});
afterAll(async () => {
  await running?.stop();
  await removeFolder(folder);
});

test('start --world shows a made-up crisis of both networks, labelled everywhere, and touches nothing that the environment names', async () => {
  running = await startProcess({ command: process.execPath, args: [cli, 'start', '--world'], folder, env: {
    WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_ADMIN_TOKEN: token,
    // None of these answers: who asks them fails.
    DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none', KAFKA_BROKERS: '127.0.0.1:9', WAREHOUSE_URI: 's3://nowhere/none', WATERSHED_X_BEARER_TOKEN: 'a-real-token',
    WATERSHED_X_URL: 'http://127.0.0.1:9' } });
  const child = running;
  const url = await waitUntilReady('the world', { folder, process: child, timeoutMs: 180_000 }, async () => {
    const address = JSON.parse(await readFile(join(folder, 'data-world', 'address.json'), 'utf8'));
    return (await fetch(`${address.http}/readyz`)).ok ? String(address.http) : undefined;
  });
  const ask = async (sql: string): Promise<unknown[][]> => askDoor(url, token, sql);
  await eventually('posts of both networks are read', 120_000, async () =>
    (await ask('select count(distinct source) from lake.posts'))[0]?.[0] === 2);
  expect(await ask(`select count(*) from lake.posts where text not like '%[simulated]%' or event_id not like 'simulated%'`)).toEqual([[0]]);
  const get = async (path: string): Promise<unknown> => (await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } })).json();
  expect(await get('/api/status')).toMatchObject({ simulated: true });
  expect(await get('/api/events')).toMatchObject({ events: [{ name: expect.stringContaining('SIMULATED'), description: expect.stringContaining('made-up') }] });
  expect(await readFile(join(folder, 'output.log'), 'utf8')).toContain('SIMULATED');
}, 300_000);
