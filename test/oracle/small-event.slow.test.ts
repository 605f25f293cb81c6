import { chmod } from 'node:fs/promises';
import { jest } from '@jest/globals';
import { startPostgres } from '../services/postgres.ts';
import { removeFolder, temporaryFolder } from '../services/process.ts';
import { createFakeBluesky } from '../world/bluesky.ts';
import { createLake } from './lake.ts';

jest.setTimeout(300_000);

async function until<T>(what: string, ask: () => Promise<T | undefined>): Promise<T> {
  const giveUpAt = performance.now() + 120_000;
  for (;;) {
    const found = await ask();
    if (found !== undefined) return found;
    if (performance.now() > giveUpAt) throw new Error(`it did not come: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

test('peers g2 5, peers g2 11: the one post of an event that goes on is to be seen and counted, without a pause of the event, and nothing comes behind it', async () => {
  await using stack = new AsyncDisposableStack();
  const folder = await temporaryFolder('small');
  stack.defer(() => removeFolder(folder));
  await chmod(folder, 0o711);
  const postgres = await startPostgres();
  stack.defer(() => postgres.stop());
  const network = createFakeBluesky({ seed: 5 });
  const host = stack.use(await network.host());
  const lake = stack.use(createLake({ folder, apart: false, environment: { DATABASE_URL: postgres.url, WATERSHED_BLUESKY_URL: host.url } }));
  await lake.start();
  expect(await lake.call('POST', '/api/events', { name: 'Small', sources: ['bluesky'], rule: { any: ['rarely'] } })).toMatchObject({ status: 201 });
  await until('the network is read', async () => host.connected() > 0 || undefined);
  const { id } = network.post({ text: 'rarely said 🌊' });
  const seen = await until('the post', async () => (await lake.rows<{ id: string; text: string }>("select post_id as id, text from posts where event_id = 'small'"))[0]);
  expect(seen).toEqual({ id, text: 'rarely said 🌊' });
  const counted = await until('its count', async () => (await lake.rows<{ n: number }>("select sum(posts) as n from activity where event_id = 'small' having count(*) > 0"))[0]);
  expect(Number(counted.n)).toBe(1);
  expect(await lake.call('GET', '/api/events/small')).toMatchObject({ body: { status: 'active', version: 1 } });
});
