import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { program } from '#test/services/install.ts';
import { type Door, startDoor } from './door.ts';

let door: Door;
let psql: string;
let folder: string;
beforeAll(async () => {
  psql = await program('psql', 'postgresql-client');
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
