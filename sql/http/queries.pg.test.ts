import { jest } from '@jest/globals';
import fastify, { type FastifyInstance } from 'fastify';
import { openAuth } from '#core/auth/auth.ts';
import { systemClock } from '#core/clock.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { roomyLimits, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import { createHttpServer, type HttpServer } from './server.ts';

jest.setTimeout(60_000);

const adminToken = 'the-admin-token-of-this-test';
let postgres: TestPostgres;
let database: Database;
let lake: SqlLake;
let server: HttpServer;
let app: FastifyInstance = fastify();
let reader: string;

beforeAll(async () => {
  postgres = await startPostgres();
  lake = await sqlLake();
  await lake.append('posts', "SELECT 'flood' AS event_id, 'p' || i AS post_id, i AS likes FROM range(10) r(i)");
  database = openDatabase(await postgres.createDatabase(), { max: 4 });
  await migrate(database);
  const auth = openAuth({ database, adminToken, clock: systemClock });
  const admin = await auth.tokens.verify(adminToken, 'here');
  if (admin === undefined) throw new Error('no admin');
  reader = await auth.tokens.create('ann', 'read', admin);
  server = await createHttpServer({
    engine: lake.engine(),
    auth,
    limits: roomyLimits,
    metrics: createMetrics(),
    logger: silentLogger,
    clock: systemClock,
    database,
  });
  app = server.app;
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await lake[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  await postgres.stop();
});

async function send(
  method: 'GET' | 'POST' | 'PUT' | 'DELETE',
  url: string,
  payload?: object,
  headers: Record<string, string> = {},
): Promise<{ status: number; body: unknown; etag: string | undefined }> {
  const response = await app.inject({
    method,
    url,
    ...(payload === undefined ? {} : { payload }),
    headers: { authorization: `Bearer ${adminToken}`, host: 'localhost', ...headers },
  });
  return {
    status: response.statusCode,
    body: response.body === '' ? undefined : response.json(),
    etag: response.headers.etag,
  };
}

const asReader = (): Record<string, string> => ({ authorization: `Bearer ${reader}` });
const liked = {
  name: 'Liked',
  sql: 'SELECT post_id FROM posts WHERE event_id = $1 AND likes >= $2 ORDER BY likes',
  parameters: [
    { name: 'event', type: 'text' },
    { name: 'least', type: 'number', default: 8 },
  ],
};

test('a query is saved, read, run with its parameters, changed and deleted', async () => {
  const made = await send('POST', '/api/queries', liked);
  expect(made).toMatchObject({
    status: 201,
    body: { name: 'Liked', owner: 'admin', version: 1, parameters: liked.parameters },
  });
  const { id } = made.body as { id: string };
  expect(await send('GET', '/api/queries')).toMatchObject({ body: { queries: [{ id, sql: liked.sql }] } });
  expect(await send('POST', `/api/queries/${id}/run`, { parameters: { event: 'flood' } })).toMatchObject({
    status: 200,
    body: { rows: [['p8'], ['p9']], rowCount: 2 },
  });
  expect(
    await send('POST', `/api/queries/${id}/run`, { parameters: { event: 'flood', least: 9 } }, asReader()),
  ).toMatchObject({ body: { rows: [['p9']] } });
  expect(await send('POST', `/api/queries/${id}/run`, {})).toMatchObject({
    status: 400,
    body: { code: 'bad_request', detail: expect.stringContaining('event') },
  });
  expect(await send('POST', `/api/queries/${id}/run`, { parameters: { nope: 1 } })).toMatchObject({ status: 400 });

  const one = await send('GET', `/api/queries/${id}`);
  expect(one.etag).toBe('"1"');
  expect(
    await send('PUT', `/api/queries/${id}`, { ...liked, name: 'Most liked' }, { 'if-match': '"1"' }),
  ).toMatchObject({ body: { name: 'Most liked', version: 2 } });
  expect(await send('PUT', `/api/queries/${id}`, liked, { 'if-match': '"1"' })).toMatchObject({
    status: 409,
    body: { code: 'conflict' },
  });
  expect(await send('DELETE', `/api/queries/${id}`)).toMatchObject({ status: 204 });
  expect(await send('GET', `/api/queries/${id}`)).toMatchObject({ status: 404 });
  expect(await send('DELETE', `/api/queries/${id}`)).toMatchObject({ status: 404 });
});

test('a reader keeps queries of her own, and leaves those of others alone', async () => {
  const made = await send('POST', '/api/queries', { name: 'Mine', sql: 'SELECT 1 AS one' }, asReader());
  expect(made).toMatchObject({ status: 201, body: { owner: 'ann' } });
  const mine = (made.body as { id: string }).id;
  expect(await send('PUT', `/api/queries/${mine}`, { name: 'Mine', sql: 'SELECT 2' }, asReader())).toMatchObject({
    status: 200,
    body: { version: 2, updatedBy: 'ann' },
  });
  const others = ((await send('POST', '/api/queries', { name: 'Ours', sql: 'SELECT 3' })).body as { id: string }).id;
  const refused = { status: 403, body: { code: 'forbidden' } };
  expect(await send('PUT', `/api/queries/${others}`, { name: 'Hers', sql: 'SELECT 4' }, asReader())).toMatchObject(refused);
  expect(await send('DELETE', `/api/queries/${others}`, undefined, asReader())).toMatchObject(refused);
  expect(await send('GET', `/api/queries/${others}`)).toMatchObject({ body: { sql: 'SELECT 3', owner: 'admin' } });
  expect(await send('DELETE', `/api/queries/${mine}`, undefined, asReader())).toMatchObject({ status: 204 });
  expect(await send('DELETE', `/api/queries/${others}`)).toMatchObject({ status: 204 });
  // What an administrator kept about schema store does not open it to a reader.
  const kept = await send('POST', '/api/queries', { name: 'Raw', sql: 'SELECT count(*) FROM store.posts' });
  const { id } = kept.body as { id: string };
  expect(await send('POST', `/api/queries/${id}/run`, {})).toMatchObject({ status: 200, body: { rows: [[10]] } });
  expect(await send('POST', `/api/queries/${id}/run`, {}, asReader())).toMatchObject({
    status: 403,
    body: { code: 'statement_refused' },
  });
});

test('what would never run is not kept, and names are not used twice', async () => {
  expect(await send('POST', '/api/queries', { name: 'Evil', sql: 'DROP VIEW lake.posts' })).toMatchObject({
    status: 403,
    body: { code: 'statement_refused' },
  });
  expect(await send('POST', '/api/queries', { name: 'Draft', sql: 'SELECT nope FROM posts' })).toMatchObject({
    status: 201,
  });
  expect(await send('POST', '/api/queries', { name: 'Draft', sql: 'SELECT 1' })).toMatchObject({
    status: 409,
    body: { code: 'already_exists' },
  });
  expect(await send('GET', '/api/queries', undefined, asReader())).toMatchObject({ status: 200 });
  expect(
    await send('POST', '/api/queries', {
      name: 'x',
      sql: 'SELECT 1',
      parameters: [{ name: 'Bad Name', type: 'text' }],
    }),
  ).toMatchObject({ status: 400 });
});
