import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { dashboardFiles, readmeText, schemaText } from '../../build/chart.ts';

const helm = join(import.meta.dirname, '..', '..', 'helm');
const read = (...path: string[]): string => readFileSync(join(helm, ...path), 'utf8');

test('schema, tables and dashboards of the chart are those that `node build/chart.ts` makes', () => {
  expect(read('values.schema.json')).toBe(schemaText());
  expect(read('README.md')).toBe(readmeText());
  for (const [from, to] of dashboardFiles()) {
    expect(existsSync(to) && readFileSync(to, 'utf8')).toBe(readFileSync(from, 'utf8'));
  }
});

test('no secret can be given as a plain setting', () => {
  const schema: unknown = JSON.parse(read('values.schema.json'));
  expect(schema).toHaveProperty(['properties', 'settings', 'properties', 'KAFKA_BROKERS']);
  for (const name of ['DATABASE_URL', 'WATERSHED_ADMIN_TOKEN', 'KAFKA_PASSWORD', 'WAREHOUSE_S3_SECRET_KEY']) {
    expect(schema).not.toHaveProperty(['properties', 'settings', 'properties', name]);
    expect(schema).toHaveProperty(['properties', 'secrets', 'properties', 'keys', 'items', 'enum'], expect.arrayContaining([name]));
  }
});

test('each alert has an entry in docs/operating.md, and reads metrics that the programs have', () => {
  const root = join(helm, '..');
  const rules = read('files', 'alerts.yaml');
  const names = [...rules.matchAll(/- alert: (\w+)/g)].map((match) => match[1]);
  expect(names.length).toBeGreaterThan(7);
  const operating = readFileSync(join(root, 'docs', 'operating.md'), 'utf8');
  expect([...operating.matchAll(/^### (Watershed\w+)/gm)].map((match) => match[1]).toSorted()).toEqual(names.toSorted());
  const code = ['core', 'ingest', 'warehouse', 'transform', 'sql'].flatMap((room) =>
    readdirSync(join(root, room), { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts') && !name.endsWith('.test.ts'))
      .map((name) => readFileSync(join(root, room, name), 'utf8'))).join('\n');
  const metrics = new Set([...rules.matchAll(/watershed_[a-z_]+/g)].map(([name]) => name.replace(/_bucket$/, '')));
  expect([...metrics].filter((name) => !code.includes(`'${name}'`))).toEqual([]);
});
