import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

const run = promisify(execFile);

/**
 * Runs `script` with a small disk of its own at /mnt, in a mount namespace that ends with it. The script prints what it
 * found as JSON.
 */
async function onSmallDisk(size: string, script: string): Promise<unknown> {
  const of = (path: string): string => JSON.stringify(new URL(path, import.meta.url).href);
  const whole = `
    import { execFileSync } from 'node:child_process';
    import { readdirSync } from 'node:fs';
    import { openFileStore } from ${of('./store/file.ts')};
    import { openEmbedded } from ${of('./database/embedded.ts')};
    import { systemClock } from ${of('./clock.ts')};
    import { silentLogger } from ${of('./logger.ts')};
    const outcome = (promise) => promise.then(
      () => 'done', ({ code, hint, context }) => ({ code, hint, systemCode: context?.systemCode }));
    const makeReadOnly = () => execFileSync('mount', ['-o', 'remount,ro', '/mnt']);
    ${script}`;
  const { stdout } = await run('unshare', [
    '-rm',
    'sh',
    '-c',
    `mount -t tmpfs -o size=${size} none /mnt && exec "$@"`,
    'sh',
    process.execPath,
    '--input-type=module',
    '-e',
    whole,
  ]);
  return JSON.parse(stdout);
}

test('a store on a full disk says so, leaves nothing half-written, and goes on when there is space', async () => {
  const found = await onSmallDisk(
    '1m',
    `
    const store = await openFileStore('/mnt/lake');
    await store.put('small', new Uint8Array(1000));
    const full = await outcome(store.put('large', new Uint8Array(2_000_000)));
    const fullAgain = await outcome(store.putIfAbsent('large', new Uint8Array(2_000_000)));
    console.log(JSON.stringify({ full, fullAgain, drafts: readdirSync('/mnt/lake/.drafts'),
      large: await store.size('large') ?? null,
      next: await outcome(store.put('next', new Uint8Array(1000))), small: (await store.get('small')).length }));`,
  );
  const full = { code: 'disk', systemCode: 'ENOSPC', hint: expect.stringContaining('free some space') };
  expect(found).toEqual({ full, fullAgain: full, drafts: [], large: null, next: 'done', small: 1000 });
}, 30_000);

test('a store on a read-only disk says so, and still reads', async () => {
  const found = await onSmallDisk(
    '1m',
    `
    const store = await openFileStore('/mnt/lake');
    await store.put('object', new Uint8Array(10));
    makeReadOnly();
    console.log(JSON.stringify([
      await outcome(store.put('more', new Uint8Array(10))), await outcome(store.delete('object')),
      await outcome(openFileStore('/mnt/lake')), (await store.get('object')).length]));`,
  );
  const readOnly = { code: 'disk', systemCode: 'EROFS', hint: expect.stringContaining('read-only') };
  expect(found).toEqual([readOnly, readOnly, readOnly, 10]);
}, 30_000);

test('a data folder on a full or read-only disk is refused before anything is made', async () => {
  const found = await onSmallDisk(
    '5m',
    `
    const open = () => outcome(openEmbedded({ dataDir: '/mnt/data', logger: silentLogger, clock: systemClock }));
    const full = await open();
    makeReadOnly();
    console.log(JSON.stringify({ full, readOnly: await open() }));`,
  );
  expect(found).toEqual({
    full: { code: 'disk', systemCode: 'ENOSPC', hint: expect.stringContaining('free some space') },
    readOnly: { code: 'disk', systemCode: 'EROFS', hint: expect.stringContaining('read-only') },
  });
}, 30_000);
