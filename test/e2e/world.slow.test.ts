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

async function startWorld(): Promise<string> {
  const child = await startProcess({ command: process.execPath, args: [cli, 'start', '--world'], folder, env: {
    WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_ADMIN_TOKEN: token,
    // None of these answers: who asks them fails.
    DATABASE_URL: 'postgres://nobody@127.0.0.1:9/none', KAFKA_BROKERS: '127.0.0.1:9', WAREHOUSE_URI: 's3://nowhere/none', WATERSHED_X_BEARER_TOKEN: 'a-real-token',
    WATERSHED_X_URL: 'http://127.0.0.1:9' } });
  running = child;
  return waitUntilReady('the world', { folder, process: child, timeoutMs: 180_000 }, async () => {
    const address = JSON.parse(await readFile(join(folder, 'data-world', 'address.json'), 'utf8'));
    return address.pid === child.pid && (await fetch(`${address.http}/readyz`)).ok ? String(address.http) : undefined;
  });
}

test('start --world shows a made-up crisis of both networks, labelled everywhere, and touches nothing that the environment names', async () => {
  let url = await startWorld();
  const ask = async (sql: string): Promise<unknown[][]> => askDoor(url, token, sql);
  const bySource = async (): Promise<number[]> =>
    (await ask('select count(*) from lake.posts group by source order by source')).map(([count]) => Number(count));
  await eventually('posts of both networks are read', 120_000, async () => (await bySource()).length === 2);
  expect(await ask(`select count(*) from lake.posts where text not like '%[simulated]%' or event_id not like 'simulated%'`)).toEqual([[0]]);
  const get = async (path: string): Promise<unknown> => (await fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } })).json();
  expect(await get('/api/status')).toMatchObject({ simulated: true });
  const events = { events: [{ name: expect.stringContaining('SIMULATED'), description: expect.stringContaining('made-up') }] };
  expect(await get('/api/events')).toMatchObject(events);
  expect(await readFile(join(folder, 'output.log'), 'utf8')).toContain('SIMULATED');
  // Started again, it goes on: with the same event, and with posts that are new.
  await running?.stop();
  const before = await readFile(join(folder, 'output.log'), 'utf8');
  url = await startWorld();
  const counts = await bySource();
  await eventually('more posts of both networks are read', 120_000, async () =>
    (await bySource()).every((count, index) => count > (counts[index] ?? 0)));
  expect(await get('/api/events')).toMatchObject(events);
  expect((await readFile(join(folder, 'output.log'), 'utf8')).slice(before.length)).not.toContain('already');
}, 600_000);
