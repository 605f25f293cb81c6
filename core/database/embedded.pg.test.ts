import { spawn } from 'node:child_process';
import { chmod, mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { systemClock } from '../clock.ts';
import { isWatershedError } from '../errors.ts';
import { silentLogger } from '../logger.ts';
import { requireReach, serverAccount } from './account.ts';
import { openDatabase } from './database.ts';
import { type EmbeddedDatabase, openEmbedded, runningEmbedded } from './embedded.ts';
import { readPidFile } from './server.ts';

const timeoutMs = 60_000;
const clock = systemClock;

let home: string;
let dataDir: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'watershed-embedded-'));
  await chmod(home, 0o755);
  dataDir = join(home, 'data');
});
afterEach(() => rm(home, { recursive: true, force: true }));

const openHere = (): Promise<EmbeddedDatabase> => openEmbedded({ dataDir, logger: silentLogger, clock });

async function rowsOf(url: string): Promise<unknown[]> {
  await using database = openDatabase(url, { max: 1 });
  return (await database.query<{ value: number }>('select value from kept order by value')).map(({ value }) => value);
}

async function keep(url: string, value: number): Promise<void> {
  await using database = openDatabase(url, { max: 1 });
  await database.execute(`create table if not exists kept (value int); insert into kept values (${value})`);
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await clock.sleep(20);
}

