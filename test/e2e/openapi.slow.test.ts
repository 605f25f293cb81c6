import { chmod, readFile, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Validator } from '@seriousme/openapi-schema-validator';
import { removeFolder, startProcess, temporaryFolder, waitUntilReady, type RunningProcess } from '../services/process.ts';

interface Operation {
  readonly summary?: string;
  readonly parameters?: readonly { readonly name: string; readonly in: string }[];
  readonly responses: Readonly<Record<string, unknown>>;
}
interface Description {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
}

const repository = join(import.meta.dirname, '../..');
let folder: string;
let server: RunningProcess;
let url: string;
let token: string;
let description: Description;

const get = (path: string): Promise<Response> => fetch(`${url}${path}`, { headers: { authorization: `Bearer ${token}` } });

beforeAll(async () => {
  folder = await temporaryFolder('openapi');
  await chmod(folder, 0o711); // as root, the database server runs as another user, who must get to its files
  const data = join(folder, 'data');
  server = await startProcess({
    command: process.execPath, args: [join(repository, 'cli/main.ts'), 'start'], folder,
    env: { WATERSHED_DATA_DIR: data, WATERSHED_HTTP_PORT: '0', WATERSHED_PGWIRE_PORT: '0', WATERSHED_SAMPLE: 'off' },
  });
  url = await waitUntilReady('the door', { folder, process: server, timeoutMs: 120_000 }, async () =>
    /http:\/\/127\.0\.0\.1:\d+/.exec(await readFile(join(folder, 'output.log'), 'utf8'))?.[0]);
  token = (await readFile(join(data, 'admin.token'), 'utf8')).trim();
  description = await (await get('/api/openapi.json')).json() as Description;
}, 150_000);

afterAll(async () => {
  await server.stop();
  await removeFolder(folder);
});

const operations = (): (Operation & { readonly path: string; readonly method: string })[] =>
  Object.entries(description.paths).flatMap(([path, methods]) => Object.entries(methods).map(([method, operation]) => ({ ...operation, path, method })));

test('the description is valid OpenAPI 3.1', async () => {
  const { valid, errors } = await new Validator().validate(structuredClone({ ...description }));
  expect(errors ?? []).toEqual([]);
  expect(valid).toBe(true);
  expect(description.openapi).toBe('3.1.0');
});

test('every operation says what it is for, each parameter of its path, what it answers and how it fails', () => {
  expect(operations().length).toBeGreaterThan(50);
  for (const { method, path, summary, parameters = [], responses } of operations()) {
    expect([method, path, summary]).toEqual([method, path, expect.stringMatching(/\w{3}/)]);
    const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
    expect([method, path, parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name)]).toEqual([method, path, inPath]);
    expect([method, path, Object.keys(responses).some((status) => /^[23]/.test(status))]).toEqual([method, path, true]);
    expect(responses).toHaveProperty(['default', 'content', 'application/problem+json']);
  }
});

test('every route under /api that stands in the sources is described', async () => {
  const sources = (await readdir(join(repository, 'sql/http'))).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'));
  const routes: string[] = [];
  for (const name of sources) {
    const text = await readFile(join(repository, 'sql/http', name), 'utf8');
    for (const [, method, path = ''] of text.matchAll(/app\.(get|post|put|patch|delete)(?:<[^(]*>)?\(\s*['`](\/api\/[^'`]+)/g)) {
      routes.push(`${method} ${path.replaceAll(/:(\w+)/g, '{$1}')}`);
    }
  }
  expect(routes.length).toBeGreaterThan(40);
  const described = new Set(operations().map(({ method, path }) => `${method} ${path}`));
  const unknown = routes.filter((route) => route !== 'get /api/openapi.json' && !route.includes('${') && !described.has(route));
  expect(unknown).toEqual([]);
});

test('every GET that is described is there', async () => {
  const plain = operations().filter(({ method, path }) => method === 'get' && !path.includes('{') && path !== '/api/live');
  expect(plain.length).toBeGreaterThan(10);
  for (const { path } of plain) expect([path, (await get(path)).status]).toEqual([path, 200]);
}, 60_000);
