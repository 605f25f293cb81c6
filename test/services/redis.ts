import { cachedFolder, program, run, which } from './install.ts';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { accepts, freePorts, removeFolder, startProcess, temporaryFolder, waitUntilReady } from './process.ts';
import type { RunningProcess } from './process.ts';

export interface RedisService extends AsyncDisposable {
  readonly url: string;
  readonly process: () => RunningProcess;
  /** Starts it again after `process().kill()`, with its data and port. */
  restart(): Promise<void>;
  stop(): Promise<void>;
}

/** Redis with an append-only file. `evicting` gives it a limit and a policy under which it forgets keys. */
export async function startRedis(options: { readonly evicting?: boolean } = {}): Promise<RedisService> {
  const server = await redisServer();
  const folder = await temporaryFolder('redis');
  const [port = 0] = await freePorts(1);
  const policy = options.evicting === true ? ['--maxmemory', '64mb', '--maxmemory-policy', 'allkeys-lru'] : ['--maxmemory-policy', 'noeviction'];
  const launch = async (): Promise<RunningProcess> => {
    const started = await startProcess({
      command: server.command,
      args: ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--dir', folder, ...policy],
      env: server.env, folder,
    });
    await waitUntilReady('redis', { folder, process: started, timeoutMs: 20_000 }, () => accepts(port));
    return started;
  };
  let running = await launch();
  const stop = async (): Promise<void> => {
    await running.kill();
    await removeFolder(folder);
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    process: () => running,
    async restart() {
      running = await launch();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/** The server of the machine, else Debian's package: installed by root, unpacked beside the others by anybody else. */
async function redisServer(): Promise<{ command: string; env: Record<string, string> }> {
  const found = await which('redis-server');
  if (found !== undefined) return { command: found, env: {} };
  if (process.getuid?.() === 0) return { command: await program('redis-server', 'redis-server'), env: {} };
  const folder = await cachedFolder('redis-7', async (half) => {
    await run('apt-get', ['download', 'redis-server', 'redis-tools', 'libjemalloc2', 'liblua5.1-0', 'lua-cjson', 'lua-bitop', 'liblzf1', 'libhiredis0.14'],
      { cwd: half });
    for (const file of await readdir(half)) if (file.endsWith('.deb')) await run('dpkg', ['-x', join(half, file), join(half, 'root')]);
  });
  return {
    command: join(folder, 'root/usr/bin/redis-server'),
    env: { LD_LIBRARY_PATH: join(folder, 'root/usr/lib/x86_64-linux-gnu') },
  };
}
