import { chmod, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from '../services/install.ts';
import { freePorts, removeFolder, startProcess, temporaryFolder, waitUntilReady } from '../services/process.ts';

const root = join(import.meta.dirname, '..', '..');
/** Where our own Node stands first, as npm scripts have it. */
const path = { PATH: `${join(root, 'node_modules', '.bin')}:/usr/local/bin:/usr/bin:/bin` };

/** The different ids of the sample files, read from the CSV by nothing of ours: an id stands in the first column. */
async function sampleIds(): Promise<number> {
  const files = ['2013-alberta-floods.t6.csv', '2013-colorado-floods.t26.csv'];
  const texts = await Promise.all(files.map((file) => readFile(join(root, 'samples', file), 'utf8')));
  return texts.reduce((sum, text) =>
    sum + new Set([...text.matchAll(/^"?'?(\d{17,19})'?"?,/gm)].map((match) => match[1])).size, 0);
}

/** Command lines of running processes that name the folder. */
async function processesOf(folder: string): Promise<string[]> {
  const ids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  const lines = await Promise.all(ids.map((id) => readFile(join('/proc', id, 'cmdline'), 'utf8').catch(() => '')));
  return lines.filter((line) => line.includes(folder));
}

test('the packed package installs into an empty folder, replays the sample, answers SQL, stops and leaves nothing', async () => {
  const folder = await temporaryFolder('package');
  await chmod(folder, 0o711); // as root, the database server runs as another user, who must get to its files
  try {
    const packed = await run('npm', ['pack', '--json', '--pack-destination', folder], { cwd: root, env: path });
    expect(packed).toContain('dist/cli/main.js');
    const [tarball = ''] = (await readdir(folder)).filter((name) => name.endsWith('.tgz'));
    const app = join(folder, 'app');
    await run('mkdir', [app]);
    await run('npm', ['init', '-y'], { cwd: app, env: path });
    await run('npm', ['install', '--prefer-offline', '--no-audit', '--no-fund', join('..', tarball)], { cwd: app, env: path });
    expect(await run('npx', ['--no-install', 'watershed', '--help'], { cwd: app })).toContain('WATERSHED_DATA_DIR');

    const [http = 0, wire = 0] = await freePorts(2);
    const data = join(folder, 'data');
    const process = await startProcess({
      command: join(app, 'node_modules', '.bin', 'watershed'), args: ['start'], folder,
      env: {
        WATERSHED_DATA_DIR: data, WATERSHED_HTTP_PORT: String(http), WATERSHED_PGWIRE_PORT: String(wire), WATERSHED_SAMPLE_SPEED: 'max',
      },
    });
    const ask = async (sql: string): Promise<unknown> => {
      const token = (await readFile(join(data, 'admin.token'), 'utf8')).trim();
      const answer = await fetch(`http://127.0.0.1:${http}/api/sql`, {
        method: 'POST', headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` }, body: JSON.stringify({ sql }),
      });
      const body: unknown = await answer.json();
      return typeof body === 'object' && body !== null && 'rows' in body ? body.rows : undefined;
    };
    const expected = await sampleIds();
    expect(expected).toBeGreaterThan(10_000);
    await waitUntilReady('the installed package', { folder, process, timeoutMs: 180_000 }, async () =>
      JSON.stringify(await ask('select count(distinct post_id) from lake.posts')) === `[[${expected}]]` ? true : undefined);
    expect(await ask('select count(*) from lake.quarantine')).toEqual([[0]]);
    const page = await fetch(`http://127.0.0.1:${http}/healthz`);
    expect(page.status).toBe(200);
    await process.stop();
    expect(await processesOf(`${folder}/`)).toEqual([]);
  } finally {
    await removeFolder(folder);
  }
}, 600_000);
