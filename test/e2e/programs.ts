import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startProcess, waitUntilReady, type RunningProcess } from '#test/services/process.ts';

const cli = join(import.meta.dirname, '../../cli/main.ts');

/** `watershed run …` in a process of its own. */
export interface Program {
  readonly name: string;
  readonly process: RunningProcess;
  /** Where it says that its probes (of sql: its doors) are. */
  readonly url: string;
  /** All that it has written to standard error and output, with what those before it on the same folder wrote. */
  said(): Promise<string>;
}

export interface ProgramOptions {
  /** Below it each program has a folder of its own, by its name. */
  readonly folder: string;
  readonly program: string;
  /** Default: the program. */
  readonly name?: string;
  readonly env: Readonly<Record<string, string>>;
}

/** Starts a program; resolves when it says that it runs. */
export async function startProgram({ folder, program, name = program, env }: ProgramOptions): Promise<Program> {
  const home = join(folder, name);
  await mkdir(home, { recursive: true });
  const output = join(home, 'output.log');
  const before = (await readFile(output, 'utf8').catch(() => '')).length;
  const process = await startProcess({
    command: globalThis.process.execPath, args: [cli, 'run', program], folder: home, root: home, env: { ...env, WATERSHED_DATA_DIR: home },
  });
  return waitUntilReady(`program ${name}`, { folder: home, process, timeoutMs: 90_000 }, async () => {
    const text = (await readFile(output, 'utf8')).slice(before);
    const found = program === 'sql' ? /page: +(http:\S+)\/\?/.exec(text) : /metrics: (http:\S+)/.exec(text);
    return found?.[1] === undefined ? undefined : { name, process, url: found[1], said: () => readFile(output, 'utf8') };
  });
}

/** Asks a door; rejects with its problem where it refuses. */
export async function askDoor(base: string, token: string, sql: string, signal?: AbortSignal): Promise<unknown[][]> {
  const response = await fetch(`${base}/api/sql`, {
    method: 'POST', body: JSON.stringify({ sql }), headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    ...(signal === undefined ? {} : { signal }),
  });
  const answer = await response.json() as { rows?: unknown[][] };
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer.rows ?? [];
}

/** Waits for a condition; resolves with the milliseconds that it took. */
export async function eventually(what: string, within: number, check: () => Promise<boolean>): Promise<number> {
  const from = Date.now();
  while (!await check()) {
    if (Date.now() - from > within) throw new Error(`${what}: not within ${within} ms`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  return Date.now() - from;
}
