import { existsSync, readFileSync } from 'node:fs';
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
