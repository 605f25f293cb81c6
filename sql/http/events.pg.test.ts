import { jest } from '@jest/globals';
import { openAuth } from '#core/auth/auth.ts';
import { systemClock } from '#core/clock.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { createRegistry } from '#core/events/registry.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { roomyLimits, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from '../engine/engine.ts';
import { eventRoutes } from './events.ts';
import { previewOn } from './preview.ts';
import { createHttpServer, type HttpServer } from './server.ts';

jest.setTimeout(60_000);
const adminToken = 'the-admin-token-of-this-test';
let postgres: TestPostgres;
let database: Database;
let lake: SqlLake;
let engine: Engine;
let server: HttpServer;
let url: string;
let readToken: string;

beforeAll(async () => {
  postgres = await startPostgres();
  database = openDatabase(postgres.url, { max: 6 });
  await migrate(database);
  const auth = openAuth({ database, adminToken, clock: systemClock });
  readToken = await auth.tokens.create('reader', 'read', { name: 'admin', kind: 'admin', credential: 'a' });
  lake = await sqlLake();
  await lake.append('posts', `select event_id, 'bluesky' as source, post_id, text, created_at, 'en' as lang, hashtags, did as author_id from (values
    ('flood', 'p1', 'A Flood at the river', timestamptz '2026-11-24 10:00:00+00', ['Boulder'], 'did:plc:a'),
    ('other', 'p1', 'A Flood at the river', timestamptz '2026-11-24 10:00:00+00', ['Boulder'], 'did:plc:a'),
    ('flood', 'p2', 'heartfelt, flooding', timestamptz '2026-11-24 11:00:00+00', [], 'did:plc:b'),
    ('flood', 'p3', 'flash — FLOOD', timestamptz '2026-11-24 12:00:00+00', [], 'did:plc:c'),
    ('flood', 'p4', 'x', timestamptz '2026-11-24 09:00:00+00', ['Flood'], 'did:plc:d')) r(event_id, post_id, text, created_at, hashtags, did)`);
  engine = lake.engine();
  server = await createHttpServer({
    engine, auth, limits: roomyLimits, metrics: createMetrics(), logger: silentLogger, clock: systemClock,
    plugins: [eventRoutes({ registry: createRegistry({ database, clock: systemClock }), preview: previewOn(engine, roomyLimits.timeoutMs) })],
    resultsFolder: `${lake.folder}/results`, spoolFolder: lake.folder,
  });
  ({ url } = await server.listen('127.0.0.1', 0));
}, 120_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await postgres.stop();
});

