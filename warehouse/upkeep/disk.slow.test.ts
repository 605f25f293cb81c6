import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** Runs a script whose temporary folder, and so the whole lake, is a small disk that ends with it. */
async function onSmallDisk(size: string, script: string): Promise<unknown> {
  const of = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const { stdout } = await run('unshare', ['-rm', 'sh', '-c', `mount -t tmpfs -o size=${size} none /mnt && TMPDIR=/mnt exec "$@"`, 'sh',
    process.execPath, '--input-type=module', '-e', `
    import { readdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
    import { manyPosts, openUpkeepLake, timelessLimits } from ${of('../../test/upkeep-lake.ts')};
    import { keepTable } from ${of('./upkeep.ts')};
    const outcome = (promise) => promise.then((done) => done, ({ code, hint, message }) => ({ code, hint, message }));
    const fill = (leave) => { const { bavail, bsize } = statfsSync('/mnt'); writeFileSync('/mnt/filler', new Uint8Array(Math.max(0, bavail * bsize - leave))); };
    const empty = () => rmSync('/mnt/filler');
    ${script}`]);
  return JSON.parse(stdout);
}

test.each(['merge', 'file'])('a disk that is full when rows are to be %sd: the reason is told, every row is there once, and with space it is done', async (piece) => {
  const found = await onSmallDisk('64m', `
    const lake = await openUpkeepLake();
    for (let index = 0; index < 20; index++) await lake.append(manyPosts(4_000, { from: index * 4_000, events: 2, days: 2 }));
    const limits = { ...timelessLimits, ...(${JSON.stringify(piece)} === 'file' ? { hotBytesMax: 100_000, partitionBytesMin: 10_000 } : {}) };
    const keep = () => keepTable({ ...lake.options, limits, only: ${JSON.stringify(piece)} }, 'posts');
    fill(300_000);
    const full = await outcome(keep());
    const files = (await lake.plan()).files.length;
    const staged = readdirSync(lake.duck.staging).filter((name) => name.endsWith('.parquet'));
    empty();
    const between = await lake.differences();
    const done = await outcome(keep());
    const after = await lake.differences();
    console.log(JSON.stringify({ full, files, staged, between, done, after, left: (await lake.plan()).files.length }));
    await lake[Symbol.asyncDispose]();`);
  const whole = { missing: 0, extra: 0 };
  expect(found).toMatchObject({
    full: { code: 'disk', hint: expect.stringContaining('space') }, files: 20, staged: [], between: whole, after: whole,
    ...(piece === 'file' ? { done: { filed: 20 }, left: 2 } : { done: { merged: 20 }, left: 1 }),
  });
}, 120_000);
