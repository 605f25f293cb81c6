import { join } from 'node:path';
import { cachedFolder, java, maven, run } from '#test/services/install.ts';
import { type Door, startDoor, token } from './door.ts';
import { recipeSection } from './recipes.ts';

let door: Door;
let jar: string;
beforeAll(async () => {
  const folder = await cachedFolder('pgjdbc-42.7.11', async (half) => void (await maven('org.postgresql:postgresql:42.7.11', half)));
  jar = join(folder, 'postgresql-42.7.11.jar');
  door = await startDoor({ catalogue: true });
}, 300_000);
afterAll(() => door[Symbol.asyncDispose]());

test('pgjdbc: metadata, ten executions, fetch size, transactions, time limits, arrays, COPY', async () => {
  const source = join(import.meta.dirname, 'pgjdbc', 'Clients.java');
  // Address and user as docs/connect.md gives them.
  const [, address = '', user = ''] = /`(jdbc:[^`]+)`, user `(\w+)`/.exec(recipeSection('## DBeaver')) ?? [];
  const url = address.replace('5439', String(door.port));
  const said = await run(await java(17), ['-Duser.timezone=UTC', '-cp', jar, source, url, user, token]);
  const found = Object.fromEntries(said.trim().split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  expect(found).toEqual({
    product: 'PostgreSQL 18', catalogs: expect.stringContaining('lake') as unknown, schemas: '[information_schema, lake, pg_catalog, store]',
    tables: '[activity, activity_labels, activity_terms, classifications, events, journal, posts, quarantine, raw, tombstones]',
    columns: expect.stringMatching(/^\[event_id, version, name, .*\] \[_text\]$/) as unknown, keys: '[][][]', types: 'true',
    ten: '[1|post 1 “é😀”|2013-06-20T00:00:01Z|0.125|false|[flood, a "b", c]|1|1.50|2013-06-20|12:34:56|a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11|12345678901234567890123]',
    fetched: '5000', error: '42703', timeout: '57014', write: '25006', array: '2', copied: '3 0,1,2',
  });
}, 120_000);