interface Answer { readonly status: number; readonly body: Record<string, unknown>; readonly headers: Headers }

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
  const response = await fetch(`${url}${path}`, {
    method,
    headers: { authorization: `Bearer ${adminToken}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  return { status: response.status, body: text === '' ? {} : JSON.parse(text), headers: response.headers };
}

const flood = (name: string): object => ({ name, sources: ['bluesky'], rule: { any: ['flood'] } });

test('an event is made, read, changed, paused, archived and deleted', async () => {
  const made = await call('POST', '/api/events', flood('Boulder flood'));
  expect(made.status).toBe(201);
  expect(made.headers.get('location')).toBe('/api/events/boulder-flood');
  expect(made.body).toMatchObject({ id: 'boulder-flood', name: 'Boulder flood', description: '', status: 'active', sources: ['bluesky'],
    rule: { any: ['flood'] }, start: null, end: null, version: 1, createdBy: 'admin' });
  expect((await call('GET', '/api/events/boulder-flood')).body).toEqual(made.body);
  expect((await call('GET', '/api/events')).body['events']).toEqual([made.body]);

  const changed = await call('PATCH', '/api/events/boulder-flood', { rule: { any: ['flood', '#boulderflood'] } }, { 'if-match': made.headers.get('etag') ?? '' });
  expect(changed).toMatchObject({ status: 200, body: { version: 2, rule: { any: ['flood', '#boulderflood'] } } });
  const late = await call('PATCH', '/api/events/boulder-flood', { description: 'x' }, { 'if-match': made.headers.get('etag') ?? '' });
  expect(late).toMatchObject({ status: 409, body: { code: 'conflict' } });
  expect(String(late.body['detail'])).toContain('changed by admin');
  // Where a client sends no headers, the version may stand in the body; a proxy may make the tag a weak one.
  expect(await call('PATCH', '/api/events/boulder-flood', { description: 'x', version: 1 })).toMatchObject({ status: 409, body: { code: 'conflict' } });
  expect(await call('PATCH', '/api/events/boulder-flood', { description: 'x' }, { 'if-match': 'W/"1"' })).toMatchObject({ status: 409 });
  expect(await call('PATCH', '/api/events/boulder-flood', { name: 'Boulder flood', version: 2 })).toMatchObject({ status: 200, body: { version: 2 } });

  for (const [action, status] of [['pause', 'paused'], ['resume', 'active'], ['archive', 'archived'], ['restore', 'paused']]) {
    expect(await call('POST', `/api/events/boulder-flood/${action}`)).toMatchObject({ status: 200, body: { status } });
  }
  const history = (await call('GET', '/api/events/boulder-flood/history')).body['history'];
  expect(history).toMatchObject([{ change: 'created' }, { change: 'edited', by: 'admin' }, { change: 'paused' }, { change: 'resumed' }, { change: 'archived' }, { change: 'restored' }]);

  expect(await call('DELETE', '/api/events/boulder-flood')).toMatchObject({ status: 400, body: { code: 'bad_request' } });
  expect(await call('DELETE', '/api/events/boulder-flood', { name: 'boulder' })).toMatchObject({ status: 400 });
  expect((await call('DELETE', '/api/events/boulder-flood', { name: 'Boulder flood' })).status).toBe(204);
  expect((await call('GET', '/api/events/boulder-flood')).status).toBe(404);
  expect((await call('POST', '/api/events', flood('Boulder flood'))).body['id']).toBe('boulder-flood-2');
  expect((await call('DELETE', '/api/events/boulder-flood-2?name=Boulder%20flood')).status).toBe(204);
});

test('two events of one name are refused with what to do', async () => {
  await call('POST', '/api/events', flood('Quake'));
  expect(await call('POST', '/api/events', flood('QUAKE'))).toMatchObject({ status: 409, body: { code: 'already_exists', hint: expect.any(String) } });
});

test.each([
  ['{"name":"x"', 400],
  [{}, 400],
  [{ ...flood('x'), unknown: 1 }, 400],
  [{ ...flood('x'), sources: ['myspace'] }, 400],
  [{ ...flood('x'), rule: { any: 'flood' } }, 400],
  [{ ...flood('x'), rule: { any: ['two words'] } }, 400],
  [{ ...flood('x'), start: 'soon' }, 400],
  [{ ...flood(''), name: '' }, 400],
])('what is no event is refused as a problem: %j', async (body, status) => {
  const answer = await call('POST', '/api/events', body);
  expect(answer.status).toBe(status);
  expect(answer.headers.get('content-type')).toContain('application/problem+json');
  expect(answer.body['code']).toBe('bad_request');
});

test('a read token may look and preview, and change nothing', async () => {
  const reader = { authorization: `Bearer ${readToken}` };
  expect((await call('GET', '/api/events', undefined, reader)).status).toBe(200);
  expect((await call('POST', '/api/events/preview', { rule: { any: ['flood'] } }, reader)).status).toBe(200);
  for (const [method, path, body] of [
    ['POST', '/api/events', flood('Mine')], ['PATCH', '/api/events/quake', { description: 'x' }], ['DELETE', '/api/events/quake?name=Quake', undefined],
    ['POST', '/api/events/quake/pause', undefined]] as const) {
    expect(await call(method, path, body, reader)).toMatchObject({ status: 403, body: { code: 'forbidden' } });
  }
  expect((await call('GET', '/api/events', undefined, { authorization: 'Bearer wrong' })).status).toBe(401);
});

test('a preview tells how many of the newest posts a rule takes, as whole words, each once', async () => {
  const answer = await call('POST', '/api/events/preview', { rule: { any: ['flood', '"flash flood"'] } });
  expect(answer.body).toEqual({ looked: 4, complete: true, since: expect.stringContaining('2026-11-24T09:00:00'), matched: 3, posts: [
    { source: 'bluesky', postId: 'p3', createdAt: expect.stringContaining('2026-11-24T12:00:00'), author: 'did:plc:c', text: 'flash — FLOOD', matched: ['flood', '"flash flood"'], events: ['flood'] },
    { source: 'bluesky', postId: 'p1', createdAt: expect.anything(), author: 'did:plc:a', text: 'A Flood at the river', matched: ['flood'], events: expect.arrayContaining(['flood', 'other']) },
    { source: 'bluesky', postId: 'p4', createdAt: expect.anything(), author: 'did:plc:d', text: 'x', matched: ['flood'], events: ['flood'] },
  ] });
  expect((await call('POST', '/api/events/preview', { rule: { any: ['flood'] }, posts: 1 })).body['posts']).toHaveLength(1);
  expect((await call('POST', '/api/events/preview', { rule: { accounts: ['did:plc:b'] } })).body['matched']).toBe(1);
  expect((await call('POST', '/api/events/preview', { rule: { any: ['two words'] } })).body['code']).toBe('bad_request');
});

test('the description of the API names every route of events', async () => {
  const { body } = await call('GET', '/api/openapi.json');
  const paths = body['paths'];
  expect(Object.keys(typeof paths === 'object' && paths !== null ? paths : {})).toEqual(expect.arrayContaining([
    '/api/events', '/api/events/{id}', '/api/events/{id}/history', '/api/events/{id}/pause', '/api/events/{id}/resume',
    '/api/events/{id}/archive', '/api/events/{id}/restore', '/api/events/preview']));
});
