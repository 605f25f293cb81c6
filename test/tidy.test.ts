// The laws of the house that neither compiler nor linter keeps (docs/architecture.md, "Laws").
import { execFileSync } from 'node:child_process';
import { readFileSync, existsSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' })
  .split('\n').filter((file) => file !== '' && existsSync(join(root, file)));
const sources = tracked.filter((file) => /\.tsx?$/.test(file) && !/generated|testdata/.test(file));
const isTest = (file: string): boolean => /\.test\.tsx?$|\.suite\.ts$|^test\/|^bench\//.test(file);
const code = sources.filter((file) => !isTest(file));
const text = new Map(tracked.filter((file) => /\.(tsx?|md|sql|sh|ya?ml)$/.test(file))
  .map((file) => [file, readFileSync(join(root, file), 'utf8')]));
const longCodeLinesMax = 300;
const linesOf = (file: string): string[] => (text.get(file) ?? '').split('\n');

/** Room → rooms or places it may import. */
const mayImport: Readonly<Record<string, readonly string[]>> = {
  core: [],
  ingest: ['core'],
  warehouse: ['core'],
  transform: ['core', 'warehouse', 'dashboards/reports'],
  sql: ['core', 'warehouse/catalog', 'warehouse/table'],
  dashboards: ['core/contract'],
  cli: ['core', 'ingest', 'warehouse', 'transform', 'sql', 'dashboards'],
};
// The programs' entries put rooms together; cli/commands/start.ts starts start.ts.
const mains = ['cli/commands/start.ts', 'core/main.ts', 'ingest/main.ts', 'warehouse/main.ts', 'transform/main.ts', 'sql/main.ts', 'start.ts'];

function importsOf(file: string): string[] {
  return [...(text.get(file) ?? '').matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map((match) => match[1] ?? '');
}

test.each(Object.entries(mayImport))('%s imports only what its room may', (room, allowed) => {
  const wrong = code.filter((file) => file.startsWith(`${room}/`) && !mains.includes(file)).flatMap((file) =>
    importsOf(file).flatMap((name) => {
      const target = name.startsWith('#') ? name.slice(1)
        : name.startsWith('.') ? join(dirname(file), name) : undefined;
      if (target === undefined) return [];
      if (target.startsWith(`${room}/`)) return name.startsWith('#') ? [`${file}: ${name} is in its own room: relative, please`] : [];
      if (mains.includes(target)) return [];
      if (name.startsWith('.') && !target.startsWith('package.json')) return [`${file}: ${name} leaves the room: use the # name`];
      return allowed.some((place) => target.startsWith(`${place}/`)) ? [] : [`${file}: ${name}`];
    }));
  expect(wrong).toEqual([]);
});

test('files have at most 400 lines', () => {
  expect(sources.filter((file) => linesOf(file).length > 401).map((file) => `${file} ${linesOf(file).length}`)).toEqual([]);
});

const long = code.flatMap((file) => linesOf(file).flatMap((line, index) => line.length > 120 && !/[`'"]/.test(line) ? [{ file, line, index }] : []));

test('comments have at most 120 characters a line', () => {
  expect(long.filter(({ line }) => /^\s*(\*|\/\/|\/\*)/.test(line)).map(({ file, index }) => `${file}:${index + 1}`)).toEqual([]);
});

test('lines of code over 120 characters grow no more', () => {
  // Long lines within quotes are SQL or text for people. Of the rest there should be none: this number only falls.
  expect(long.filter(({ line }) => !/^\s*(\*|\/\/|\/\*)/.test(line)).length).toBeLessThanOrEqual(longCodeLinesMax);
});

test('functions have at most 70 lines', () => {
  const wrong = code.flatMap((file) => {
    const found: string[] = [];
    const lines = linesOf(file);
    lines.forEach((line, index) => {
      const indent = /^(\s*)(?:export )?(?:async )?(?:function\b|(?:static |readonly )*(?:async )?[#\w]+\([^)]*\)[^;=]*\{$)/.exec(line)?.[1];
      if (indent === undefined || /^\s*(?:if|for|while|switch|return|await|describe|test)\b/.test(line)) return;
      const end = lines.findIndex((other, at) => at > index && other.startsWith(`${indent}}`));
      if (end - index > 70) found.push(`${file}:${index + 1} ${end - index} lines`);
    });
    return found;
  });
  expect(wrong).toEqual([]);
});

test.each([
  ['process.env', /process\.env\b/, ['core/config.ts']],
  ['Date.now', /\bDate\.now\(/, ['core/clock.ts']],
  ['Math.random', /\bMath\.random\(/, ['core/clock.ts']],
  ['setTimeout and setInterval', /(?<![.\w])set(?:Timeout|Interval)\(/, ['core/clock.ts']],
])('%s stands only in its one place', (_name, pattern, places) => {
  const server = code.filter((file) => !file.startsWith('dashboards/web/') && !places.includes(file));
  expect(server.filter((file) => pattern.test(text.get(file) ?? ''))).toEqual([]);
});

test('no any, no default export, no barrel file, no unfinished mark', () => {
  const marks = new RegExp(`\\b(${['TO', 'FIX'].map((start) => `${start}${start === 'TO' ? 'DO' : 'ME'}`).join('|')}|XXX|HACK)\\b`);
  const configs = /jest\.config|vite\.config/;
  const wrong = sources.filter((file) => file !== 'test/tidy.test.ts').flatMap((file) => linesOf(file).flatMap((line, index) => {
    if (/:\s*any\b[^ ]|: any$|<any>|as any\b/.test(line.replace(/'[^']*'|`[^`]*`|\/\*.*|^\s*\*.*|\/\/.*|\/[^/]+\//g, ''))) return [`${file}:${index + 1} any`];
    if (line.startsWith('export default') && !configs.test(file)) return [`${file}:${index + 1} default export`];
    if (line.startsWith('export * from')) return [`${file}:${index + 1} barrel`];
    if (marks.test(line)) return [`${file}:${index + 1} mark`];
    return [];
  }));
  expect(wrong).toEqual([]);
});

