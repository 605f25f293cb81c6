import { existsSync, globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const page = readFileSync(join(root, 'docs/invariants.md'), 'utf8');

test('every test that docs/invariants.md names is there', () => {
  const named = [...page.matchAll(/`([\w./*-]+\.test\.ts)`/g)].map(([, path]) => path ?? '');
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((path) => globSync(path, { cwd: root }).length === 0)).toEqual([]);
});

test('every fault is shown by a test of that name, with the seeds that stand in the table', () => {
  const table = page.slice(page.indexOf('| fault |'));
  const faults = table.split('\n').slice(2).filter((line) => line.startsWith('|')).map((line) => line.split('|').map((cell) => cell.trim()));
  expect(faults.length).toBeGreaterThan(10);
  const wrong = faults.filter(([, fault = '', file = '', name = '', seeds = '']) => {
    const path = join(root, file.replaceAll('`', ''));
    if (fault === '' || !existsSync(path)) return true;
    const text = readFileSync(path, 'utf8');
    return !text.includes(name.replaceAll('`', '')) || !seeds.split(', ').filter((seed) => seed !== '').every((seed) => new RegExp(`\\b${seed}\\b`).test(text));
  });
  expect(wrong.map(([, fault, file]) => `${fault} (${file})`)).toEqual([]);
});
