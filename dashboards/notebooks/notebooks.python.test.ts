import { jest } from '@jest/globals';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { scramVerifier } from '#core/auth/scram.ts';
import { createSlowdown } from '#core/auth/slowdown.ts';
import { systemClock } from '#core/clock.ts';
import { catalogName, storeNamespace, tables } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { createWireServer } from '#sql/pgwire/server.ts';
import { dashboardsLake } from '#test/dashboards-lake.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { notebookPython, runPython } from '#test/services/python.ts';
import { roomyLimits, type SqlLake } from '#test/sql-lake.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';

jest.setTimeout(600_000);
const token = 'a-token-of-twenty-characters-and-more';
const stop = new AbortController();
let lake: SqlLake;
let postgres: TestPostgres;
let catalogUrl: string;
let running: Promise<void>;
let url: string;

beforeAll(async () => {
  lake = await dashboardsLake();
  // Forty accounts: each names the next one, every second names account 0 as well; accounts 1 to 9 repeat the post of 0. One must be forgotten.
  await lake.append('posts', `select 'quake-2014' as event_id, 'x' as source, 'n' || i as post_id, timestamptz '2014-08-24 10:20:00+00' + to_minutes(i) as created_at,
    'a' || i as author_id, 'User' || i as author_handle, 'en' as lang, 'Felt it' as text, 0 as log_partition, 5000 + i as log_offset,
    list_distinct(case when i % 2 = 1 then ['user' || ((i + 1) % 40), 'USER0'] else ['user' || ((i + 1) % 40)] end) as mentions,
    case when i between 1 and 9 then 'n0' end as repost_of_id from range(40) t(i)`);
  await lake.append('tombstones', `select 'x' as source, 'post' as kind, 'p7' as id, 'gone' as state, 'deleted' as why, timestamptz '2013-06-22 00:00:00+00' as received_at, 1 as log_offset`);
  postgres = await startPostgres();
  catalogUrl = await publish(lake, await postgres.createDatabase());
  const verifier = await scramVerifier(token);
  const server = createWireServer({
    host: '127.0.0.1', port: 0, engine: lake.engine(), shadow: undefined, limits: roomyLimits, spoolFolder: join(lake.folder, 'spool'),
    clock: systemClock, logger: silentLogger, metrics: createMetrics(), slowdown: createSlowdown(systemClock),
    logins: { wireLogin: async (name) => ({ principal: { name, kind: 'read', credential: 'c' }, verifier }) },
  });
  running = server.run(stop.signal);
  url = `postgres://analyst:${token}@127.0.0.1:${(await server.address).port}/lake`;
});

afterAll(async () => {
  stop.abort();
  await running;
  await lake[Symbol.asyncDispose]();
  await postgres.stop();
});

/** Puts the lake's tables into a catalog as the server keeps it. */
async function publish(from: SqlLake, databaseUrl: string): Promise<string> {
  await using database = openDatabase(databaseUrl, { max: 2 });
  await migrate(database);
  const catalog = openPostgresCatalog(database, { catalogName });
  for (const name of Object.keys(tables)) {
    const location = await from.catalog.load({ namespace: storeNamespace, name });
    if (location !== undefined) await catalog.create({ namespace: storeNamespace, name }, location, 'table');
  }
  return databaseUrl;
}

/** Executes a notebook as `jupyter` does; prints what its last cell said, and how many pictures it drew. */
const execute = `
import base64, json, os, sys, nbformat
from nbclient import NotebookClient
path, folder, pictures, variables = sys.argv[1:5]
os.environ.update(json.loads(variables))
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
drawn = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
if pictures:
    for index, picture in enumerate(drawn):
        open(os.path.join(pictures, f"{os.path.basename(path)}-{index}.png"), "wb").write(base64.b64decode(picture))
print(json.dumps({"said": json.loads(outputs[-1]["text"]), "pictures": [len(picture) > 5000 for picture in drawn]}))
`;

