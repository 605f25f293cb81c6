import { spawn } from 'node:child_process';
import { program, run } from '#test/services/install.ts';
import { type Door, startDoor, token } from './door.ts';
import { recipes } from './recipes.ts';

let door: Door;
let isql: string;
beforeAll(async () => {
  isql = await program('isql', 'unixodbc');
  const drivers = await run('odbcinst', ['-q', '-d']).catch(() => '');
  if (!drivers.includes('PostgreSQL Unicode')) {
    await run('apt-get', ['install', '-y', '-qq', '--no-install-recommends', 'odbc-postgresql'], { env: { DEBIAN_FRONTEND: 'noninteractive' } });
  }
  door = await startDoor({ catalogue: true });
}, 300_000);
afterAll(() => door[Symbol.asyncDispose]());

const plain = (): string => `Driver={PostgreSQL Unicode};Server=127.0.0.1;Port=${door.port};Database=lake;UID=analyst;PWD=${token};`;

/** What isql prints of statements, cells separated by `|`. */
async function ask(sql: string, connection = plain()): Promise<string[]> {
  const child = spawn(isql, ['-v', '-b', '-d|', '-k', connection], { stdio: ['pipe', 'pipe', 'inherit'] });
  const parts: Buffer[] = [];
  child.stdout.on('data', (part: Buffer) => parts.push(part));
  child.stdin.end(`${sql}\n`);
  await new Promise((resolve) => child.once('close', resolve));
  return Buffer.concat(parts).toString().trim().split('\n');
}

test('psqlODBC, as Excel, LibreOffice and Tableau use it: rows, its catalogue, fetching in parts', async () => {
  expect(await ask('select log_offset, text, author_verified, created_at from posts order by 1 limit 2'))
    .toEqual(['0|post 0 “é😀”|1|2013-06-20 00:00:00', '1|post 1 “é😀”|0|2013-06-20 00:00:01']);
  expect((await ask('help')).filter((line) => line.startsWith('lake|lake|')).map((line) => line.split('|')[2])).toContain('posts');
  const parts = await ask('select log_offset from posts order by 1', `${plain()}UseDeclareFetch=1;Fetch=700`);
  expect([parts.length, parts[0], parts.at(-1)]).toEqual([5000, '0', '4999']);
}, 120_000);

test('the recipe of docs/connect.md', async () => {
  const [recipe = ''] = recipes('## Excel, LibreOffice, Tableau by ODBC', { 5439: String(door.port), $TOKEN: token });
  const texts = await ask('select text from posts order by log_offset', recipe.trim());
  expect([texts.length, texts[0], texts.at(-1)]).toEqual([5000, 'post 0 “é😀”', 'post 4999 “é😀”']);
}, 60_000);
