import { spawn } from 'node:child_process';
import { mkdtemp, open, readFile, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A child that was started here and is stopped here, by its process id. */
export interface RunningProcess {
  readonly pid: number;
  /** Resolves when it has ended, for whatever reason. */
  readonly exited: Promise<void>;
  /** SIGTERM, and SIGKILL after ten seconds; resolves when it has ended. */
  stop(): Promise<void>;
  /** SIGKILL; resolves when it has ended. */
  kill(): Promise<void>;
  /** Any other signal, such as SIGSTOP and SIGCONT. */
  signal(name: NodeJS.Signals): void;
}

export interface ProcessOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Added to our own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Where it runs, and where `output.log` is written. */
  readonly folder: string;
  /** Removed when our own process dies, however it dies. Default `folder`. */
  readonly root?: string;
}

// The watcher reads a pipe whose other end is ours: a word means that all is in order, the end of the pipe without one
// that our process is dead (also by SIGKILL), and then the service goes with it.
const watch = 'if read -r word; then exit 0; fi; kill -9 "$1" 2>/dev/null; for n in 1 2 3; do sleep 0.3; rm -rf "$2"; done';

/** Starts a child that cannot outlive this process. Its output goes to `output.log` in its folder. */
export async function startProcess(options: ProcessOptions): Promise<RunningProcess> {
  const log = await open(join(options.folder, 'output.log'), 'a');
  const variables = Object.entries(options.env ?? {}).map(([name, value]) => `${name}=${value}`);
  const child = spawn('env', [...variables, options.command, ...options.args], {
    cwd: options.folder, stdio: ['ignore', log.fd, log.fd], detached: true,
  });
  const ended = Promise.withResolvers<void>();
  child.once('exit', () => ended.resolve());
  const started = Promise.withResolvers<number>();
  child.once('error', (error) => started.reject(error));
  child.once('spawn', () => started.resolve(child.pid ?? 0));
  const pid = await started.promise;
  await log.close();
  const watcher = spawn('sh', ['-c', watch, 'watch', String(pid), options.root ?? options.folder], {
    stdio: ['pipe', 'ignore', 'ignore'], detached: true,
  });
  watcher.unref();
  watcher.stdin.on('error', () => undefined);
  void ended.promise.then(() => watcher.stdin.end('done\n'));
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended.promise;
  };
  return {
    pid,
    exited: ended.promise,
    kill,
    signal: (name) => void child.kill(name),
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), 10_000);
      await ended.promise;
      clearTimeout(timer);
    },
  };
}

/** Polls until the condition gives something, and fails with the end of the child's output when it dies or takes too long. */
export async function waitUntilReady<T>(
  what: string, options: { readonly folder: string; readonly process: RunningProcess; readonly timeoutMs: number },
  condition: () => Promise<T | undefined>,
): Promise<T> {
  let dead = false;
  void options.process.exited.then(() => (dead = true));
  const until = Date.now() + options.timeoutMs;
  let last: unknown;
  while (!dead && Date.now() < until) {
    try {
      const result = await condition();
      if (result !== undefined) return result;
    } catch (error) {
      last = error;
    }
    await new Promise((resolve) => setTimeout(resolve, 30));
  }
  const output = await readFile(join(options.folder, 'output.log'), 'utf8').catch(() => '');
  const why = dead ? 'ended while starting' : `was not ready after ${options.timeoutMs} ms`;
  await options.process.kill();
  throw new Error(`${what} ${why}:\n${output.slice(-4000)}`, { cause: last });
}

/** A folder of its own under the system's temporary folder. */
export async function temporaryFolder(name: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `watershed-${name}-`));
}

export async function removeFolder(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
}

/** True once something accepts connections there. */
export function accepts(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(undefined));
  });
}

const given = new Set<number>();

/**
 * Ports of 127.0.0.1 that nobody listens on. They lie below the range from which the system takes ports for outgoing
 * connections (32768 on Linux), so that none of these is taken between this call and the listening.
 */
export async function freePorts(count: number): Promise<number[]> {
  const ports: number[] = [];
  while (ports.length < count) {
    const port = 12_000 + Math.floor(Math.random() * 20_000);
    if (given.has(port) || !(await isFree(port))) continue;
    given.add(port);
    ports.push(port);
  }
  return ports;
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
