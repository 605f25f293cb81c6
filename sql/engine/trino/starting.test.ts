import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { systemClock } from '#core/clock.ts';
import { TrinoClient } from './client.ts';

/** What Trino 476 answers while its worker has not joined yet: the statement is taken, and fails when it is asked for. */
const noWorkers = {
  id: 'q', error: { message: 'No nodes available to run query', errorCode: 131_077, errorName: 'NO_NODES_AVAILABLE', errorType: 'INSUFFICIENT_RESOURCES' },
};
const columns = [{ name: '_col0', type: 'integer', typeSignature: { rawType: 'integer', arguments: [] } }];

async function ask(failures: number): Promise<unknown[]> {
  let posts = 0;
  const server = createServer((request, response) => {
    const base = `http://${request.headers.host}`;
    if (request.method === 'POST') posts++;
    const answer = request.method === 'POST' ? { id: 'q', nextUri: `${base}/v1/statement/q/1` } : posts <= failures ? noWorkers : { id: 'q', columns, data: [[1]] };
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(answer));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  let now = 0;
  const clock = { ...systemClock, monotonic: () => now, sleep: async (ms: number) => { now += ms; } };
  await using client = new TrinoClient({ url: `http://watershed@127.0.0.1:${port}`, catalog: 'lake', schema: 'lake' }, clock);
  try {
    const found: unknown[] = [];
    for await (const { rows } of client.run({ sql: 'select 1', onBehalfOf: 'admin', signal: new AbortController().signal })) found.push(...rows);
    return found;
  } finally {
    server.closeAllConnections();
    server.close();
  }
}

test('a Trino that is starting is asked again until it answers', async () => {
  expect(await ask(3)).toEqual([[1]]);
});

test('one that does not come up is a sentence after half a minute', async () => {
  await expect(ask(1_000)).rejects.toMatchObject({ code: 'unavailable', message: 'No nodes available to run query', hint: expect.stringContaining('starting') });
});
