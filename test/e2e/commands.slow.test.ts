import { execFile } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { encodeQuarantined } from '#core/contract/records.ts';
import { systemClock } from '#core/clock.ts';
import { openDatabase } from '#core/database/database.ts';
import { createPostgresLog } from '#core/log/postgres.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { removeFolder, startProcess, temporaryFolder, waitUntilReady, type RunningProcess } from '#test/services/process.ts';

const cli = join(import.meta.dirname, '../../cli/main.ts');

let postgres: TestPostgres;
let url: string;
let folder: string;
let server: RunningProcess;

beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.createDatabase();
  folder = await temporaryFolder('quarantine');
  server = await startProcess({ command: process.execPath, args: [cli, 'start'], folder, env: environment() });
  await waitUntilReady('the server', { folder, process: server, timeoutMs: 90_000 }, async () =>
    (await readFile(join(folder, 'output.log'), 'utf8')).includes('Ctrl-C drains') || undefined);
}, 240_000);

afterAll(async () => {
  await server.stop();
  await postgres.stop();
  await removeFolder(folder);
}, 30_000);

function environment(): Record<string, string> {
  return { DATABASE_URL: url, WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_SAMPLE: 'off', WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0' };
}

interface Said {
  readonly code: number;
  readonly out: Buffer;
  readonly note: string;
}

async function watershed(...args: string[]): Promise<Said> {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [cli, ...args], { env: { ...process.env, ...environment() }, encoding: 'buffer' });
    return { code: 0, out: stdout, note: stderr.toString() };
  } catch (error) {
    const { code, stdout, stderr } = error as { code: number; stdout: Buffer; stderr: Buffer };
    return { code, out: stdout, note: stderr.toString() };
  }
}

async function rows(sql: string): Promise<unknown[][]> {
  const data = join(folder, 'data');
  const { http } = JSON.parse(await readFile(join(data, 'address.json'), 'utf8'));
  const token = (await readFile(join(data, 'admin.token'), 'utf8')).trim();
  const response = await fetch(`${http}/api/sql`, {
    method: 'POST', body: JSON.stringify({ sql }), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
  });
  const answer = await response.json() as { rows: unknown[][] };
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer.rows;
}