async function executed(name: string, variables: Readonly<Record<string, string>>): Promise<unknown> {
  return await runPython(execute, [join(import.meta.dirname, name), lake.folder, process.env['WATERSHED_PICTURES'] ?? '', JSON.stringify(variables)], notebookPython());
}

test('the first look runs from the first cell to the last, and counts what is there', async () => {
  expect(await executed('first-look.ipynb', { WATERSHED_URL: url })).toEqual({
    // 40 hours of 50 posts, three of four labelled; the last hour's 50 posts, of which 20 are shown.
    said: { event: 'flood-2013', posts: 2000, labelled: 1500, hours: 40, gaps: 2, newest: 20 },
    pictures: [true, true],
  });
});

test('the same from Iceberg, with nothing of ours between: what must be forgotten is left out there too', async () => {
  expect(await executed('iceberg.ipynb', { WATERSHED_CATALOG: catalogUrl })).toEqual({
    // Post 7 is gone, and it had a label. The table holds the other event's 40 posts as well.
    said: { event: 'flood-2013', posts: 1999, labelled: 1499, hours: 40, forgotten: 1, rows: 2040 },
    pictures: [true, true],
  });
});

test('networks of mentions and reposts, against the arrows that were drawn by hand', async () => {
  expect(await executed('networks.ipynb', { WATERSHED_URL: url, WATERSHED_EVENT: 'quake-2014' })).toEqual({
    // 40 arrows to the next account, 20 to account 0; of account 39 both are the same one.
    said: { event: 'quake-2014', accounts: { mentions: 40, reposts: 10 }, arrows: { mentions: 59, reposts: 9 }, posts: { mentions: 59, reposts: 9 },
      top: { mentions: 'user0', reposts: 'user0' } },
    pictures: [true],
  });
  // An event in which nobody names anybody.
  expect(await executed('networks.ipynb', { WATERSHED_URL: url, WATERSHED_EVENT: 'flood-2013' })).toMatchObject({ said: { accounts: { mentions: 0, reposts: 0 } } });
});

test("the classifier's errors, against labels of people of which one in ten differs", async () => {
  const folder = join(lake.folder, 'labels');
  await mkdir(folder);
  const kinds = ['affected_individuals', 'infrastructure_and_utilities', 'caution_and_advice', 'donations_and_volunteering', 'sympathy_and_support', 'other_useful_information'];
  const rows = Array.from({ length: 2000 }, (_, index) => `"p${index}",${index % 10 === 1 ? 'Other Useful Information' : kinds[index % 6]?.replaceAll('_', ' ')}`);
  await writeFile(join(folder, 'mine.csv'), ['Tweet ID, Information Type', ...rows, '"p2000",Not labeled', '"unknown",sympathy and support'].join('\n'));
  await writeFile(join(folder, 'other.csv'), 'a,b\n1,2\n');
  // The model's answer is the kind of its number for three posts of four; post 7 is gone.
  const judged = Array.from({ length: 2000 }, (_, index) => index).filter((index) => index % 4 !== 0 && index !== 7);
  const wrong = judged.filter((index) => index % 10 === 1 && index % 6 !== 5);
  expect(await executed('classifier-errors.ipynb', { WATERSHED_URL: url, WATERSHED_LABELS: folder })).toMatchObject({
    said: { information_type: { posts: judged.length, right: judged.length - wrong.length,
      // Every answer has the score 0.9.
      calibration_error: expect.closeTo(Math.abs(0.9 - (1 - wrong.length / judged.length)), 3) as unknown } },
    pictures: [true, true],
  });
});

test('notebooks are kept without outputs: what they showed belongs to whoever ran them', async () => {
  const names = (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.ipynb'));
  expect(names.toSorted()).toEqual(['classifier-errors.ipynb', 'first-look.ipynb', 'iceberg.ipynb', 'networks.ipynb']);
  const outputs = await runPython('import json, sys; print(json.dumps([sum(len(c.get("outputs", [])) for c in json.load(open(p))["cells"]) for p in sys.argv[1:]]))',
    names.map((name) => join(import.meta.dirname, name)), notebookPython());
  expect(outputs).toEqual(names.map(() => 0));
});
