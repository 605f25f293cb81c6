// Makes dist/, what the packed package runs: the rooms as JavaScript beside the files that they read at run time, in
// the same places, so that a path relative to `import.meta` is the same in a clone and in the package.
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const rooms = ['core', 'ingest', 'warehouse', 'transform', 'sql', 'dashboards'];
const asTheyAre = ['samples', 'models', 'LICENSE'];

rmSync(dist, { recursive: true, force: true });
// Types were checked by `npm run check`; here they are only taken away.
execFileSync(process.execPath, [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '-p', join(root, 'tsconfig.build.json')],
  { cwd: root, stdio: 'inherit' });
for (const room of rooms) copy(room, isAsset);
for (const name of asTheyAre) copy(name, () => true);

const web = join(root, 'dashboards', 'web', 'dist');
if (!existsSync(join(web, 'index.html'))) throw new Error('the page was not built: run `vite build dashboards/web` first');
copy(join('dashboards', 'web', 'dist'), () => true);

const { name, version, license } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
const imports = Object.fromEntries(rooms.flatMap((room) => [
  [`#${room}/*.ts`, `./${room}/*.js`],
  [`#${room}/*`, `./${room}/*`],
]));
writeFileSync(join(dist, 'package.json'), `${JSON.stringify({ name, version, license, type: 'module', imports }, null, 2)}\n`);

function copy(path: string, wanted: (path: string) => boolean): void {
  cpSync(join(root, path), join(dist, path), { recursive: true, filter: wanted });
}

/** Neither code, which was compiled, nor what only tests and builds read. */
function isAsset(path: string): boolean {
  if (/\.(tsx?|tmp\.\w+)$/.test(path)) return false;
  if (path === join(root, 'dashboards', 'web')) return false;
  return basename(path) !== 'testdata' && basename(path) !== '__pycache__';
}
