import { request } from 'node:http';
import { jest } from '@jest/globals';
import { httpLake, type HttpLake } from '#test/http-lake.ts';
import { token } from '#test/pretended-auth.ts';
import { createSqlClient } from './client.ts';

// What fails after its first rows are out: no status can tell it any more.
jest.setTimeout(60_000);

let door: HttpLake;

beforeAll(async () => {
  door = await httpLake();
});

afterAll(() => door[Symbol.asyncDispose]());

const late = "SELECT i, CASE WHEN i = 200000 THEN error('late, “so” late') END AS e FROM range(200001) r(i)";
const streamed = ['json', 'ndjson', 'csv', 'arrow'] as const;

/** What Node's own client gets: the bytes, whether it takes them for whole, and whether it was told of a mistake. */
async function ask(path: string, body: unknown): Promise<{ status: number; bytes: Buffer; isWhole: boolean }> {
  return await new Promise((resolve, reject) => {
    const sent = request(`${door.url}${path}`, {
      method: 'POST', headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    }, (response) => {
      const pieces: Buffer[] = [];
      const end = (): void => resolve({ status: response.statusCode ?? 0, bytes: Buffer.concat(pieces), isWhole: response.complete });
      response.on('data', (piece: Buffer) => pieces.push(piece)).on('error', () => undefined).on('close', end);
    });
    sent.on('error', reject);
    sent.end(JSON.stringify(body));
  });
}

test.each(streamed)('%s: the last line is the reason, and the answer is not whole', async (format) => {
  const { status, bytes, isWhole } = await ask(`/api/sql?format=${format}`, { sql: late });
  expect([status, isWhole]).toEqual([200, false]);
  expect(bytes.length).toBeGreaterThan(100_000);
  const text = bytes.toString();
  const last = text.slice(text.lastIndexOf(format === 'json' ? ',"error":' : '{"error":')).replace(/^,/, '{');
  expect(JSON.parse(last)).toEqual({
    error: expect.objectContaining({ code: 'statement_failed', detail: 'late, “so” late', status: 400, sqlstate: expect.stringMatching(/^\w{5}$/) }),
  });
  if (format === 'json') expect(JSON.parse(text)).not.toHaveProperty('rowCount');
  if (format === 'ndjson') expect(text.trimEnd().split('\n').map((line) => Object.keys(JSON.parse(line))).at(-1)).toEqual(['error']);
  // The end-of-stream mark of Arrow.
  if (format === 'arrow') expect(bytes.includes(Buffer.from([255, 255, 255, 255, 0, 0, 0, 0]))).toBe(false);
});

test.each(['csv', 'ndjson', 'arrow', 'parquet'] as const)('%s: a result that the server cuts short says so', async (format) => {
  const small = await httpLake({ limits: { timeoutMs: 60_000, rowsMax: 10, bytesMax: 1e9 } });
  try {
    const body = await createSqlClient({ url: small.url, token }).stream('FROM range(100)', format);
    await expect(new Response(body).arrayBuffer()).rejects.toMatchObject({ code: 'limit_exceeded', context: { sqlstate: '53400' } });
  } finally {
    await small[Symbol.asyncDispose]();
  }
});

test.each(streamed)('%s: the typed client throws the reason', async (format) => {
  const body = await createSqlClient({ url: door.url, token }).stream(late, format);
  await expect(new Response(body).arrayBuffer()).rejects.toMatchObject({ code: 'statement_failed', message: 'late, “so” late' });
});

test('a file for a spreadsheet ends with it, too', async () => {
  const { bytes, isWhole } = await ask('/api/downloads', { sql: late, format: 'csv' });
  expect(isWhole).toBe(false);
  expect(JSON.parse(bytes.toString().trimEnd().split('\n').at(-1) ?? '')).toMatchObject({ error: { detail: 'late, “so” late' } });
});

test('a kept result never is half of one', async () => {
  const started = await ask('/api/statements?format=csv', { sql: late });
  const { id } = JSON.parse(started.bytes.toString());
  const get = async (path: string): Promise<Response> =>
    await fetch(`${door.url}/api/statements/${id}${path}`, { headers: { authorization: `Bearer ${token}` } });
  for (;;) if ((await (await get('')).json()).status !== 'running') break;
  const result = await get('/result');
  expect([result.status, await result.json()]).toEqual([400, expect.objectContaining({ code: 'statement_failed', detail: 'late, “so” late' })]);
});

test('the connection after it is not disturbed: the next statement is answered', async () => {
  await ask('/api/sql?format=csv', { sql: late });
  expect((await ask('/api/sql?format=csv', { sql: 'SELECT 1 AS one' })).bytes.toString()).toBe('one\r\n1\r\n');
});
