import { jest } from '@jest/globals';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { scramVerifier } from '#core/auth/scram.ts';
import { createSlowdown } from '#core/auth/slowdown.ts';
import { systemClock } from '#core/clock.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics } from '#core/metrics.ts';
import { createWireServer } from '#sql/pgwire/server.ts';
import { dashboardsLake } from '#test/dashboards-lake.ts';
import { notebookPython, runPython } from '#test/services/python.ts';
import { roomyLimits, type SqlLake } from '#test/sql-lake.ts';

jest.setTimeout(600_000);
const token = 'a-token-of-twenty-characters-and-more';
const stop = new AbortController();
let lake: SqlLake;
let running: Promise<void>;
let url: string;

beforeAll(async () => {
  lake = await dashboardsLake();
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
});

/** Executes a notebook as `jupyter` does; prints what its last cell said, and how many pictures it drew. */
const execute = `
import base64, json, os, sys, nbformat
from nbclient import NotebookClient
path, url, folder, pictures = sys.argv[1:5]
os.environ["WATERSHED_URL"] = url
notebook = nbformat.read(path, as_version=4)
NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": folder}}).execute()
outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
drawn = [output["data"]["image/png"] for output in outputs if "image/png" in output.get("data", {})]
if pictures:
    for index, picture in enumerate(drawn):
        open(os.path.join(pictures, f"notebook-{index}.png"), "wb").write(base64.b64decode(picture))
print(json.dumps({"said": json.loads(outputs[-1]["text"]), "pictures": [len(picture) > 5000 for picture in drawn]}))
`;

test('the first look runs from the first cell to the last, and counts what is there', async () => {
  const answer = await runPython(execute, [join(import.meta.dirname, 'first-look.ipynb'), url, lake.folder, process.env['WATERSHED_PICTURES'] ?? ''], notebookPython());
  expect(answer).toEqual({
    // 40 hours of 50 posts, three of four labelled; the last hour's 50 posts, of which 20 are shown.
    said: { event: 'flood-2013', posts: 2000, labelled: 1500, hours: 40, gaps: 2, newest: 20 },
    pictures: [true, true],
  });
});

test('notebooks are kept without outputs: what they showed belongs to whoever ran them', async () => {
  const names = (await readdir(import.meta.dirname)).filter((name) => name.endsWith('.ipynb'));
  expect(names).toContain('first-look.ipynb');
  const outputs = await runPython('import json, sys; print(json.dumps([sum(len(c.get("outputs", [])) for c in json.load(open(p))["cells"]) for p in sys.argv[1:]]))',
    names.map((name) => join(import.meta.dirname, name)), notebookPython());
  expect(outputs).toEqual(names.map(() => 0));
});
