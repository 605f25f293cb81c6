import { jest } from '@jest/globals';
import { httpLake, type HttpLake } from '#test/http-lake.ts';
import { readerToken, token } from '#test/pretended-auth.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

let door: HttpLake;
let url: string;

beforeAll(async () => {
  door = await httpLake();
  ({ url } = door);
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

test('without a token nothing but health is told', async () => {
  for (const path of ['/healthz', '/readyz']) expect((await fetch(`${url}${path}`)).status).toBe(200);
  for (const path of ['/api/tables', '/metrics', '/api/status', '/api/openapi.json', '/nothing']) {
    const response = await fetch(`${url}${path}`);
    expect(response.status).toBe(401);
    expect(await response.json()).toMatchObject({
      code: 'unauthorized',
      hint: expect.stringContaining('watershed open'),
    });
  }
  expect((await fetch(`${url}/api/tables`, { headers: { authorization: 'Bearer wrong' } })).status).toBe(401);
  const page = await fetch(`${url}/`, { headers: { accept: 'text/html' } });
  expect(page.status).toBe(401);
  expect(await page.text()).toContain('watershed -- open');
});

test('a code gives a session once, and the address is clean afterwards', async () => {
  const response = await fetch(`${url}/?code=a-code`, { redirect: 'manual' });
  expect([response.status, response.headers.get('location')]).toEqual([303, '/']);
  const cookie = response.headers.get('set-cookie') ?? '';
  expect(cookie).toMatch(/^watershed_session_\d+=cookie-a-code; Path=\/; HttpOnly; SameSite=Strict; Max-Age=\d+$/);
  expect((await fetch(`${url}/?code=a-code`, { redirect: 'manual' })).status).toBe(401);
  const session = { cookie: cookie.split(';')[0] ?? '' };
  expect(await (await fetch(`${url}/api/session`, { headers: session })).json()).toMatchObject({
    name: 'admin',
    actions: expect.arrayContaining(['query']),
  });

  const post = async (headers: Record<string, string>): Promise<number> =>
    (
      await fetch(`${url}/api/sql`, {
        method: 'POST',
        body: '{"sql":"SELECT 1"}',
        headers: { ...session, 'content-type': 'application/json', ...headers },
      })
    ).status;
  expect(await post({ origin: url })).toBe(200);
  expect(await post({ 'sec-fetch-site': 'same-origin' })).toBe(200);
  expect(await post({})).toBe(403);
  expect(await post({ origin: 'https://evil.example' })).toBe(403);
  expect(await post({ origin: url, 'sec-fetch-site': 'cross-site' })).toBe(403);

  const out = await fetch(`${url}/api/session`, { method: 'DELETE', headers: { ...session, origin: url } });
  expect(out.status).toBe(204);
  expect((await fetch(`${url}/api/session`, { headers: session })).status).toBe(401);
});

test('the form makes a session of a token', async () => {
  const send = async (value: string): Promise<Response> =>
    await fetch(`${url}/login`, {
      method: 'POST',
      redirect: 'manual',
      headers: { 'content-type': 'application/x-www-form-urlencoded', origin: url },
      body: `token=${value}`,
    });
  expect((await send('wrong')).status).toBe(401);
  const right = await send(token);
  expect([right.status, right.headers.get('set-cookie')]).toEqual([303, expect.stringContaining('HttpOnly')]);
});

test('a foreign Host is refused, whatever it brings', async () => {
  const response = await door.server.app.inject({ url: '/api/tables', headers: { ...bearer, host: 'evil.example:8080' } });
  expect([response.statusCode, response.json()]).toEqual([403, expect.objectContaining({ code: 'forbidden' })]);
  for (const host of ['localhost:1', '127.0.0.1', '[::1]:8080', '10.0.0.7:8080']) {
    expect((await door.server.app.inject({ url: '/healthz', headers: { host } })).statusCode).toBe(200);
  }
});

test('tables, status, metrics and the description of the API', async () => {
  const get = async (path: string): Promise<Response> => await fetch(`${url}${path}`, { headers: bearer });
  const { tables } = (await (await get('/api/tables')).json()) as {
    tables: { schema: string; name: string; columns: unknown[] }[];
  };
  expect(tables.find(({ schema, name }) => schema === 'lake' && name === 'posts')?.columns[0]).toEqual({
    name: 'event_id',
    type: 'VARCHAR',
    comment: 'The event that this row belongs to',
  });
  expect(await (await get('/api/status')).json()).toEqual({ collected: 7 });
  expect(await (await get('/metrics')).text()).toContain(
    'watershed_http_requests_total{route="/api/sql",status="200"}',
  );
  expect(await (await get('/api/openapi.json')).json()).toMatchObject({
    openapi: '3.1.0',
    paths: { '/api/sql': { post: expect.anything() } },
  });
  expect((await get('/api/nothing')).status).toBe(404);
});

test('a reader sees schema lake only: schema store also holds what must be forgotten', async () => {
  const asReader = { authorization: `Bearer ${readerToken}` };
  for (const sql of [
    'SELECT * FROM store.posts',
    'SELECT * FROM lake.store.posts',
    'SELECT * FROM posts WHERE post_id IN (SELECT post_id FROM store.posts)',
    'WITH store AS (SELECT 1) SELECT * FROM store.posts',
    'DESCRIBE store.posts',
    'SUMMARIZE store.posts',
    'EXPLAIN SELECT * FROM store.tombstones',
    'SELECT * FROM store.posts AT (TIMESTAMP => now())',
    'SHOW TABLES FROM store',
  ]) {
    const refused = await ask({ sql }, '', asReader);
    expect([sql, refused.status, await refused.json()]).toEqual([
      sql,
      403,
      expect.objectContaining({ code: 'statement_refused', hint: expect.stringContaining('Schema lake') }),
    ]);
    expect([sql, (await ask({ sql: sql.replace('WITH store AS (SELECT 1) ', '') })).status]).toEqual([sql, 200]);
  }
  expect((await ask({ sql: 'SELECT count(*) FROM posts' }, '', asReader)).status).toBe(200);
  const schemas = async (headers: Record<string, string>): Promise<string[]> => {
    const { tables } = (await (await fetch(`${url}/api/tables`, { headers })).json()) as { tables: { schema: string }[] };
    return [...new Set(tables.map(({ schema }) => schema))];
  };
  expect([await schemas(asReader), await schemas(bearer)]).toEqual([['lake'], ['lake', 'store']]);
});

test('every answer carries the headers that keep a browser from harm', async () => {
  const { headers } = await fetch(`${url}/healthz`);
  expect(headers.get('content-security-policy')).toContain("default-src 'none'");
  expect(headers.get('content-security-policy')).not.toContain('http');
  expect(headers.get('x-content-type-options')).toBe('nosniff');
});
