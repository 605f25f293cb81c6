// The way across a major version of PostgreSQL: the system's own server of another major version, there and back.
import { execFile } from 'node:child_process';
import { chmod, chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '#core/clock.ts';
import { serverAccount } from '#core/database/account.ts';
import { openDatabase } from '#core/database/database.ts';
import { openFileStore } from '#core/store/file.ts';
import { openLake } from '#test/backup-lake.ts';
import { program } from '#test/services/install.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { freePorts, startProcess, waitUntilReady, type RunningProcess } from '#test/services/process.ts';
import { backUp } from './backup.ts';
import { restore } from './restore.ts';

const embeddedMajor = '18';
let folder: string;
let server: RunningProcess;
let url: string;
let ours: TestPostgres;

/** The folder of programs of a PostgreSQL of the system that is not of our major version. */
async function otherPrograms(): Promise<string> {
  const find = async (): Promise<string | undefined> => (await readdir('/usr/lib/postgresql').catch(() => [])).find((major) => major !== embeddedMajor && Number(major) >= 15);
  const major = await find() ?? await program('pg_lsclusters', 'postgresql').then(find);
  if (major === undefined) throw new Error('the system has no PostgreSQL of another major version, 15 or newer');
  return `/usr/lib/postgresql/${major}/bin`;
}

beforeAll(async () => {
  const bin = await otherPrograms();
  folder = await mkdtemp(join(tmpdir(), 'watershed-major-'));
  const account = await serverAccount();
  await chmod(folder, 0o711);
  const home = await mkdtemp(join(folder, 'server-'));
  if (account !== undefined) await chown(home, account.uid, account.gid);
  const asServer = account === undefined ? [] : ['setpriv', `--reuid=${account.uid}`, `--regid=${account.gid}`, '--clear-groups'];
  const data = join(home, 'data');
  const initdb = [...asServer, join(bin, 'initdb'), '-D', data, '-U', 'watershed', '-A', 'trust', '-E', 'UTF8', '--locale=C', '--no-sync'];
  await promisify(execFile)('env', initdb);
  const [port = 0] = await freePorts(1);
  server = await startProcess({ command: 'env', folder: home, root: folder, args: [
    ...asServer, join(bin, 'postgres'), '-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1', '-c', 'fsync=off', '-c', `unix_socket_directories=${home}`,
  ] });
  url = `postgres://watershed@127.0.0.1:${port}/postgres`;
  await waitUntilReady('the other PostgreSQL', { folder: home, process: server, timeoutMs: 60_000 }, async () => {
    await using database = openDatabase(url, { max: 1 });
    return (await database.query('select 1')).length === 1 ? true : undefined;
  });
  ours = await startPostgres();
}, 300_000);

afterAll(async () => {
  await server?.kill();
  await ours?.stop();
  await rm(folder, { recursive: true, force: true });
});

const compared = ['watershed.ledger', 'watershed.event', 'watershed.log_batch', 'watershed.log_partition', 'watershed.log_topic'];

test('a lake goes to another major version and back, row by row, and is written on there', async () => {
  const file = join(folder, 'there.tar.zst');
  await using lake = await openLake(await ours.createDatabase());
  await lake.append(0, 60);
  await lake.land();
  await lake.append(120, 30);
  const about = await backUp(file, { database: lake.foundation.database, store: lake.foundation.store, clock: systemClock });
  expect(Math.floor(about.database.serverVersion / 10_000)).toBe(Number(embeddedMajor));

  const there = await place(file, url, 'there');
  expect(await there.rows('posts')).toEqual(await lake.rows('posts'));
  for (const table of compared) expect([table, await dump(there.foundation.databaseUrl, table)]).toEqual([table, await dump(lake.foundation.databaseUrl, table)]);
  await there.append(180, 30);
  await there.land();

  const backFile = join(folder, 'back.tar.zst');
  const other = await backUp(backFile, { database: there.foundation.database, store: there.foundation.store, clock: systemClock });
  expect(Math.floor(other.database.serverVersion / 10_000)).not.toBe(Number(embeddedMajor));
  const back = await place(backFile, await ours.createDatabase(), 'back');
  expect(await back.rows('posts')).toEqual(await there.rows('posts'));
  // 0 to 239 without every seventh, which is no post.
  expect(await back.rows('posts')).toHaveLength(Array.from({ length: 240 }, (_, number) => number).filter((number) => number % 7 !== 3).length);
  for (const one of [there, back]) await one[Symbol.asyncDispose]();
}, 180_000);

async function place(file: string, databaseUrl: string, name: string): ReturnType<typeof openLake> {
  await using database = openDatabase(databaseUrl, { max: 4 });
  await restore(file, { database, store: await openFileStore(join(folder, name)), staging: join(folder, `${name}-staging`) });
  return openLake(databaseUrl, { WAREHOUSE_URI: `file://${join(folder, name)}` });
}

async function dump(databaseUrl: string, table: string): Promise<string[]> {
  await using database = openDatabase(databaseUrl, { max: 1 });
  return (await database.query<{ line: string }>(`select t::text as line from ${table} t order by 1`)).map(({ line }) => line);
}
