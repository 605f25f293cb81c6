import { jest } from '@jest/globals';
import { ask, sqlLake, type SqlLake } from '#test/sql-lake.ts';
import type { Engine } from './engine.ts';

// Children are started: on a crowded machine that takes its time.
jest.setTimeout(60_000);

let lake: SqlLake;
let engine: Engine;
const rows = async (sql: string): Promise<unknown[][]> => (await ask(engine, sql)).rows;

beforeEach(async () => {
  lake = await sqlLake();
  engine = lake.engine();
  await lake.append(
    'posts',
    `SELECT * FROM (VALUES
    ('flood', 'x', '1', 'ann', 0, 10), ('flood', 'x', '2', 'bob', 0, 11), ('fire', 'x', '2', 'bob', 0, 11), ('flood', 'bluesky', '1', 'ann', 0, 12),
    ('flood', 'x', '3', 'cas', 1, 10)) t(event_id, source, post_id, author_id, log_partition, log_offset)`,
  );
});

afterEach(async () => await lake[Symbol.asyncDispose]());

const tombstones = async (
  ...states: [source: string, kind: string, id: string, state: string, second: number][]
): Promise<void> =>
  await lake.append(
    'tombstones',
    states
      .map(
        ([source, kind, id, state, second], index) =>
          `SELECT '${source}' AS source, '${kind}' AS kind, '${id}' AS id, '${state}' AS state,
      TIMESTAMPTZ '2020-01-01 00:00:00+00' + to_seconds(${second}) AS received_at, 0 AS log_partition, ${index} AS log_offset`,
      )
      .join(' UNION ALL '),
  );

const visible = 'SELECT event_id, source, post_id FROM posts ORDER BY ALL';

test('a post that must be forgotten is gone from every event, and only at its network', async () => {
  await tombstones(['x', 'post', '2', 'gone', 1], ['x', 'post', 'ann', 'gone', 1]);
  expect(await rows(visible)).toEqual([
    ['flood', 'bluesky', '1'],
    ['flood', 'x', '1'],
    ['flood', 'x', '3'],
  ]);
  expect(await rows('SELECT count(*) FROM store.posts')).toEqual([[5]]);
});

test('an author takes all posts along, and brings them back when the account comes back', async () => {
  await tombstones(['x', 'author', 'bob', 'gone', 1], ['bluesky', 'author', 'ann', 'gone', 1]);
  expect(await rows(visible)).toEqual([
    ['flood', 'x', '1'],
    ['flood', 'x', '3'],
  ]);
  await tombstones(['x', 'author', 'bob', 'back', 2]);
  expect(await rows(visible)).toEqual([
    ['fire', 'x', '2'],
    ['flood', 'x', '1'],
    ['flood', 'x', '2'],
    ['flood', 'x', '3'],
  ]);
  // At the same instant the later record wins.
  await tombstones(['x', 'author', 'bob', 'back', 3], ['x', 'author', 'bob', 'gone', 3]);
  expect(await rows(visible)).toEqual([
    ['flood', 'x', '1'],
    ['flood', 'x', '3'],
  ]);
});

test('the newest version of an event is shown; a deleted one is gone with its posts and counts', async () => {
  const version = async (event: string, number: number, status: string): Promise<void> =>
    await lake.append(
      'events',
      `SELECT '${event}' AS event_id, ${number} AS version, '${status}' AS status, 'name ${number}' AS name`,
    );
  await version('flood', 1, 'active');
  await version('flood', 2, 'paused');
  await version('fire', 1, 'active');
  await lake.append('activity', "SELECT unnest(['flood', 'fire']) AS event_id, 5 AS posts");
  expect(await rows('SELECT event_id, version, status, name FROM events ORDER BY 1')).toEqual([
    ['fire', 1, 'active', 'name 1'],
    ['flood', 2, 'paused', 'name 2'],
  ]);
  await version('fire', 2, 'deleted');
  expect(await rows('SELECT event_id FROM events')).toEqual([['flood']]);
  expect(await rows('SELECT DISTINCT event_id FROM posts')).toEqual([['flood']]);
  expect(await rows('SELECT event_id FROM activity')).toEqual([['flood']]);
  expect(await rows("SELECT count(*) FROM events WHERE status = 'active'")).toEqual([[0]]);
});

test('of several versions of a model the one that judged last is shown', async () => {
  const judged = (post: string, version: string, label: string, second: number, classifier = 'relevance'): string =>
    `SELECT 'flood' AS event_id, 'x' AS source, '${post}' AS post_id, '${classifier}' AS classifier, '${version}' AS model_version,
      '${label}' AS label, TIMESTAMPTZ '2020-01-01 00:00:00+00' + to_seconds(${second}) AS classified_at`;
  await lake.append(
    'classifications',
    [judged('1', 'v1', 'no', 1), judged('2', 'v1', 'yes', 1), judged('1', 'v1', 'info', 1, 'type')].join(' UNION ALL '),
  );
  await lake.append('classifications', judged('1', 'v2', 'yes', 2));
  const shown = 'SELECT post_id, classifier, model_version, label FROM classifications ORDER BY ALL';
  expect(await rows(shown)).toEqual([
    ['1', 'relevance', 'v2', 'yes'],
    ['1', 'type', 'v1', 'info'],
    ['2', 'relevance', 'v1', 'yes'],
  ]);
  // A condition on the label is tested after the choice, not before.
  expect(await rows("SELECT post_id FROM classifications WHERE label = 'no'")).toEqual([]);
  await tombstones(['x', 'post', '1', 'gone', 1]);
  expect(await rows(shown)).toEqual([['2', 'relevance', 'v1', 'yes']]);
});

test('the record behind a post that must be forgotten is gone too', async () => {
  await lake.append(
    'raw',
    `SELECT * FROM (VALUES ('x', 'one', 0, 10), ('x', 'two', 0, 11), ('bluesky', 'three', 0, 12), ('x', 'four', 1, 10))
    t(source, body, log_partition, log_offset)`,
  );
  expect(await rows('SELECT body FROM raw ORDER BY 1')).toEqual([['four'], ['one'], ['three'], ['two']]);
  await tombstones(['x', 'post', '2', 'gone', 1], ['x', 'author', 'ann', 'gone', 1]);
  expect(await rows('SELECT body FROM raw ORDER BY 1')).toEqual([['four'], ['three']]);
});
