import { chmod, mkdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Clock } from '../clock.ts';
import { diskError, requireSpace } from '../disk.ts';
import { WatershedError, isWatershedError, messageOf } from '../errors.ts';
import type { Logger } from '../logger.ts';
import { keptSecret, writePrivate } from '../secrets.ts';
import { type Account, requireReach, serverAccount } from './account.ts';
import { ownFolder } from './owner.ts';
import {
  type RunningServer,
  clearLeftovers,
  createCluster,
  hasCluster,
  readPidFile,
  serverPrograms,
  serverUser,
  startBytes,
  startOnFreePort,
} from './server.ts';

const serverVersion = '18'; // the major version that package.json brings; files of another are not read
const restartsMax = 5; // a server that dies more often than this in one run has a reason that starting does not mend

export interface EmbeddedDatabase extends AsyncDisposable {
  /** postgres://…, with the password: never to be logged. */
  readonly url: string;
}

/**
 * Starts the PostgreSQL of the data folder, making it the first time: files in `<dataDir>/postgres`, the password in
 * `<dataDir>/postgres.password` (owner only), the port in `<dataDir>/postgres.port`. Takes the data folder for this
 * process. A server that dies is started again. Disposing stops it cleanly and gives the folder back.
 *
 * Errors: `already_exists` (another process owns the folder), `disk` (space, rights, a read-only disk), `bad_config`
 * (no embedded server for this machine, files of another major version), `unavailable` (it does not start; the log's
 * end is in the message).
 */
export async function openEmbedded(options: {
  dataDir: string;
  logger: Logger;
  clock: Clock;
  /** Told what people should know, in a sentence. */
  note?: (text: string) => void;
}): Promise<EmbeddedDatabase> {
  const { logger, clock } = options;
  const dataDir = resolve(options.dataDir);
  const folder = join(dataDir, 'postgres');
  const account = await serverAccount();
  await makeDataFolder(dataDir, account);
  using stack = new DisposableStack();
  stack.use(await ownFolder(dataDir));
  if (account !== undefined) await requireReach(account, (await serverPrograms()).postgres);
  const password = await keptSecret(join(dataDir, 'postgres.password'));
  if (await hasCluster(folder)) await requireVersion(folder);
  else await createCluster(folder, password, account);
  const leftovers = await clearLeftovers(folder, clock);
  if (leftovers !== 'nothing') {
    logger.info('database_recovered', { leftovers });
    options.note?.('The last run was not stopped but killed: the database goes on from its own journal, and nothing that was kept is lost.');
  }
  const serverOptions = { folder, account, clock, logFile: join(dataDir, 'postgres.log') };
  const server = await startOnFreePort(serverOptions, await rememberedPort(dataDir));
  await writePrivate(join(dataDir, 'postgres.port'), `${server.port}\n`);
  const stop = supervise(server, folder, () => startOnFreePort(serverOptions, server.port, true), options);
  const owner = stack.move();
  return {
    url: urlOf(password, server.port),
    async [Symbol.asyncDispose]() {
      await stop();
      owner.dispose();
    },
  };
}

/**
 * The address of the embedded server that another process runs in `dataDir`, for the command line; undefined where none
 * runs. The caller needs the right to read the password file.
 */
export async function runningEmbedded(dataDir: string): Promise<string | undefined> {
  const file = await readPidFile(join(resolve(dataDir), 'postgres'));
  if (file === undefined || file.status !== 'ready') return undefined;
  return urlOf(await keptSecret(join(dataDir, 'postgres.password')), file.port);
}

function urlOf(password: string, port: number): string {
  return `postgres://${serverUser}:${password}@127.0.0.1:${port}/postgres`;
}

const roomPollMs = 2_000;

/** Starts a server that dies anew, at the same address. Returns what stops it for good. */
function supervise(
  first: RunningServer, folder: string, start: () => Promise<RunningServer>, { logger, clock }: { logger: Logger; clock: Clock },
): () => Promise<void> {
  let stopping = false;
  let server = first;
  // A disk that is full waits for a person; everything else that keeps a server from starting does not go by itself.
  // The room is asked for first: a server may start with less, and dies again of its next WAL segment.
  const startWhenRoom = async (): Promise<RunningServer | undefined> => {
    for (let told = false; !stopping; told = true) {
      try {
        await requireSpace(folder, startBytes, 'the start of the database');
        return await start();
      } catch (error) {
        if (!isWatershedError(error, 'disk')) throw error;
        if (!told) logger.error('database_waits_for_room', { reason: error.message, hint: error.hint });
        await clock.sleep(roomPollMs);
      }
    }
    return undefined;
  };
  const watch = async (): Promise<void> => {
    for (let restarts = 0; ; restarts++) {
      await server.ended;
      if (stopping) return;
      logger.error('database_died', { restarts });
      if (restarts === restartsMax) return;
      const next = await startWhenRoom();
      if (next === undefined) return;
      server = next;
      if (stopping) return server.stop();
    }
  };
  // Where it cannot be started, every statement says that the database is gone; why is in the server's log, and here.
  const watching = watch().catch((error: unknown) => logger.error('database_gone', { error: messageOf(error) }));
  return async () => {
    stopping = true;
    await server.stop();
    await watching;
  };
}

async function makeDataFolder(dataDir: string, account: Account | undefined): Promise<void> {
  try {
    const existed = await stat(dataDir).then(
      () => true,
      () => false,
    );
    await mkdir(dataDir, { recursive: true });
    // Of a folder that we made, others need no more than the way through, and that only for user postgres.
    if (!existed) await chmod(dataDir, account === undefined ? 0o700 : 0o711);
    const probe = join(dataDir, '.writable');
    await writeFile(probe, '');
    await rm(probe);
  } catch (error) {
    throw diskError(error, 'use the data folder', dataDir);
  }
  if (account !== undefined) await requireReach(account, dataDir);
}

async function requireVersion(folder: string): Promise<void> {
  const version = (await readFile(join(folder, 'PG_VERSION'), 'utf8')).trim();
  if (version === serverVersion) return;
  throw new WatershedError(
    'bad_config',
    `${folder} was made by PostgreSQL ${version}; this program brings ${serverVersion}`,
    {
      hint: 'back up with the older Watershed (`watershed backup`) and restore into a new data folder with this one',
    },
  );
}

async function rememberedPort(dataDir: string): Promise<number> {
  const port = Number(await readFile(join(dataDir, 'postgres.port'), 'utf8').catch(() => '0'));
  return Number.isInteger(port) && port > 0 && port < 65536 ? port : 0;
}