test('casts stand only where bytes or rows become types, or say in a comment why', () => {
  const places = /(codec|encode|decode|avro|json|metadata|metrics|config|database|client|binary|manifest|contract|parse|state)/;
  const plain = (line: string): string => line.replace(/'[^']*'|`[^`]*`|\/\/.*|^\s*\*.*|import .*/g, '');
  const wrong = code.filter((file) => !places.test(file)).flatMap((file) => linesOf(file).flatMap((line, index, lines) =>
    /\bas (?!const\b)[A-Z][a-z]\w*/.test(plain(line)) && !line.includes('// ') && !/\/\/ |\*\//.test(lines[index - 1] ?? '')
      ? [`${file}:${index + 1}`] : []));
  expect(wrong).toEqual([]);
});

test.each(['core/log', 'core/store', 'core/queue', 'warehouse/catalog'])('port %s has a suite and a memory adapter', (folder) => {
  const name = basename(folder);
  for (const file of [`${name}.ts`, `${name}.suite.ts`, 'memory.ts']) expect(tracked).toContain(`${folder}/${file}`);
});

test('metrics end with their unit', () => {
  const units = /_(seconds|bytes|records|posts|total|ratio|count|rows|files|events|connections|jobs|statements|snapshots|offsets|processes|info)$/;
  const names = code.flatMap((file) => [...(text.get(file) ?? '').matchAll(/(?:counter|gauge|histogram)\(\s*'(watershed_[a-z_]+)'/g)].map((match) => match[1] ?? ''));
  expect([...new Set(names)].filter((name) => !units.test(name))).toEqual([]);
});

test('nothing names this machine, a registry host or an address of a package', () => {
  const hosts = ['registry.npmjs', 'pypi.org', 'files.pythonhosted', 'repo1.maven', 'proxy.golang', 'static.crates', 'deb.debian'];
  const wrong = [...text].filter(([file]) => file !== 'test/tidy.test.ts').flatMap(([file, content]) =>
    [...hosts, '/work/'].filter((word) => content.includes(word)).map((word) => `${file}: ${word}`));
  expect(wrong).toEqual([]);
  expect(readFileSync(join(root, 'package-lock.json'), 'utf8')).not.toContain('"resolved"');
});
