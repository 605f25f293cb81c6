import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createHttpServer } from '#sql/http/server.ts';
import { ensureOwnCertificate, openWireTls } from '#sql/pgwire/tls.ts';
import { pretendedAuth, token as httpToken } from '#test/pretended-auth.ts';
import { program } from '#test/services/install.ts';
import { wirePython } from '#test/services/python.ts';
import { roomyLimits } from '#test/sql-lake.ts';
import { type Door, startDoor, token } from './door.ts';
import { connectPage, recipes } from './recipes.ts';

// The recipes of docs/connect.md as they stand there, but for the port and the folder, which are the test's.
const root = join(import.meta.dirname, '..', '..');
let door: Door;
let folder: string;
let interpreter: string;
const run = promisify(execFile);

beforeAll(async () => {
  await program('psql', 'postgresql-client');
  await program('curl', 'curl');
  interpreter = await wirePython();
  folder = await mkdtemp(join(tmpdir(), 'connect-'));
  const files = await ensureOwnCertificate(folder, '127.0.0.1', systemClock);
  door = await startDoor({ catalogue: true, tls: openWireTls({ ...files, isRequired: false, clock: systemClock, logger: silentLogger }) });
}, 300_000);
afterAll(async () => {
  await door[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

const at = (heading: string): string[] => recipes(heading, { 5439: String(door.port), 'data/wire.crt': join(folder, 'wire.crt') });
const shell = async (script: string): Promise<string> =>
  (await run('env', [`TOKEN=${token}`, 'sh', '-ec', script], { maxBuffer: 64 * 1024 * 1024 })).stdout;
const python = async (script: string): Promise<string> =>
  (await run('env', [`TOKEN=${token}`, interpreter, '-c', `import os\ntoken = os.environ['TOKEN']\n${script}`])).stdout;

test.each(['**TLS.**', '## psql'])('%s', async (heading) => {
  const [command = ''] = at(heading);
  expect(command).toContain('psql');
  expect(await shell(`${command.trim()} -XAt -c 'select count(*) from posts'`)).toBe('5000\n');
});

test('## Superset and SQLAlchemy', async () => {
  const [address = ''] = at('## Superset and SQLAlchemy');
  expect(await python(`
import sqlalchemy
engine = sqlalchemy.create_engine("${address.trim()}".replace("$TOKEN", token))
print(sqlalchemy.inspect(engine).get_table_names("lake")[0], engine.connect().execute(sqlalchemy.text("select count(*) from posts")).scalar())`)).toBe('posts 5000\n');
});

test('## pandas and polars', async () => {
  const [script = ''] = at('## pandas and polars');
  expect(await python(`${script.replace('frame = polars', 'print(frame.shape)\nframe = polars')}print(frame.shape)`)).toBe('(5000, 2)\n(5000, 2)\n');
});

test('## psycopg, asyncpg', async () => {
  const [script = ''] = at('## psycopg, asyncpg');
  expect(await python(`${script.replaceAll('(10,)', '(5,)')}print(len(rows))`)).toBe('714\n');
});

test('## Node', async () => {
  const [script = ''] = at('## Node');
  // In the tree, where the package is found.
  const file = join(root, '.cache', `connect-${process.pid}.mjs`);
  await writeFile(file, `const token = '${token}';\n${script}
await client.connect();\nconsole.log((await client.query('select count(*) from posts')).rows[0].count);\nawait client.end();\n`);
  try {
    expect((await run(process.execPath, [file])).stdout).toBe('5000\n');
  } finally {
    await rm(file);
  }
});

test('## curl', async () => {
  const server = await createHttpServer({
    engine: door.engine, auth: pretendedAuth(), limits: roomyLimits, metrics: door.metrics, logger: silentLogger, clock: systemClock, spoolFolder: folder,
  });
  try {
    const { port } = await server.listen('127.0.0.1', 0);
    const [command = ''] = at('## curl');
    const { stdout } = await run('env', [`TOKEN=${httpToken}`, 'no_proxy=*', 'sh', '-ec', command.replace('8080', String(port))]);
    expect(JSON.parse(stdout)).toMatchObject({ rows: [[5000]], rowCount: 1 });
  } finally {
    await server[Symbol.asyncDispose]();
  }
});

test('every test that the page names is there', () => {
  const named = [...connectPage.matchAll(/`([\w.-]+\.test\.ts)`/g)].map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(5);
  expect(named.filter((name) => !/./.test(readFileSync(join(import.meta.dirname, name), 'utf8')))).toEqual([]);
});
