import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { serverAccount } from '#core/database/account.ts';
import {
  type RunningServer,
  clearLeftovers,
  createCluster,
  serverUser,
  startOnFreePort,
} from '#core/database/server.ts';
import pg from 'pg';

export interface TestPostgres {
  /** A database of its own, with nothing in it; every call makes another. The server's superuser owns it. */
  createDatabase(): Promise<string>;
  /** The address of a first, empty database. */
  readonly url: string;
  /** Stops cleanly and starts again on the same port. */
  restart(): Promise<void>;
  /** SIGKILL to the server and all its processes, as after a crash; `restart` brings it back. */
  kill(): Promise<void>;
  stop(): Promise<void>;
}

const password = 'test';

/** A throw-away PostgreSQL in a temporary folder, without fsync; up in about a second. One per test file. */
export async function startPostgres(): Promise<TestPostgres> {
  const clock = systemClock;
  const home = await mkdtemp(join(tmpdir(), 'watershed-pg-'));
  const account = await serverAccount();
  if (account !== undefined) await chmod(home, 0o711);
  const folder = join(home, 'postgres');
  await createCluster(folder, password, account, false);
  const options = {
    folder,
    account,
    clock,
    logFile: join(home, 'log'),
    settings: ['fsync=off', 'shared_buffers=32MB'],
  };
  let server: RunningServer = await startOnFreePort(options, 0);
  const { port } = server;
  const urlOf = (database: string): string => `postgres://${serverUser}:${password}@127.0.0.1:${port}/${database}`;
  let databases = 0;
  return {
    url: urlOf('postgres'),
    async createDatabase() {
      const client = new pg.Client({ connectionString: urlOf('template1') });
      await client.connect();
      const name = `test_${++databases}`;
      await client.query(`create database ${name} template template0`);
      await client.end();
      return urlOf(name);
    },
    async restart() {
      await server.stop();
      await clearLeftovers(folder, clock);
      server = await startOnFreePort(options, port, true);
    },
    async kill() {
      // Backends outlive the postmaster for a moment, and would still answer.
      const children = await readFile(`/proc/${server.pid}/task/${server.pid}/children`, 'utf8').catch(() => '');
      await server.stop('SIGKILL');
      for (const pid of children.trim().split(' ').map(Number)) killIfThere(pid);
    },
    async stop() {
      await server.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

function killIfThere(pid: number): void {
  if (pid <= 1) return;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It was quicker.
  }
}
