import { spawn } from 'node:child_process';
import { chmod, copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { findAdminToken } from '#core/auth/tokens.ts';
import { type Config, expandHome } from '#core/config.ts';
import { runningEmbedded } from '#core/database/embedded.ts';
import { systemCode, WatershedError } from '#core/errors.ts';
import { findServer } from '../server.ts';
import type { Command } from '../command.ts';

const root = join(import.meta.dirname, '..', '..');
const source = join(root, 'dashboards', 'notebooks');
const shipped = ['first-look.ipynb', 'iceberg.ipynb', 'networks.ipynb', 'classifier-errors.ipynb', 'requirements.txt'];
/** What people said of the sample's posts, for the notebook on the classifier's errors. */
const labels = ['2013-alberta-floods.t6.csv', '2013-colorado-floods.t26.csv'];

export const notebookCommand: Command = {
  name: 'notebook',
  summary: 'Start Jupyter with the connection to the lake ready',
  usage: '[--no-start]',
  help: `
Copies the notebooks into <data>/notebooks (what you changed there stays), writes the connection beside them, and starts
JupyterLab, or Jupyter Notebook where there is no JupyterLab. Needs Python with what requirements.txt lists:
  pip install -r data/notebooks/requirements.txt
--no-start only prepares the folder.`,
  options: { 'no-start': { type: 'boolean' } },
  async run(input) {
    const dataDir = resolve(expandHome(input.config.WATERSHED_DATA_DIR));
    await findServer(input.config).then((server) => server.request('/healthz', { signal: input.signal }));
    const folder = join(dataDir, 'notebooks');
    await mkdir(join(folder, 'labels'), { recursive: true });
    for (const name of shipped) await copyNew(join(source, name), join(folder, name));
    for (const name of labels) await copyNew(join(root, 'samples', name), join(folder, 'labels', name));
    const token = await findAdminToken(dataDir, input.config.WATERSHED_ADMIN_TOKEN);
    const wire = await wireAddress(dataDir) ?? { host: '127.0.0.1', port: input.config.WATERSHED_PGWIRE_PORT };
    const url = `postgres://analyst:${encodeURIComponent(token ?? '')}@${wire.host}:${wire.port}/lake`;
    const catalog = input.config.DATABASE_URL ?? await runningEmbedded(dataDir);
    // It holds the token and the catalog's password, as <data>/admin.token and <data>/postgres.password do: for the
    // owner only, and not in any process list.
    const connection = { url, ...(catalog === undefined ? {} : { catalog }), store: storeProperties(input.config) };
    await writeOwn(join(folder, 'watershed-connection.json'), `${JSON.stringify(connection)}\n`);
    input.out(`${folder}\n`);
    if (input.values['no-start'] === true) return 0;
    for (const program of ['jupyter-lab', 'jupyter-notebook']) {
      const code = await runIn(folder, program, input.signal);
      if (code !== undefined) return code;
    }
    throw new WatershedError('unavailable', 'there is no Jupyter on this machine', {
      hint: `pip install -r ${join(folder, 'requirements.txt')}, then again; or open the notebooks in ${folder} with another program`,
    });
  },
};

async function copyNew(from: string, to: string): Promise<void> {
  // COPYFILE_EXCL: what somebody changed is never written over.
  await copyFile(from, to, 1).catch((error: unknown) => {
    if (systemCode(error) !== 'EEXIST') throw error;
  });
}

/** How PyIceberg reaches the object store; keys are its own to find, in the environment or where AWS keeps them. */
function storeProperties(config: Config): Readonly<Record<string, string>> {
  if (config.WAREHOUSE_URI?.startsWith('s3://') !== true) return {};
  return {
    's3.region': config.WAREHOUSE_S3_REGION,
    ...(config.WAREHOUSE_S3_ENDPOINT === undefined ? {} : { 's3.endpoint': config.WAREHOUSE_S3_ENDPOINT }),
  };
}

/** A file that only the owner reads, also where it was there before with other rights. */
async function writeOwn(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 });
  await chmod(path, 0o600);
}

/** What `start` wrote into the data folder. */
async function wireAddress(dataDir: string): Promise<{ host: string; port: number } | undefined> {
  const text = await readFile(join(dataDir, 'address.json'), 'utf8').catch(() => '{}');
  const parsed: unknown = JSON.parse(text);
  const wire: unknown = typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, 'wire') : undefined;
  if (typeof wire !== 'object' || wire === null || !('host' in wire) || !('port' in wire)) return undefined;
  return { host: String(wire.host), port: Number(wire.port) };
}

/** The exit code, or undefined where the program is not there. */
async function runIn(folder: string, program: string, signal: AbortSignal): Promise<number | undefined> {
  const child = spawn(program, ['first-look.ipynb'], { cwd: folder, stdio: 'inherit' });
  const stop = (): void => void child.kill('SIGTERM');
  signal.addEventListener('abort', stop, { once: true });
  try {
    return await new Promise((done, fail) => {
      child.once('error', (error) => (systemCode(error) === 'ENOENT' ? done(undefined) : fail(error)));
      child.once('exit', (code) => done(signal.aborted ? 0 : code ?? 1));
    });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}
