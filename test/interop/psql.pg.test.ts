import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program } from '#test/services/install.ts';
import { type Door, startDoor } from './door.ts';
import { psql18 } from './psql18.ts';

let door: Door;
let psql: string;
let newer: string;
let folder: string;
beforeAll(async () => {
  psql = await program('psql', 'postgresql-client');
  newer = await psql18();
  door = await startDoor({ catalogue: true });
  folder = await mkdtemp(join(tmpdir(), 'psql-'));
}, 120_000);
afterAll(async () => {
  await door[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
});

/** Each argument is a command; what psql says on both channels. */
async function run(...commands: string[]): Promise<string> {
  const { stdout, stderr } = await promisify(execFile)(psql, [door.url, '-X', '-v', 'VERBOSITY=verbose', ...commands.flatMap((command) => ['-c', command])]);
  return stdout + stderr;
}

test('\\dt, \\d and \\dn show the lake with its types and comments', async () => {
  const [tables, posts, schemas, events] = await Promise.all([run('\\dt'), run('\\d lake.posts'), run('\\dn'), run('\\d+ events')]);
  expect(tables).toMatch(/lake\s+\| posts\s+\| table/);
  for (const column of ['event_id +\\| text', 'created_at +\\| timestamp with time zone', 'hashtags +\\| text\\[\\]', 'reposts +\\| bigint', 'author_verified +\\| boolean']) {
    expect(posts).toMatch(new RegExp(column));
  }
  expect(schemas).toMatch(/lake[^]*store/);
  expect(events).toContain('Name for people');
});

test('statements of several kinds, and errors that point at their place', async () => {
  expect(await run(`select count(*), min(created_at), list(lang)[1] as lang from posts`)).toMatch(/5000 \| 2013-06-20 00:00:00\+00 \| en/);
  expect(await run('describe events')).toMatch(/event_id\s+\| VARCHAR/);
  expect(await run('explain select 1')).toContain('PROJECTION');
  const error = await promisify(execFile)(psql, [door.url, '-X', '-v', 'VERBOSITY=verbose', '-c', 'select nope from posts']).catch((thrown: { stderr: string }) => thrown);
  expect(error.stderr).toMatch(/ERROR: {2}42703: Referenced column "nope"[^]*LINE 1: select nope from posts\n {15}\^/);
});

test('\\copy writes a file on the client side', async () => {
  const file = join(folder, 'posts.csv');
  expect(await run(`\\copy (select log_offset, text, hashtags from posts order by 1 limit 2) to '${file}' csv header`)).toBe('COPY 2\n');
  expect(await readFile(file, 'utf8')).toBe('log_offset,text,hashtags\n0,post 0 “é😀”,\n1,post 1 “é😀”,"{flood,""a \\""b\\"", c""}"\n');
});

test('a cursor by FETCH_COUNT, variables, and a script that stops at its first error', async () => {
  const { stdout } = await promisify(execFile)(psql, [door.url, '-X', '-At', '-v', 'FETCH_COUNT=700', '-v', 'n=3', '-c', 'select log_offset from posts order by 1']);
  expect(stdout.trim().split('\n')).toHaveLength(5000);
  expect(await run('begin', 'select 1', 'commit')).toMatch(/BEGIN[^]*1[^]*COMMIT/);
});

test('a wrong password is told as such', async () => {
  const wrong = await promisify(execFile)(psql, [door.url.replace(/:[^:@]*@/, ':wrong@'), '-X', '-c', 'select 1']).catch((thrown: { stderr: string }) => thrown);
  expect(wrong.stderr).toContain('password authentication failed for user "analyst"');
});

/** What the meta-commands of a psql say, each with the last of its rows; an error is its message. */
async function say(version: 'older' | 'newer', ...commands: string[]): Promise<string> {
  const client = version === 'newer' ? newer : psql;
  const args = [client, door.url, '-X', '-P', 'pager=off', ...commands.flatMap((command) => ['-c', command])];
  // Both channels in one, in the order of time.
  return (await promisify(execFile)('sh', ['-c', '"$@" 2>&1', 'sh', ...args], { maxBuffer: 64 * 1024 * 1024 })).stdout;
}

const metaCommands = ['\\d', '\\d lake.posts', '\\d+ lake.posts', '\\dt', '\\dt+', '\\dt *.*', '\\dv', '\\dv *.*', '\\df', '\\df abs', '\\dn', '\\dn+', '\\l', '\\l+', '\\du',
  '\\dp', '\\di', '\\dT', '\\dO', '\\dC', '\\db', '\\dD', '\\dm', '\\ds', '\\dx', '\\dy', '\\dX', '\\des', '\\dP', '\\dRp', '\\drds', '\\dconfig', '\\da', '\\do',
  '\\dF', '\\dL', '\\dA', '\\z', '\\conninfo', '\\encoding', '\\sf abs(int)'];

test.each(['older', 'newer'] as const)('no meta-command of the %s psql fails', async (version) => {
  const said = await Promise.all(metaCommands.map(async (command) => [command, await say(version, command)] as const));
  expect(said.filter(([, text]) => /ERROR|FATAL|invalid command/.test(text))).toEqual([]);
  const of = (command: string): string => said.find(([name]) => name === command)?.[1] ?? '';
  for (const command of ['\\d', '\\dt', '\\dt *.*']) expect(of(command)).toMatch(/lake\s+\| posts\s+\| table/);
  for (const command of ['\\d lake.posts', '\\d+ lake.posts']) expect(of(command)).toMatch(/hashtags +\| text\[\]/);
  for (const command of ['\\l', '\\l+']) expect(of(command)).toMatch(/^\s*lake\s+\|/m);
  expect(of('\\conninfo')).toContain('analyst');
});

test.each(['older', 'newer'] as const)('what people do at the prompt of the %s psql', async (version) => {
  const script = join(folder, `${version}.sql`);
  await writeFile(script, [
    '\\timing on', '\\x', 'select event_id, name from events order by 1 limit 1;', '\\x',
    'select event_id, created_at, hashtags, reposts, latitude from posts \\gdesc',
    `select reposts % 2 as odd, lang, count(*) as n from posts group by 1, 2 order by 1 \\crosstabview`,
    'select 1; select nope; select 3;', 'select 4 \\; select nope from posts \\; select 5;',
    'begin;', 'select 6;', 'savepoint a;', 'select nope;', 'rollback to a;', 'select 7;', 'rollback;',
    `set statement_timeout = '50ms';`, 'select pg_sleep(100);', 'reset statement_timeout;',
    'show all;', version === 'newer' ? 'select $1::int + $2 as s \\bind 40 2 \\g' : 'select 40 + 2 as s;', '\\set FETCH_COUNT 2', 'select log_offset from posts order by 1 limit 5;', '\\unset FETCH_COUNT',
    `select 8 as ok \\g ${join(folder, version)}.txt`, '\\echo :ROW_COUNT', 'select 9 as nine \\gset', '\\echo got :nine',
    `select 'select 10 as made' \\gexec`, 'insert into posts(event_id) values (1);', '\\errverbose', '',
  ].join('\n'));
  const said = await say(version, `\\i ${script}`);
  for (const expected of [/RECORD 1[^]*event_id \| fire/, /hashtags\s+\| text\[\]/, /odd \| +en/, /^ +1$[^]*"nope"[^]*^ +3$/m, /^ +4$[^]*"nope"/m, /^ +7$/m, /ROLLBACK/,
    /canceling statement due to statement timeout/, /statement_timeout +\| 0 /, /^ *s *$\n-+\n *42$/m, /got 9/, /made[^]*10/, /25006/]) expect(said).toMatch(expected);
  expect(said).not.toMatch(/^ +5$/m);
  expect(await readFile(`${join(folder, version)}.txt`, 'utf8')).toMatch(/8/);
});

test.each(['older', 'newer'] as const)('Ctrl-C in the %s psql stops the statement at once', async (version) => {
  let said = '';
  do said = await interrupted(version);
  // A signal that comes before psql has sent the statement ends its script: nothing was asked then.
  while (said.trim() === 'ready');
  expect(said).toMatch(/canceling statement due to user request/);
  expect(said).not.toMatch(/FATAL|lost/);
});

/** What psql says that sleeps in a statement for an hour and gets SIGINT, five times a second until it speaks or ends. */
async function interrupted(version: 'older' | 'newer'): Promise<string> {
  const child = spawn(version === 'newer' ? newer : psql, [door.url, '-X', '-At'], { stdio: ['pipe', 'pipe', 'pipe'] });
  const closed = once(child, 'close');
  let said = '';
  const heard = (what: RegExp): Promise<void> => new Promise((resolve) => {
    const check = (): void => { if (what.test(said)) resolve(); };
    for (const stream of [child.stdout, child.stderr]) stream.on('data', check);
    check();
  });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => { said += chunk.toString(); });
  child.stdin.on('error', () => undefined); // psql may be gone
  child.stdin.write(`\\warn ready\nselect pg_sleep(3600);\n`);
  await heard(/ready/);
  let isDone = false;
  const done = Promise.race([heard(/canceling statement/), closed]).then(() => { isDone = true; });
  while (!isDone) {
    child.kill('SIGINT');
    await Promise.race([done, new Promise((resolve) => { setTimeout(resolve, 200); })]);
  }
  child.stdin.end();
  await closed;
  return said;
}