const lives = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** A process of its own that opens the data folder, keeps 1, says `ready`, and then does `more`. */
function openInChild(
  more: string,
  options: { uid?: number; gid?: number } = {},
): { pid: number; lines: AsyncIterator<string>; ended: Promise<number | null> } {
  const of = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const script = `
    import { openEmbedded } from ${of('./embedded.ts')};
    import { openDatabase } from ${of('./database.ts')};
    import { systemClock } from ${of('../clock.ts')};
    import { silentLogger } from ${of('../logger.ts')};
    const embedded = await openEmbedded({ dataDir: process.argv[1], logger: silentLogger, clock: systemClock });
    const database = openDatabase(embedded.url, { max: 1 });
    await database.execute('create table if not exists kept (value int); insert into kept values (1)');
    setInterval(() => undefined, 1000);
    process.on('SIGINT', async () => {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await database.execute('insert into kept values (2)');
      await database[Symbol.asyncDispose]();
      await embedded[Symbol.asyncDispose]();
      process.exit(0);
    });
    console.log('ready ' + (await database.query('select current_user as who'))[0].who);
    ${more}`;
  // A group of its own, as a shell gives to a program that it starts.
  const child = spawn(process.execPath, ['--input-type=module', '-e', script, dataDir], {
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
    ...options,
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  if (child.pid === undefined) throw new Error('the child did not start');
  return { pid: child.pid, lines: createInterface({ input: child.stdout })[Symbol.asyncIterator](), ended };
}

test(
  'the first start makes a database that the next one finds, on the same port',
  async () => {
    const first = await openHere();
    await keep(first.url, 7);
    expect(new URL(first.url).hostname).toBe('127.0.0.1');
    expect(await runningEmbedded(dataDir)).toBe(first.url);
    expect((await stat(join(dataDir, 'postgres.password'))).mode & 0o777).toBe(0o600);
    expect((await stat(dataDir)).mode & 0o066).toBe(0);
    await first[Symbol.asyncDispose]();
    expect(await runningEmbedded(dataDir)).toBeUndefined();
    expect(await readPidFile(join(dataDir, 'postgres'))).toBeUndefined();

    await using second = await openHere();
    expect(second.url).toBe(first.url);
    expect(await rowsOf(second.url)).toEqual([7]);
  },
  timeoutMs,
);

test(
  'a wrong password does not get in',
  async () => {
    await using embedded = await openHere();
    const url = new URL(embedded.url);
    url.password = 'wrong';
    await using database = openDatabase(url.href, { max: 1 });
    await expect(database.query('select 1')).rejects.toMatchObject({
      code: 'bad_config',
      hint: expect.stringContaining('password'),
    });
  },
  timeoutMs,
);

test(
  'a second owner is refused with the process id of the first, in this process and in another',
  async () => {
    await using first = await openHere();
    await expect(openHere()).rejects.toMatchObject({
      code: 'already_exists',
      message: expect.stringContaining(`process ${process.pid} `),
      hint: expect.stringContaining('WATERSHED_DATA_DIR'),
    });
    await keep(first.url, 1);
    expect(await rowsOf(first.url)).toEqual([1]);
  },
  timeoutMs,
);

test(
  'another process that owns the folder is named',
  async () => {
    const child = openInChild('');
    await child.lines.next();
    await expect(openHere()).rejects.toMatchObject({
      code: 'already_exists',
      message: expect.stringContaining(`process ${child.pid} `),
    });
    process.kill(-child.pid, 'SIGINT');
    expect(await child.ended).toBe(0);
  },
  timeoutMs,
);

test(
  'after kill -9 of Node the server that lives on is stopped, and nothing is lost',
  async () => {
    const child = openInChild('');
    await child.lines.next();
    const orphan = (await readPidFile(join(dataDir, 'postgres')))?.pid ?? 0;
    process.kill(child.pid, 'SIGKILL');
    await child.ended;
    expect(lives(orphan)).toBe(true);
    await using embedded = await openHere();
    expect(await rowsOf(embedded.url)).toEqual([1]);
    const pid = (await readPidFile(join(dataDir, 'postgres')))?.pid;
    expect(pid).not.toBe(orphan);
  },
  timeoutMs,
);

test(
  'Ctrl-C in the terminal reaches us and not the server, which is there until we have drained',
  async () => {
    const child = openInChild('');
    await child.lines.next();
    process.kill(-child.pid, 'SIGINT');
    expect(await child.ended).toBe(0);
    expect(await readPidFile(join(dataDir, 'postgres'))).toBeUndefined();
    await using embedded = await openHere();
    expect(await rowsOf(embedded.url)).toEqual([1, 2]);
  },
  timeoutMs,
);

test(
  'a process that exits without closing takes its server along',
  async () => {
    const child = openInChild('process.exit(3);');
    await child.lines.next();
    expect(await child.ended).toBe(3);
    await until(async () => (await readPidFile(join(dataDir, 'postgres'))) === undefined);
  },
  timeoutMs,
);

test(
  'a stale pid file whose number is by now another process does not stand in the way',
  async () => {
    const first = await openHere();
    await keep(first.url, 3);
    await first[Symbol.asyncDispose]();
    const folder = join(dataDir, 'postgres');
  const stale = `${process.pid}\n${folder}\n1700000000\n5432\n\n127.0.0.1\n   123456  0\nready   \n`;
    await writeFile(join(dataDir, 'postgres', 'postmaster.pid'), stale);
    await using second = await openHere();
    expect(await rowsOf(second.url)).toEqual([3]);
  },
  timeoutMs,
);

test(
  'a half-made database of a broken first start is made anew',
  async () => {
    await mkdir(join(dataDir, 'postgres.new', 'base'), { recursive: true });
    await writeFile(join(dataDir, 'postgres.password.new'), 'x');
    await using embedded = await openHere();
    await keep(embedded.url, 1);
    await expect(stat(join(dataDir, 'postgres.new'))).rejects.toMatchObject({ code: 'ENOENT' });
    await expect(stat(join(dataDir, 'postgres.password.new'))).rejects.toMatchObject({ code: 'ENOENT' });
  },
  timeoutMs,
);

test(
  'a server that dies comes back at the same address, with what it had acknowledged',
  async () => {
    await using embedded = await openHere();
    await keep(embedded.url, 5);
    process.kill((await readPidFile(join(dataDir, 'postgres')))?.pid ?? 0, 'SIGKILL');
    await using database = openDatabase(embedded.url, { max: 1 });
    await until(() =>
      database.query('select 1').then(
        () => true,
        (error: unknown) => {
          expect(isWatershedError(error, 'unavailable')).toBe(true);
          return false;
        },
      ),
    );
    expect(await rowsOf(embedded.url)).toEqual([5]);
  },
  timeoutMs,
);

test(
  'a database of another major version is left alone',
  async () => {
    await (await openHere())[Symbol.asyncDispose]();
    await writeFile(join(dataDir, 'postgres', 'PG_VERSION'), '17\n');
    await expect(openHere()).rejects.toMatchObject({
      code: 'bad_config',
      message: expect.stringContaining('PostgreSQL 17'),
    });
  },
  timeoutMs,
);

test(
  'a port that somebody else has taken is left to them',
  async () => {
    const first = await openHere();
    const port = Number(new URL(first.url).port);
    await first[Symbol.asyncDispose]();
    const { createServer } = await import('node:net');
    const other = createServer().listen(port, '127.0.0.1');
    await using second = await openHere();
    expect(Number(new URL(second.url).port)).not.toBe(port);
    expect((await readFile(join(dataDir, 'postgres.port'), 'utf8')).trim()).toBe(new URL(second.url).port);
    other.close();
  },
  timeoutMs,
);

test(
  'it runs for a user who is not root',
  async () => {
    const account = await serverAccount();
    if (account !== undefined) await chmod(home, 0o777);
    const child = openInChild('', account ?? {});
    expect((await child.lines.next()).value).toBe('ready watershed');
    process.kill(-child.pid, 'SIGINT');
    expect(await child.ended).toBe(0);
    if (account !== undefined) expect((await stat(join(dataDir, 'postgres'))).uid).toBe(account.uid);
  },
  timeoutMs,
);

test("a folder that the server's user cannot pass is named, with the command that opens it", async () => {
  const closed = join(home, 'closed');
  await mkdir(join(closed, 'data'), { recursive: true });
  await chmod(closed, 0o700);
  await expect(requireReach({ uid: 65_533, gid: 65_533 }, join(closed, 'data'))).rejects.toMatchObject({
    code: 'disk',
    message: expect.stringContaining(closed),
    hint: expect.stringContaining(`chmod o+x ${closed}`),
  });
  await chmod(closed, 0o701);
  await expect(requireReach({ uid: 65_533, gid: 65_533 }, closed)).resolves.toBeUndefined();
});
