// Runs the Dockerfile's steps without a container engine: each stage in a copy of a Debian root folder, as root, by chroot.
// `debootstrap --variant=minbase --include=libatomic1,ca-certificates bookworm ROOT && node build/image.ts ROOT OUT` leaves the image's file system in OUT/2. Node and npm of
// this machine stand for the base image's. Then, as the image would: chroot --userspec=10001:10001 OUT/2 node /app/bin/watershed.js start
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, readdirSync, realpathSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

const root = join(import.meta.dirname, '..');

interface Stage {
  readonly name: string;
  readonly folder: string;
  workdir: string;
}

interface Step {
  readonly word: string;
  readonly rest: string;
}

/** Instructions with their continued lines joined; comments left out. */
function readSteps(text: string): Step[] {
  const joined = text.split('\n').filter((line) => !line.startsWith('#')).join('\n').replaceAll(/\\\n\s*/g, '');
  return joined.split('\n').filter((line) => line.trim() !== '').map((line) => {
    const [word = '', ...rest] = line.split(' ');
    return { word, rest: rest.join(' ') };
  });
}

function run(stage: Stage, command: string): void {
  console.log(`[${stage.name}] ${command}`);
  const proc = join(stage.folder, 'proc');
  execFileSync('mount', ['--bind', '/proc', proc]);
  try {
    execFileSync('chroot', [stage.folder, '/bin/sh', '-ec', `cd ${stage.workdir}; ${command}`], { stdio: ['ignore', 'inherit', 'inherit'] });
  } finally {
    execFileSync('umount', [proc]);
  }
}

/** A copy of the base, with Node and npm where the image `node` has them, and the names that a build needs to reach the registry. */
function begin(base: string, out: string, name: string, number: number): Stage {
  const folder = join(out, String(number));
  execFileSync('cp', ['-a', base, folder]);
  mkdirSync(join(folder, 'usr/local/lib/node_modules'), { recursive: true });
  cpSync(realpathSync(process.execPath), join(folder, 'usr/local/bin/node'));
  const npm = dirname(dirname(realpathSync(execFileSync('sh', ['-c', 'command -v npm'], { encoding: 'utf8' }).trim())));
  cpSync(npm, join(folder, 'usr/local/lib/node_modules/npm'), { recursive: true });
  execFileSync('ln', ['-sf', '../lib/node_modules/npm/bin/npm-cli.js', join(folder, 'usr/local/bin/npm')]);
  for (const file of ['/etc/resolv.conf', '/etc/hosts', '/etc/ssl/certs']) {
    if (existsSync(file)) cpSync(file, join(folder, file), { recursive: true, dereference: true });
  }
  return { name, folder, workdir: '/' };
}

/** What `docker build` would be given of the newest commit: all but what .dockerignore names. A list of files below a folder. */
function readContext(folder: string): { folder: string; files: string[] } {
  mkdirSync(folder);
  execFileSync('sh', ['-c', 'git archive HEAD | tar -x -C "$1"', 'sh', folder], { cwd: root });
  const ignored = readFileSync(join(folder, '.dockerignore'), 'utf8').split('\n').filter((line) => line !== '' && !line.includes('*'));
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((file) => statSync(join(folder, file)).isFile() && !ignored.some((one) => file === one || file.startsWith(`${one}/`)));
  return { folder, files };
}

function copy(stage: Stage, rest: string, stages: readonly Stage[], context: { folder: string; files: readonly string[] }): void {
  const parts = rest.split(' ');
  const from = parts[0]?.startsWith('--from=') === true ? parts.shift()?.slice('--from='.length) : undefined;
  const to = join(stage.folder, stage.workdir, parts.pop() ?? '');
  mkdirSync(to, { recursive: true });
  for (const source of parts) {
    const other = stages.find(({ name }) => name === from);
    if (other !== undefined) execFileSync('cp', ['-a', `${join(other.folder, source)}/.`, to]);
    else for (const file of context.files.filter((one) => source === '.' || one === source || one.startsWith(`${source}/`))) {
      const inside = file.startsWith(`${source}/`) ? file.slice(source.length + 1) : file;
      cpSync(join(context.folder, file), join(to, inside));
    }
  }
}

const [base, out] = process.argv.slice(2);
if (base === undefined || out === undefined) throw new Error('usage: node build/image.ts ROOT OUT');
mkdirSync(out, { recursive: true });
const context = readContext(join(out, 'context'));
const stages: Stage[] = [];
for (const { word, rest } of readSteps(readFileSync(join(context.folder, 'Dockerfile'), 'utf8'))) {
  const stage = stages.at(-1);
  if (word === 'FROM') stages.push(begin(base, out, / AS (\w+)$/.exec(rest)?.[1] ?? 'image', stages.length));
  else if (stage === undefined) throw new Error(`${word} stands before FROM`);
  else if (word === 'WORKDIR') {
    stage.workdir = rest;
    mkdirSync(join(stage.folder, rest), { recursive: true });
  } else if (word === 'COPY') copy(stage, rest, stages, context);
  else if (word === 'RUN') run(stage, rest);
  else console.log(`[${stage.name}] of the image's description: ${word} ${rest}`);
}
