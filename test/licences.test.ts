// What we ship and build with may be used, changed and passed on by anybody: every package of the lock file, by its own word.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const permissive = new Set(['Apache-2.0', 'MIT', 'MIT-0', 'ISC', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD', 'BlueOak-1.0.0', 'PostgreSQL', 'Zlib', 'CC0-1.0', 'Unlicense', 'PSF-2.0']);
/** Others, with why they are borne. */
const borne: Readonly<Record<string, { licence: string; why: string }>> = {
  '@resvg/resvg-js': { licence: 'MPL-2.0', why: 'copyleft of single files, which we use unchanged' },
  lightningcss: { licence: 'MPL-2.0', why: 'as above; builds the page and is not shipped' },
  'axe-core': { licence: 'MPL-2.0', why: 'as above; tests only' },
  'caniuse-lite': { licence: 'CC-BY-4.0', why: 'data that builds the page; not shipped' },
};

interface Locked { readonly license?: string; readonly dev?: boolean; readonly optional?: boolean }

const lock: { packages: Record<string, Locked> } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
const packages = Object.entries(lock.packages).filter(([path]) => path !== '').map(([path, locked]) => {
  const installed = join(root, path, 'package.json');
  const own: { license?: unknown; licenses?: { type?: string }[] } = existsSync(installed) ? JSON.parse(readFileSync(installed, 'utf8')) : {};
  const stated = typeof own.license === 'string' ? own.license : own.licenses?.map(({ type }) => type).join(' OR ');
  return { name: path.replace(/^.*node_modules\//, ''), licence: locked.license ?? stated, dev: locked.dev === true, isHere: existsSync(installed), path };
});

/** An SPDX expression with one level of AND and OR, as package.json has it. */
function isPermissive(expression: string): boolean {
  return expression.replaceAll(/[()]/g, '').split(' OR ').some((choice) => choice.split(' AND ').every((one) => permissive.has(one.trim())));
}

test('every package states a licence that lets anybody use, change and pass on; the few others are named with why', () => {
  expect(packages.length).toBeGreaterThan(300);
  const wrong = packages.filter(({ name, licence, path, isHere, dev }) => {
    // npm writes no licence of optional builds for other machines into the lock: they are of the same hand as the one that is here.
    if (licence === undefined) return isHere ? !isMitByText(path) : !dev;
    if (isPermissive(licence)) return false;
    const exception = Object.entries(borne).find(([known]) => name === known || name.startsWith(`${known}-`));
    return exception?.[1].licence !== licence;
  });
  expect(wrong.map(({ name, licence }) => `${name}: ${licence ?? 'none stated'}`)).toEqual([]);
});

test('what is borne is there, and only resvg of it is shipped', () => {
  const names = Object.keys(borne).filter((known) => packages.some(({ name }) => name === known));
  expect(names.toSorted()).toEqual(Object.keys(borne).toSorted());
  const shipped = packages.filter(({ name, dev }) => !dev && Object.keys(borne).some((known) => name === known || name.startsWith(`${known}-`)));
  expect(new Set(shipped.map(({ name }) => name.replace(/(resvg-js)-.*/, '$1')))).toEqual(new Set(['@resvg/resvg-js']));
});

/** Packages that state nothing in package.json: those of this platform are looked at, their licence file says it. */
function isMitByText(path: string): boolean {
  const files = ['LICENSE', 'LICENSE.md', 'LICENSE.txt', 'license'].map((name) => join(root, path, name)).filter((name) => existsSync(name));
  return files.some((file) => /MIT License|Permission is hereby granted, free of charge/i.test(readFileSync(file, 'utf8')));
}