async function until(sql: string, wanted: unknown[][]): Promise<void> {
  for (let turn = 0; turn < 100; turn++) {
    if (JSON.stringify(await rows(sql)) === JSON.stringify(wanted)) return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  expect(await rows(sql)).toEqual(wanted);
}

function post(id: string): Buffer {
  return encodeEnvelope({
    source: 'x', format: 'crisislex', events: [{ id: 'flood', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '',
  }, Buffer.from(JSON.stringify({ id, text: 'water rises' })));
}

test('a record is listed, shown, refused while broken, put back mended, and stays with the time it was put back', async () => {
  await using database = openDatabase(url, { max: 2, clock: systemClock });
  await using log = createPostgresLog(database, systemClock);
  const broken = post('1700000000000000001').subarray(0, -9);
  const offset = await log.append('posts', 1, [post('1700000000000000000'), broken]);
  const before = Buffer.from([0xff, 0x00, 0x7b]);
  await log.append('quarantine', 0, [encodeQuarantined({ atMs: Date.UTC(2026, 0, 1), component: 'collector x', reason: 'not UTF-8', topic: 'posts', bytes: before })]);
  await until('select component, replayed_at from lake.quarantine order by 1', [['collector x', null], ['landing posts', null]]);

  const id = `posts/1/${offset + 1n}`;
  const listed = await watershed('quarantine', 'list');
  expect(listed.out.toString()).toContain(id);
  expect((await watershed('quarantine', 'list', '--rows')).out.toString()).toContain('quarantine/0/0');
  expect((await watershed('quarantine', 'show', id)).out).toEqual(broken);
  expect((await watershed('quarantine', 'show', 'quarantine/0/0')).out).toEqual(before);

  expect(await watershed('quarantine', 'replay', id)).toMatchObject({ code: 2, note: expect.stringContaining('--file FILE') });
  const file = join(folder, 'mended.json');
  await writeFile(file, Buffer.concat([post('1700000000000000001'), Buffer.from('\n')]));
  expect(await watershed('quarantine', 'replay', id, '--file', file)).toMatchObject({ code: 0, note: expect.stringContaining(`${id} is back, as posts/1/${offset + 2n}`) });
  await until('select post_id from lake.posts order by 1', [['1700000000000000000'], ['1700000000000000001']]);
  await until('select component, replayed_at is not null as back from lake.quarantine order by 1', [['collector x', false], ['landing posts', true]]);
  expect(await watershed('quarantine', 'replay', id, '--file', file)).toMatchObject({ code: 1, note: expect.stringContaining('was put back at') });

  await writeFile(file, post('1700000000000000002'));
  expect(await watershed('quarantine', 'replay', 'quarantine/0/0', '--file', file)).toMatchObject({ code: 0 });
  await until('select count(*) from lake.posts', [[3]]);
  await until('select component, replayed_at is not null as back from lake.quarantine order by 1', [['collector x', true], ['landing posts', true]]);
  expect(await watershed('quarantine', 'show', 'posts/9/9')).toMatchObject({ code: 1, note: expect.stringContaining('there is no record posts/9/9') });
  expect(await watershed('quarantine', 'mend')).toMatchObject({ code: 2 });
}, 400_000);

test('upkeep tells of every table, and tidies beside the running server', async () => {
  const health = await watershed('upkeep', '--json');
  expect(health).toMatchObject({ code: 0, note: '' });
  const told = JSON.parse(health.out.toString());
  expect(told.tables.map(({ table }: { table: string }) => table)).toEqual(['posts', 'raw', 'classifications', 'events', 'journal', 'quarantine',
    'tombstones', 'activity', 'activity_labels', 'activity_terms']);
  expect((await watershed('upkeep', 'posts')).out.toString()).toContain('would_merge');
  const done = JSON.parse((await watershed('upkeep', 'posts', '--run', '--json')).out.toString());
  // By hand there is no minimum: each post's day is over, and its commit's file is filed.
  expect(done.tables).toEqual([{ table: 'posts', merged: 0, filed: 3, packed: 0, expiredSnapshots: 0, deletedFiles: 0 }]);
  expect(await rows('select count(*), count(distinct post_id) from lake.posts')).toEqual([[3, 3]]);
  for (const piece of ['merge', 'pack', 'expire', 'orphans']) {
    expect(await watershed('upkeep', 'posts', '--only', piece, '--json')).toMatchObject({ code: 0, note: '' });
  }
  expect(await watershed('upkeep', 'nonsense')).toMatchObject({ code: 2, note: expect.stringContaining('classifications') });
}, 240_000);

test('load counts what became of its own posts, whatever else is landed meanwhile, and a second run finds them there', async () => {
  const archive = join(folder, 'archive.ndjson');
  const post = (index: number): string => JSON.stringify({
    id: String(1_500_000_000_000_000_000n + BigInt(index)), text: `post ${index}`, created_at: '2022-03-05T00:00:00.000Z' });
  const lines = Array.from({ length: 300 }, (_, index) => post(index));
  await writeFile(archive, [...lines, 'no JSON', lines[0], '{"id":"x","text":"no id"}'].join('\n'));
  await using database = openDatabase(url, { max: 2 });
  await using log = createPostgresLog(database, systemClock);
  let going = true;
  const others = (async () => {
    for (let index = 0; going; index++) {
      await log.append('posts', index % 4, [encodeEnvelope(
        { source: 'x', format: 'crisislex', events: [{ id: 'another', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '' },
        Buffer.from(JSON.stringify({ id: String(1_400_000_000_000_000_000n + BigInt(index)), text: 'another event' })))]);
    }
  })();
  const first = await watershed('load', archive, '--event', 'Counted', '--json').finally(() => { going = false; });
  await others;
  expect(JSON.parse(first.out.toString())).toMatchObject({ event: 'counted', landed: { kept: 300, duplicate: 1, dead: 1 } });
  const again = await watershed('load', archive, '--event', 'Counted', '--json');
  expect(JSON.parse(again.out.toString())).toMatchObject({ landed: { kept: 0, duplicate: 301, dead: 1 } });
  expect(await rows("select count(*) from lake.posts where event_id = 'counted'")).toEqual([[300]]);
}, 120_000);
