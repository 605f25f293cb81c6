// The middle of a rolling upgrade: programs of the version after write already, one of the version before still lands. What it
// set aside is put back once it, too, is of the version after. That version is this tree with another number in its envelopes.
import { execFile } from 'node:child_process';
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { systemClock } from '#core/clock.ts';
import { openDatabase } from '#core/database/database.ts';
import { createPostgresLog } from '#core/log/postgres.ts';
import { askDoor, eventually } from '../e2e/programs.ts';
import { startPostgres, type TestPostgres } from '../services/postgres.ts';
import { freePorts, removeFolder, startProcess, temporaryFolder, type RunningProcess } from '../services/process.ts';

const root = join(import.meta.dirname, '../..');
const token = 'token-of-the-test-0123456789';
let postgres: TestPostgres;
let url: string;
let folder: string;
const running: RunningProcess[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.createDatabase();
  folder = await temporaryFolder('newer');
}, 60_000);

afterAll(async () => {
  await Promise.all(running.map((process) => process.stop()));
  await postgres.stop();
  await removeFolder(folder);
}, 60_000);

const variables = (port = 0): Record<string, string> => ({
  DATABASE_URL: url, WATERSHED_DATA_DIR: join(folder, 'data'), WATERSHED_SAMPLE: 'off', WATERSHED_HTTP_PORT: String(port),
  WATERSHED_PGWIRE_PORT: '0', WATERSHED_ADMIN_TOKEN: token,
});

/** This tree, whose envelopes are of version 2. */
async function versionAfter(): Promise<string> {
  const tree = join(folder, 'after');
  await mkdir(tree);
  const parts = ['bin', 'cli', 'core', 'dashboards', 'ingest', 'models', 'samples', 'sql', 'transform', 'warehouse', 'package.json', 'programs.ts', 'progress.ts', 'start.ts'];
  for (const part of parts) await cp(join(root, part), join(tree, part), { recursive: true });
  await symlink(join(root, 'node_modules'), join(tree, 'node_modules'));
  const file = join(tree, 'core/contract/envelope.ts');
  const source = await readFile(file, 'utf8');
  expect(source).toContain('export const envelopeVersion = 1;');
  await writeFile(file, source.replace('export const envelopeVersion = 1;', 'export const envelopeVersion = 2;'));
  return tree;
}

interface Server { readonly process: RunningProcess; readonly ask: (sql: string) => Promise<unknown[][]> }

async function start(tree: string): Promise<Server> {
  const [port = 0] = await freePorts(1);
  const process = await startProcess({
    command: globalThis.process.execPath, args: [join(tree, 'cli/main.ts'), 'start'], folder, env: variables(port),
  });
  running.push(process);
  const door = `http://127.0.0.1:${port}`;
  await eventually('the server', 180_000, async () => await fetch(`${door}/readyz`).then(({ ok }) => ok, () => false));
  return { process, ask: (sql) => askDoor(door, token, sql) };
}

function watershed(tree: string, ...args: string[]): Promise<{ code: number; said: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [join(tree, 'cli/main.ts'), ...args], { env: { PATH: process.env['PATH'], ...variables() } }, (error, out, err) => {
      resolve({ code: error === null ? 0 : Number(error.code), said: out + err });
    });
  });
}

function post(number: number, version: 1 | 2): Buffer {
  const record = encodeEnvelope({ source: 'x', format: 'crisislex', events: [{ id: 'flood', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '' },
    Buffer.from(JSON.stringify({ id: String(1_700_000_000_000_000_000n + BigInt(number)), text: `water ${number}` })));
  return version === 1 ? record : Buffer.from(record.toString().replace('{"v":1,', '{"v":2,'));
}

const reason = 'a newer Watershed wrote it';

test('what a version after wrote while one of before landed is put back after the upgrade: each post is there once', async () => {
  await using database = openDatabase(url, { max: 2, clock: systemClock });
  await using log = createPostgresLog(database, systemClock);
  const old = await start(root);
  await log.append('posts', 0, [post(0, 1), post(1, 2), post(2, 1), Buffer.from('{"v":0,"source":"x"}')]);
  await log.append('posts', 1, Array.from({ length: 10 }, (_, index) => post(10 + index, 2)));
  await eventually('they are set aside', 120_000, async () => Number((await old.ask('select count(*) from lake.quarantine'))[0]?.[0]) === 12);
  expect(await old.ask('select count(*) from lake.posts')).toEqual([[2]]);

  // Too early: it would come straight back.
  const first = 'posts/0/1';
  expect(await watershed(root, 'quarantine', 'replay', first)).toMatchObject({ code: 1, said: expect.stringContaining('newer Watershed that knows it') });
  expect(await watershed(root, 'quarantine', 'replay', '--reason', reason)).toMatchObject({ code: 1, said: expect.stringContaining('0 of 11 records are back') });
  expect(await old.ask('select count(*), count(replayed_at) from lake.quarantine')).toEqual([[12, 0]]);
  await old.process.stop();

  const after = await versionAfter();
  const upgraded = await start(after);
  expect(await watershed(after, 'quarantine', 'replay', first)).toMatchObject({ code: 0 });
  await eventually('it is told in the table', 120_000, async () => Number((await upgraded.ask('select count(replayed_at) from lake.quarantine'))[0]?.[0]) === 1);
  expect(await watershed(after, 'quarantine', 'replay', '--reason', reason)).toMatchObject({ code: 0, said: expect.stringContaining('10 of 10 records are back') });
  await eventually('all are told in the table', 120_000, async () => Number((await upgraded.ask('select count(replayed_at) from lake.quarantine'))[0]?.[0]) === 11);
  await eventually('and landed', 120_000, async () => Number((await upgraded.ask('select count(*) from lake.posts'))[0]?.[0]) === 13);
  const wanted = [0, 1, 2, ...Array.from({ length: 10 }, (_, index) => 10 + index)].map((number) => [`water ${number}`]);
  expect((await upgraded.ask('select text from lake.posts')).toSorted()).toEqual(wanted.toSorted());
  expect(await upgraded.ask('select reason from lake.quarantine where replayed_at is null')).toEqual([[expect.stringContaining('not a record of ours')]]);
  expect(await watershed(after, 'quarantine', 'replay', '--reason', reason)).toMatchObject({ code: 0, said: expect.stringContaining('none that was not put back') });
}, 600_000);
