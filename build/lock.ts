// `npm ci` refuses a lock file that lacks a package of another system, and `npm install` writes such a lock file where
// it cannot get one of them. `node build/lock.ts` writes what is missing by name and version; npm fetches it on no
// other system than its own.
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

const path = join(import.meta.dirname, '..', 'package-lock.json');

interface Entry {
  readonly version?: string;
  readonly dev?: boolean;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}
interface Lock {
  packages: Record<string, Entry & Record<string, unknown>>;
}

/** Optional packages that an entry of the lock file names and that have none themselves. */
export function missingOptional(lock: Lock): { name: string; version: string; dev: boolean }[] {
  return Object.entries(lock.packages).flatMap(([place, { optionalDependencies = {}, dev = false }]) =>
    Object.entries(optionalDependencies).filter(([name]) => !isFound(lock, place, name)).map(([name, version]) => ({ name, version, dev })));
}

function isFound(lock: Lock, place: string, name: string): boolean {
  for (let at = place; ; at = at.slice(0, Math.max(0, at.lastIndexOf('/node_modules/')))) {
    if (Object.hasOwn(lock.packages, `${at === '' ? '' : `${at}/`}node_modules/${name}`)) return true;
    if (at === '') return false;
  }
}

export function readLock(): Lock {
  // npm's own format, lockfileVersion 3.
  return JSON.parse(readFileSync(path, 'utf8')) as Lock;
}

if (import.meta.main) {
  const lock = readLock();
  for (const { name, version, dev } of missingOptional(lock)) {
    const os = /android|darwin|linux|win32|freebsd|openharmony/.exec(name)?.[0];
    const cpu = /arm64|x64|ia32|loong64|ppc64|riscv64|s390x|arm|wasm32/.exec(name)?.[0];
    lock.packages[`node_modules/${name}`] = {
      version: version.replace(/^[\^~]/, ''), ...(cpu === undefined ? {} : { cpu: [cpu] }), ...(dev ? { dev } : {}), optional: true,
      ...(os === undefined ? {} : { os: [os] }),
    };
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`);
}
