import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');

test.each(['five-questions', 'security'])('every test that docs/%s.md names is there under that name', (page) => {
  const named = [...readFileSync(join(root, 'docs', `${page}.md`), 'utf8').matchAll(/`([\w./-]+\.test\.ts)`: “([^”]+)”/g)]
    .map((match) => [match[1] ?? '', match[2] ?? ''] as const);
  expect(named.length).toBeGreaterThan(7);
  const missing = named.filter(([file, name]) =>
    !existsSync(join(root, file)) || !readFileSync(join(root, file), 'utf8').replaceAll("\\'", "'").includes(name));
  expect(missing).toEqual([]);
});
