#!/usr/bin/env node
// Starts the command line on the Node that this package depends on, whatever Node found this file: in a clone the TypeScript
// sources, in an installed package the built JavaScript (Node strips types only outside node_modules).
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const source = join(root, 'cli', 'main.ts');
const entry = existsSync(source) ? source : join(root, 'dist', 'cli', 'main.js');
const neededMajor = 26;

function findNode() {
  if (Number(process.versions.node.split('.')[0]) >= neededMajor) return process.execPath;
  try {
    const folder = dirname(createRequire(join(root, 'package.json')).resolve('node/package.json'));
    const name = process.platform === 'win32' ? 'node.exe' : 'node';
    return [join(folder, 'bin', name)].find((path) => existsSync(path));
  } catch {
    return undefined;
  }
}

const node = findNode();
if (node === undefined) {
  console.error(`watershed needs Node ${neededMajor}; this is ${process.version}, and the package "node" beside it was not installed.`);
  console.error('Install again without --ignore-scripts, or run it with a newer Node.');
  process.exit(1);
}
const child = spawn(node, [entry, ...process.argv.slice(2)], { stdio: 'inherit' });
// A terminal sends Ctrl-C to the whole group: the child drains, and this process waits for it.
process.on('SIGINT', () => {});
process.on('SIGTERM', () => child.kill('SIGTERM'));
child.on('exit', (code, signal) => process.exit(code ?? (signal === 'SIGINT' ? 130 : 1)));
