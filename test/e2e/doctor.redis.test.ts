import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { startRedis } from '../services/redis.ts';
import { removeFolder, temporaryFolder } from '../services/process.ts';

/** What doctor says of the queue, before there is a lake. */
async function findingOfQueue(url: string, folder: string): Promise<{ code: number; finding: unknown }> {
  const env = { PATH: process.env['PATH'], WATERSHED_DATA_DIR: join(folder, 'none'), WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', REDIS_URL: url };
  return new Promise((resolve) => {
    execFile(process.execPath, [join(import.meta.dirname, '../../cli/main.ts'), 'doctor', '--json'], { env }, (error, out) => {
      const { findings } = JSON.parse(out) as { findings: { part: string }[] };
      resolve({ code: error === null ? 0 : Number(error.code), finding: findings.find(({ part }) => part === 'queue') });
    });
  });
}

test('doctor looks at Redis: one that keeps jobs is good, one that forgets them is not, with what to do', async () => {
  const folder = await temporaryFolder('doctor');
  try {
    await using good = await startRedis();
    expect(await findingOfQueue(good.url, folder)).toMatchObject({ code: 0, finding: { state: 'good' } });
    await using forgetful = await startRedis({ evicting: true });
    expect(await findingOfQueue(forgetful.url, folder)).toMatchObject({ code: 1, finding: { state: 'bad', hint: expect.stringContaining('noeviction') } });
  } finally {
    await removeFolder(folder);
  }
}, 180_000);
