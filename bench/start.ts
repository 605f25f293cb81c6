/**
 * Two claims of the README, timed: from nothing to the first rows (`npm ci && npm start` in a clean copy of the newest
 * commit, npm's cache as it is), and from kill -9 to collecting again. A fake Bluesky stands for the network.
 * `node bench/start.ts [clone|crash]` prints a line of JSON per claim and appends it to bench/results/start.jsonl.
 */
import { execFileSync } from 'node:child_process';
import { appendFile, chmod, mkdir, readFile } from 'node:fs/promises';
import { availableParallelism, cpus } from 'node:os';
import { join } from 'node:path';
import { createFakeBluesky } from '#test/world/bluesky.ts';
import { askDoor, eventually } from '#test/e2e/programs.ts';
import { freePorts, removeFolder, startProcess, temporaryFolder, type RunningProcess } from '#test/services/process.ts';

const root = join(import.meta.dirname, '..');
const only = process.argv[2];
const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: root, encoding: 'utf8' }).trim();
const folder = await temporaryFolder('start');
await chmod(folder, 0o711); // the embedded server may run as another user
const data = join(folder, 'data');

async function report(claim: string, numbers: Record<string, unknown>): Promise<void> {
  const line = JSON.stringify({ bench: 'start', claim, ...numbers, at: new Date().toISOString(), commit, cores: availableParallelism(), cpu: cpus()[0]?.model });
  console.log(line);
  await appendFile(join(root, 'bench', 'results', 'start.jsonl'), `${line}\n`);
}

const secondsSince = (begin: number): number => Number(((performance.now() - begin) / 1000).toFixed(1));

async function count(port: number, where = ''): Promise<number> {
  try {
    const token = (await readFile(join(data, 'admin.token'), 'utf8')).trim();
    return Number((await askDoor(`http://127.0.0.1:${port}`, token, `select count(*) from lake.posts ${where}`))[0]?.[0] ?? 0);
  } catch {
    return 0; // it is not up yet
  }
}

/** As a user does it, in a folder without anything: install, start, see rows. */
async function clone(): Promise<void> {
  const app = join(folder, 'app');
  await mkdir(app);
  execFileSync('sh', ['-c', 'git archive HEAD | tar -x -C "$1"', 'sh', app], { cwd: root });
  const [http = 0, wire = 0] = await freePorts(2);
  const begin = performance.now();
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], { cwd: app, stdio: 'ignore' });
  const installed = secondsSince(begin);
  const running = await startProcess({ command: 'npm', args: ['start'], folder: app, root: folder, env: {
    WATERSHED_DATA_DIR: data, WATERSHED_HTTP_PORT: String(http), WATERSHED_PGWIRE_PORT: String(wire) } });
  try {
    await eventually('first rows', 180_000, async () => await count(http) > 0);
    await report('npm ci && npm start to the first rows', { seconds: secondsSince(begin), installSeconds: installed, limitSeconds: 90 });
  } finally {
    running.signal('SIGTERM');
    await running.exited;
  }
}

/** Killed while it collects; the clock runs from the kill to a post that was told after it, in the table. */
async function crash(): Promise<void> {
  const network = createFakeBluesky({ seed: 9 });
  await using host = await network.host();
  const [http = 0, wire = 0] = await freePorts(2);
  const start = (): Promise<RunningProcess> => startProcess({
    command: process.execPath, args: [join(root, 'cli', 'main.ts'), 'start'], folder, env: {
      WATERSHED_DATA_DIR: data, WATERSHED_HTTP_PORT: String(http), WATERSHED_PGWIRE_PORT: String(wire), WATERSHED_SAMPLE: 'off', WATERSHED_BLUESKY_URL: host.url },
  });
  let running = await start();
  let told = 0;
  const telling = setInterval(() => { network.post({ text: `flood water rises ${told++}` }); }, 20);
  try {
    await eventually('the door', 60_000, async () => {
      const token = (await readFile(join(data, 'admin.token'), 'utf8').catch(() => '')).trim();
      const made = await fetch(`http://127.0.0.1:${http}/api/events`, { method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({ name: 'Flood', sources: ['bluesky'], rule: { any: ['flood'] } }) }).catch(() => undefined);
      return made?.status === 201;
    });
    await eventually('posts', 60_000, async () => await count(http) > 200);
    for (let turn = 0; turn < 3; turn++) {
      await running.kill();
      const begin = performance.now();
      const mark = new Date().toISOString();
      running = await start();
      await eventually('connected again', 60_000, async () => host.connected() > 0);
      const collecting = secondsSince(begin);
      await eventually('new posts', 60_000, async () => await count(http, `where created_at > timestamptz '${mark}'`) > 0);
      await report('kill -9 to collecting again', { seconds: collecting, secondsToNewRows: secondsSince(begin), limitSeconds: 10 });
    }
  } finally {
    clearInterval(telling);
    await running.stop();
  }
}

try {
  if (only !== 'crash') await clone();
  if (only !== 'clone') {
    await removeFolder(data);
    await crash();
  }
} finally {
  await removeFolder(folder);
}
