import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { removeFolder, temporaryFolder, type RunningProcess } from '#test/services/process.ts';
import { askDoor, eventually, startProgram, type Program } from './programs.ts';

const cli = join(import.meta.dirname, '../../cli/main.ts');
const token = 'token-of-the-test-0123456789';

let postgres: TestPostgres;
let url: string;
let folder: string;
const running: RunningProcess[] = [];

beforeAll(async () => {
  postgres = await startPostgres();
  url = await postgres.createDatabase();
  folder = await temporaryFolder('programs');
});

afterAll(async () => {
  await Promise.all(running.map((process) => process.stop()));
  await postgres.stop();
  await removeFolder(folder);
});

function environment(name: string): Record<string, string> {
  return {
    DATABASE_URL: url, WAREHOUSE_URI: `file://${join(folder, 'lake')}`, WATERSHED_DATA_DIR: join(folder, name), WATERSHED_SAMPLE: 'off',
    WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_METRICS_PORT: '0', WATERSHED_ADMIN_TOKEN: token, WATERSHED_MEMORY_BYTES: '300000000',
  };
}

async function run(program: string, name = program): Promise<Program> {
  const started = await startProgram({ folder, program, name, env: environment(name) });
  running.push(started.process);
  return started;
}

async function load(from: number, count: number): Promise<void> {
  const file = join(folder, `posts-${from}.ndjson`);
  await writeFile(file, Array.from({ length: count }, (_, index) => `${JSON.stringify({
    id: String(1_700_000_000_000_000_000n + BigInt(from + index)), text: `water is rising, please help ${from + index}`, author_id: '7', created_at: '2024-05-01T10:00:00.000Z', lang: 'en',
  })}\n`).join(''));
  await promisify(execFile)(process.execPath, [cli, 'load', file, '--event', 'Flood'], { env: { ...process.env, ...environment('client') } });
}

const ask = async (base: string, sql: string): Promise<unknown> => (await askDoor(base, token, sql))[0]?.[0];

test('four programs and a standby on one database: posts are read and labelled, and the standby takes over within 10 s', async () => {
  const active = await run('warehouse');
  const standby = await run('warehouse', 'standby');
  const [ingest, transform, sql] = [await run('ingest'), await run('transform'), await run('sql')];
  for (const { url: probes } of [active, standby, ingest, transform]) {
    expect((await fetch(`${probes}/healthz`)).status).toBe(200);
    expect((await fetch(`${probes}/readyz`)).status).toBe(200);
    expect((await fetch(`${probes}/elsewhere`)).status).toBe(404);
  }
  expect((await fetch(`${sql.url}/readyz`)).status).toBe(200);

  await load(0, 500);
  await eventually('all posts are read', 20_000, async () => await ask(sql.url, 'select count(*) from lake.posts') === 500);
  expect(await (await fetch(`${active.url}/metrics`)).text()).toContain('watershed_landed_records_total{landing="posts",fate="kept"} 500');
  expect(await (await fetch(`${standby.url}/metrics`)).text()).not.toContain('watershed_landed_records_total');
  await eventually('all posts are labelled', 60_000, async () => await ask(sql.url, `select count(distinct post_id) from lake.classifications`) === 500);

  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const epoch = async (): Promise<number> => Number((await client.query(`select epoch from watershed.lease where name = 'warehouse'`)).rows[0].epoch);
  const before = await epoch();
  await active.process.kill();
  const tookMs = await eventually('the standby writes', 30_000, async () => await epoch() > before);
  await client.end();
  expect(tookMs).toBeLessThan(10_000);
  await load(500, 300);
  await eventually('all posts are read', 20_000, async () => await ask(sql.url, 'select count(*) from lake.posts') === 800);
  expect(await ask(sql.url, 'select count(distinct post_id) from lake.posts')).toBe(800);
  expect(await (await fetch(`${standby.url}/metrics`)).text()).toContain('watershed_landed_records_total{landing="posts",fate="kept"} 300');
}, 300_000);

test('a program alone without a database is refused with what to do', async () => {
  const { DATABASE_URL: _none, ...rest } = environment('alone');
  await expect(promisify(execFile)(process.execPath, [cli, 'run', 'warehouse'], { env: { ...process.env, ...rest } }))
    .rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('DATABASE_URL') });
}, 60_000);
