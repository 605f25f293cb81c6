import { readFile, writeFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { diskError } from '../disk.ts';
import { WatershedError, messageOf } from '../errors.ts';

/**
 * Takes the data folder for this process, or refuses with the owner's process id. The lock is one of the kernel's, by
 * way of SQLite, the only thing in Node that takes one: it ends with the process however that dies, and holds between
 * containers that share the folder, where process ids mean nothing. What stands in `owner.txt` is for the message
 * alone.
 *
 * Do not open `owner.lock` by other means in the same process: closing it would drop the lock (POSIX record locks).
 */
export async function ownFolder(dataDir: string): Promise<Disposable> {
  const card = join(dataDir, 'owner.txt');
  let lock: DatabaseSync | undefined;
  try {
    lock = new DatabaseSync(join(dataDir, 'owner.lock'), { timeout: 0 });
    lock.exec('pragma journal_mode = memory; begin exclusive');
  } catch (cause) {
    lock?.close();
    if (!isBusy(cause)) {
      throw new WatershedError('disk', `cannot lock the data folder ${dataDir}: ${messageOf(cause)}`, {
        cause,
        hint: 'the folder must be writable, and on a disk that knows locks (a local one)',
      });
    }
    const owner = await readFile(card, 'utf8').catch(() => 'unknown process');
    throw new WatershedError(
      'already_exists',
      `the data folder ${dataDir} is in use by another Watershed: ${owner.trim()}`,
      {
        cause,
        hint: 'use that one (`watershed open` shows its page), stop it, or choose another folder by WATERSHED_DATA_DIR',
      },
    );
  }
  try {
    await writeFile(card, `process ${process.pid} on ${hostname()}\n`);
  } catch (error) {
    lock.close();
    throw diskError(error, 'write', card);
  }
  const held = lock;
  return { [Symbol.dispose]: () => held.close() };
}

// SQLITE_BUSY is 5 (sqlite.org/rescode.html); node:sqlite has it in `errcode`.
function isBusy(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'errcode' in error && error.errcode === 5;
}
