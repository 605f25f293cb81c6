import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { cachedFolder, program, run } from './install.ts';

/** What the tests need of Python: independent readers and clients. One environment for all, so that they are installed once. */
const packages = [
  'pyiceberg[pyiceberg-core]==0.12.0',
  'pyarrow',
  'sqlalchemy',
  'psycopg2-binary',
  'duckdb==1.5.5',
  'duckdb-extension-iceberg==1.5.5',
  'duckdb-extension-avro==1.5.5',
  'duckdb-extension-httpfs==1.5.5',
];

/** Clients of the Postgres wire, apart from the readers: a change of theirs does not install those anew. */
const wirePackages = [
  'psycopg[binary]==3.3.9', 'psycopg2-binary', 'asyncpg==0.32.0', 'sqlalchemy==2.1.9', 'pandas==3.1.1', 'polars==2.1.0', 'pyarrow',
  'adbc-driver-postgresql==1.13.0', 'adbc-driver-manager==1.13.0', 'connectorx==0.4.6',
];

/** What runs a notebook without a browser, and what the notebooks import. */
const notebookPackages = [
  'nbclient', 'ipykernel', 'matplotlib', 'pandas==3.1.1', 'psycopg[binary]==3.3.9', 'duckdb==1.5.5', 'networkx==3.6.1', 'sqlalchemy==2.1.9', 'openpyxl==3.1.5',
  'pyiceberg[pyiceberg-core]==0.12.0', 'pyarrow',
];

/** The Python of an environment that executes notebooks. */
export async function notebookPython(): Promise<string> {
  return await environment('python-notebook-2', notebookPackages);
}

/** The Python of an environment that has `packages`; made on the first call, with the network. */
export async function python(): Promise<string> {
  return await environment('python-2', packages);
}

/** The Python of an environment that has the clients of the Postgres wire. */
export async function wirePython(): Promise<string> {
  return await environment('python-wire-1', wirePackages);
}

/** The Python of an environment that has librdkafka: what most other clients of Kafka are made on. */
export async function kafkaPython(): Promise<string> {
  return await environment('python-kafka-1', ['confluent-kafka==2.16.1']);
}

async function environment(name: string, wanted: readonly string[]): Promise<string> {
  const folder = await cachedFolder(name, async (half) => {
    const system = await program('python3', 'python3-venv');
    await run(system, ['-m', 'venv', '--copies', half]);
    await run(join(half, 'bin', 'python'), ['-m', 'pip', 'install', '--quiet', ...wanted]);
  });
  return join(folder, 'bin', 'python');
}

/** Runs a script with arguments and parses the JSON that it prints last. */
export async function runPython(script: string, args: readonly string[], interpreter = python()): Promise<unknown> {
  const { stdout } = await promisify(execFile)(await interpreter, ['-c', script, ...args], { maxBuffer: 64 * 1024 * 1024 })
    .catch((cause: unknown) => {
      const said = typeof cause === 'object' && cause !== null && 'stderr' in cause ? String(cause.stderr) : String(cause);
      throw new Error(`the Python script failed: ${said.slice(-4000)}`, { cause });
    });
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? 'null');
}
