import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startProcess, waitUntilReady, type RunningProcess } from '../services/process.ts';

/** Watershed as processes of its own, reached as people reach it. */
export interface Lake extends AsyncDisposable {
  /** Starts every program that does not run. */
  start(): Promise<void>;
  /** Starts those again that ended by themselves, as whoever runs them would; true where there were any. */
  revive(): Promise<boolean>;
  /** SIGKILL to the program of this number, modulo how many there are. */
  kill(number: number): Promise<void>;
  call(method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }>;
  /** Rows as objects; throws where the statement is refused. */
  rows<Row>(sql: string): Promise<Row[]>;
  output(): Promise<string>;
}

export interface LakeOptions {
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  /** Ingest, warehouse and doors as programs of their own, instead of all in one process. */
  readonly apart: boolean;
}

interface Program {
  readonly name: string;
  readonly args: readonly string[];
  readonly folder: string;
  process: RunningProcess | undefined;
  /** It ended, and it was not us. */
  over: boolean;
}

const token = 'the-token-of-the-oracle-0123456789';
const cli = join(import.meta.dirname, '../../cli/main.ts');
const readyMsMax = 120_000;

export function createLake({ folder, environment, apart }: LakeOptions): Lake {
  const names = apart ? ['warehouse', 'sql', 'ingest'] : ['start'];
  const programs = names.map((name): Program => (
    { name, args: name === 'start' ? [cli, 'start'] : [cli, 'run', name], folder: join(folder, name), process: undefined, over: false }));
  const doors = programs.find(({ name }) => name === 'sql' || name === 'start') as Program; // one of both is there
  let url = '';
  const call: Lake['call'] = async (method, path, body) => {
    const response = await fetch(`${url}${path}`, {
      method, headers: { authorization: `Bearer ${token}`, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }), signal: AbortSignal.timeout(30_000),
    });
    const text = await response.text();
    return { status: response.status, body: text === '' ? undefined : JSON.parse(text) };
  };
  const startOne = async (program: Program): Promise<void> => {
    await mkdir(program.folder, { recursive: true });
    const child = await startProcess({ command: process.execPath, args: program.args, folder: program.folder, root: folder, env: {
      WATERSHED_DATA_DIR: join(program.folder, 'data'), WAREHOUSE_URI: `file://${join(folder, 'lake')}`, WATERSHED_HTTP_PORT: '0',
      WATERSHED_PGWIRE_PORT: '0', WATERSHED_METRICS_PORT: '0', WATERSHED_SAMPLE: 'off', WATERSHED_ADMIN_TOKEN: token, ...environment } });
    program.process = child;
    program.over = false;
    void child.exited.then(() => {
      if (program.process === child) program.over = true;
    });
  };
  const start = async (): Promise<void> => {
    for (const program of programs) if (program.process === undefined || program.over) await startOne(program);
    const { process: child } = doors;
    if (child === undefined) return;
    url = await waitUntilReady('watershed', { folder: doors.folder, process: child, timeoutMs: readyMsMax }, async () => {
      const text = await readFile(join(doors.folder, 'data', 'address.json'), 'utf8');
      const address = JSON.parse(text) as { http: string; pid: number }; // as the doors write it
      if (address.pid !== child.pid) return undefined;
      return (await fetch(`${address.http}/readyz`)).ok ? address.http : undefined;
    });
  };
  return {
    start, call,
    async revive() {
      if (!programs.some(({ over }) => over)) return false;
      await start();
      return true;
    },
    async kill(number) {
      const program = programs[number % programs.length];
      const child = program?.process;
      if (program === undefined || child === undefined) return;
      program.process = undefined;
      await child.kill();
    },
    async rows<Row>(sql: string) {
      const { status, body } = await call('POST', '/api/sql', { sql });
      if (status !== 200 || !isResult(body)) throw new Error(`the statement was answered with ${status}: ${JSON.stringify(body)}`);
      return body.rows.map((row) => Object.fromEntries(body.columns.map(({ name }, index) => [name, row[index]])) as Row); // the caller's columns
    },
    async output() {
      const texts = await Promise.all(programs.map(({ folder: own }) => readFile(join(own, 'output.log'), 'utf8').catch(() => '')));
      return texts.map((text, index) => `--- ${names[index]}\n${text.slice(-4000)}`).join('\n');
    },
    async [Symbol.asyncDispose]() {
      for (const program of programs.toReversed()) await program.process?.stop();
    },
  };
}

function isResult(body: unknown): body is { columns: { name: string }[]; rows: unknown[][] } {
  return typeof body === 'object' && body !== null && 'rows' in body && Array.isArray(body.rows) && 'columns' in body && Array.isArray(body.columns);
}
