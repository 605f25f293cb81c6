import { cp, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { tableFromIPC } from 'apache-arrow';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { httpLake, type HttpLake } from '#test/http-lake.ts';
import { pretendedAuth, token } from '#test/pretended-auth.ts';
import { roomyLimits, type SqlLake } from '#test/sql-lake.ts';
import { createSqlClient } from './client.ts';
import { createHttpServer, type HttpServer } from './server.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

let door: HttpLake;
let lake: SqlLake;
let url: string;

beforeAll(async () => {
  door = await httpLake();
  ({ lake, url } = door);
});

afterAll(() => door[Symbol.asyncDispose]());

const bearer = { authorization: `Bearer ${token}` };

async function ask(body: unknown, query = '', headers: Record<string, string> = {}): Promise<Response> {
  return await fetch(`${url}/api/sql${query}`, {
    method: 'POST',
    body: typeof body === 'string' ? body : JSON.stringify(body),
    headers: { ...bearer, 'content-type': 'application/json', ...headers },
  });
}

test('a statement is answered as JSON with columns, rows and a count', async () => {
  const response = await ask({
    sql: 'SELECT post_id, likes, created_at FROM posts WHERE likes < $1 ORDER BY likes',
    params: [2],
  });
  expect(response.status).toBe(200);
  expect(response.headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect(await response.json()).toEqual({
    columns: [
      { name: 'post_id', type: 'VARCHAR' },
      { name: 'likes', type: 'BIGINT' },
      { name: 'created_at', type: 'TIMESTAMP WITH TIME ZONE' },
    ],
    rows: [
      ['p0', 0, '2013-06-20T00:00:00.000000Z'],
      ['p1', 1, '2013-06-20T00:01:00.000000Z'],
    ],
    rowCount: 2,
    truncated: false,
    elapsedMs: expect.any(Number),
  });
});

test('formats by query and by Accept', async () => {
  const sql = 'SELECT likes AS n, text FROM posts ORDER BY 1 LIMIT 1';
  const csv = await ask({ sql }, '?format=csv');
  expect(csv.headers.get('content-type')).toContain('text/csv');
  expect(await csv.text()).toBe('n,text\r\n0,"a ""quoted"" text"\r\n');
  const ndjson = await ask({ sql }, '', { accept: 'text/html;q=0.1, application/x-ndjson' });
  expect(await ndjson.text()).toBe('{"n":0,"text":"a \\"quoted\\" text"}\n');
  expect(await (await ask({ sql }, '?format=xlsx')).json()).toMatchObject({
    code: 'bad_request',
    hint: expect.stringContaining('ndjson'),
  });
});

test('Arrow and Parquet are read by their own readers', async () => {
  const sql = 'SELECT likes AS n, text, text FROM posts WHERE likes < $1 ORDER BY 1 -- two of a name';
  const arrow = await ask({ sql, params: [3000] }, '?format=arrow');
  expect(arrow.headers.get('content-type')).toBe('application/vnd.apache.arrow.stream');
  const table = tableFromIPC(new Uint8Array(await arrow.arrayBuffer()));
  expect([table.numRows, table.get(2999)?.toArray()]).toEqual([3000, [2999n, 'a "quoted" text', 'a "quoted" text']]);
  const parquet = await ask({ sql, params: [3000] }, '', { accept: 'application/vnd.apache.parquet' });
  const path = join(lake.folder, 'answer.parquet');
  await writeFile(path, new Uint8Array(await parquet.arrayBuffer()));
  expect(
    (await lake.duck.runAndReadAll(`SELECT count(*), sum(n), any_value(text_1) FROM '${path}'`)).getRows(),
  ).toEqual([[3000n, 4498500n, 'a "quoted" text']]);
  expect(
    await (await ask({ sql: 'SELECT uuid() FROM range(2000000)', limits: { bytes: 1000 } }, '?format=parquet')).json(),
  ).toMatchObject({ code: 'limit_exceeded' });
  expect((await ask({ sql: 'DESCRIBE posts;' }, '?format=parquet')).status).toBe(200);
  expect(await (await ask({ sql: 'SELECT nope' }, '?format=parquet')).json()).toMatchObject({
    code: 'statement_failed',
    position: 8,
  });
});

test('mistakes are problems with a code, a hint and a position', async () => {
  const wrong = await ask({ sql: 'SELECT nope FROM posts' });
  expect(wrong.status).toBe(400);
  expect(wrong.headers.get('content-type')).toContain('application/problem+json');
  expect(await wrong.json()).toMatchObject({ code: 'statement_failed', sqlstate: '42703', position: 8 });
  const refused = await ask({ sql: 'DROP VIEW lake.posts' });
  expect(refused.status).toBe(403);
  expect(await refused.json()).toMatchObject({ code: 'statement_refused', hint: expect.stringContaining('SELECT') });
  for (const body of ['{"sql": 1}', '{', '{"sql":"SELECT 1","other":1}', '{"sql":"SELECT $1","params":[[1]]}']) {
    const response = await ask(body);
    expect(response.status).toBe(400);
    expect(await response.json()).toMatchObject({ code: 'bad_request' });
  }
});

test('integers keep all their digits both ways', async () => {
  const response = await ask(
    '{"sql":"SELECT $1::BIGINT AS n, $2::DECIMAL(38,2)","params":[9007199254740993,"12345678901234567890.12"]}',
  );
  expect(await response.text()).toContain('"rows":[[9007199254740993,12345678901234567890.12]]');
});

test('a limit of the request cuts the result and says so', async () => {
  expect(await (await ask({ sql: 'SELECT likes FROM posts', limits: { rows: 3 } })).json()).toMatchObject({
    rowCount: 3,
    truncated: true,
  });
  expect(await (await ask({ sql: 'SELECT likes FROM posts LIMIT 3', limits: { rows: 3 } })).json()).toMatchObject({
    rowCount: 3,
    truncated: false,
  });
  const slow = await ask({
    sql: 'SELECT sum(a.likes * b.likes) FROM posts a, posts b, posts c',
    limits: { timeoutMs: 300 },
  });
  expect(slow.status).toBe(422);
  expect(await slow.json()).toMatchObject({ code: 'limit_exceeded' });
});

test('a long statement is started, asked after, fetched and thrown away', async () => {
  const request = async (method: string, path: string, body?: unknown): Promise<Response> =>
    await fetch(`${url}${path}`, {
      method,
      headers: { ...bearer, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  const until = async (id: string, status: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const info = (await (await request('GET', `/api/statements/${id}`)).json()) as Record<string, unknown>;
      if (info['status'] !== 'running') {
        expect(info['status']).toBe(status);
        return info;
      }
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  };
  const started = await request('POST', '/api/statements?format=csv', {
    sql: 'SELECT likes AS n FROM posts WHERE likes < $1 ORDER BY 1',
    params: [3],
  });
  const { id } = (await started.json()) as { id: string };
  expect([started.status, started.headers.get('location')]).toEqual([202, `/api/statements/${id}`]);
  expect(await until(id, 'done')).toMatchObject({
    rowCount: 3,
    truncated: false,
    columns: [{ name: 'n', type: 'BIGINT' }],
    expiresAt: expect.any(String),
  });
  const result = await request('GET', `/api/statements/${id}/result`);
  expect([result.headers.get('content-type'), await result.text()]).toEqual([
    expect.stringContaining('text/csv'),
    'n\r\n0\r\n1\r\n2\r\n',
  ]);
  expect((await request('DELETE', `/api/statements/${id}`)).status).toBe(204);
  expect((await request('GET', `/api/statements/${id}`)).status).toBe(404);

  const bad = (await (await request('POST', '/api/statements', { sql: 'SELECT nope FROM posts' })).json()) as {
    id: string;
  };
  expect(await until(bad.id, 'failed')).toMatchObject({ error: { code: 'statement_failed', position: 8 } });
  expect(await (await request('GET', `/api/statements/${bad.id}/result`)).json()).toMatchObject({
    code: 'statement_failed',
  });
  const endless = (await (
    await request('POST', '/api/statements', { sql: 'SELECT sum(a.likes * b.likes) FROM posts a, posts b, posts c' })
  ).json()) as { id: string };
  expect((await request('GET', `/api/statements/${endless.id}/result`)).status).toBe(409);
  const all = (await (await request('GET', '/api/statements')).json()) as { statements: unknown[] };
  expect(all.statements.length).toBe(2);
  expect((await request('DELETE', `/api/statements/${endless.id}`)).status).toBe(204);
  expect(await (await ask({ sql: 'SELECT 1' })).json()).toMatchObject({ rowCount: 1 });
});

test('what was done is still there after a restart, and what ran is said to have failed', async () => {
  const folder = join(lake.folder, 'kept results');
  const open = async (): Promise<HttpServer> =>
    await createHttpServer({
      engine: lake.engine(), auth: pretendedAuth(), limits: roomyLimits, metrics: createMetrics(), logger: silentLogger,
      clock: systemClock, resultsFolder: folder,
    });
  const call = async (to: HttpServer, method: 'GET' | 'POST', path: string, sql?: string): Promise<unknown> => {
    const payload = sql === undefined ? {} : { payload: { sql } };
    return (await to.app.inject({ method, url: path, headers: { ...bearer, host: 'localhost' }, ...payload })).json();
  };
  const idOf = (started: unknown): string => (started as { id: string }).id;
  const first = await open();
  const done = idOf(await call(first, 'POST', '/api/statements', 'SELECT count(*) AS n FROM posts'));
  const endless = idOf(
    await call(first, 'POST', '/api/statements', 'SELECT sum(a.likes * b.likes) FROM posts a, posts b, posts c'),
  );
  for (;;) {
    const { status } = (await call(first, 'GET', `/api/statements/${done}`)) as { status: string };
    if (status === 'done') break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  // As it lies there when the process is killed at this moment.
  await cp(folder, `${folder} of a killed one`, { recursive: true });
  await first[Symbol.asyncDispose]();
  for (const left of [folder, `${folder} of a killed one`]) {
    if (left !== folder) {
      await rm(folder, { recursive: true });
      await rename(left, folder);
    }
    const second = await open();
    expect(await call(second, 'GET', `/api/statements/${done}`)).toMatchObject({ status: 'done', rowCount: 1 });
    expect(await call(second, 'GET', `/api/statements/${done}/result`)).toMatchObject({ rows: [[5000]] });
    const failed = { code: 'unavailable', detail: 'the server was restarted while the statement ran' };
    expect(await call(second, 'GET', `/api/statements/${endless}`)).toMatchObject({ status: 'failed', error: failed });
    expect(await call(second, 'GET', `/api/statements/${endless}/result`)).toMatchObject(failed);
    await second[Symbol.asyncDispose]();
  }
});

test('the typed client keeps every digit and gives the errors of the server', async () => {
  const client = createSqlClient({ url, token });
  expect(await client.query('SELECT $1::BIGINT AS n, 0.5 AS d, [1, 2] AS l', [9007199254740993n])).toMatchObject({
    rows: [[9007199254740993n, 0.5, [1, 2]]],
    rowCount: 1,
    truncated: false,
  });
  await expect(client.query('SELECT nope FROM posts')).rejects.toMatchObject({
    code: 'statement_failed',
    context: { sqlstate: '42703', position: 8 },
  });
  await expect(
    client.query("SELECT CASE WHEN i = 3000000 THEN error('late') END FROM range(3000001) r(i)"),
  ).rejects.toMatchObject({ code: 'statement_failed', message: 'late' });
  await expect(createSqlClient({ url, token: 'wrong' }).query('SELECT 1')).rejects.toMatchObject({
    code: 'unauthorized',
  });
  const csv = await client.stream('SELECT 1 AS a', 'csv');
  expect(await new Response(csv).text()).toBe('a\r\n1\r\n');
});

test('an editor is told what may stand where the cursor is', async () => {
  const response = await fetch(`${url}/api/complete`, {
    method: 'POST',
    headers: { ...bearer, 'content-type': 'application/json' },
    body: JSON.stringify({ sql: 'SELECT hash FROM posts', position: 11 }),
  });
  expect(await response.json()).toMatchObject({
    from: 7,
    suggestions: expect.arrayContaining([expect.objectContaining({ label: 'hashtags', kind: 'column' })]),
  });
});

test('a client that takes its time does not hold the engine', async () => {
  const slow = await ask(
    { sql: 'SELECT i, repeat($1, 100) AS t FROM range(300000) r(i)', params: ['x'] },
    '?format=ndjson',
  );
  const reader = slow.body?.getReader();
  await reader?.read();
  // The one child is busy with rows that nobody takes; after a moment they are set aside.
  expect(await (await ask({ sql: 'SELECT 1' })).json()).toMatchObject({ rowCount: 1 });
  let bytes = 0;
  let last = '';
  for (let piece = await reader?.read(); piece?.value !== undefined; piece = await reader?.read()) {
    bytes += piece.value.length;
    last = Buffer.from(piece.value).toString();
  }
  expect(bytes).toBeGreaterThan(30_000_000);
  expect(last.trimEnd().split('\n').at(-1)).toBe(JSON.stringify({ i: 299999, t: 'x'.repeat(100) }));
});

test('a client that leaves cancels its statement', async () => {
  const controller = new AbortController();
  const left = fetch(`${url}/api/sql`, {
    method: 'POST',
    headers: { ...bearer, 'content-type': 'application/json' },
    signal: controller.signal,
    body: JSON.stringify({ sql: 'SELECT sum(a.likes * b.likes) FROM posts a, posts b, posts c' }),
  });
  left.catch(() => undefined);
  setTimeout(() => controller.abort(), 200);
  await expect(left).rejects.toThrow();
  // The one child is free again: this one is answered at once.
  expect(await (await ask({ sql: 'SELECT 1' })).json()).toMatchObject({ rowCount: 1 });
});
