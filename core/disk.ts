import { statfs } from 'node:fs/promises';
import type { Clock } from './clock.ts';
import { WatershedError, messageOf, systemCode } from './errors.ts';

const hints: Readonly<Record<string, string>> = {
  ENOSPC: 'free some space there, or choose another folder',
  EDQUOT: 'the disk quota of this user is used up: free some space, or choose another folder',
  EROFS: 'the disk is mounted read-only: choose another folder, or mount it writable',
  EACCES: 'this user lacks the permission: change the owner or mode of the folder, or choose another one',
  EPERM: 'this user lacks the permission: change the owner or mode of the folder, or choose another one',
  ENOTDIR: 'a file stands where a folder is needed: move it away, or choose another folder',
  EIO: 'the disk reports a failure: look at the system log before going on',
};

const reasons: Readonly<Record<string, string>> = {
  ENOSPC: 'no space is left',
  EDQUOT: 'no space is left',
  EROFS: 'it is read-only',
  EACCES: 'permission is denied',
  EPERM: 'permission is denied',
  ENOTDIR: 'a part of the path is not a folder',
  EIO: 'the disk failed',
};

/**
 * The error of a file operation as one of ours: `disk` with what to do, `unavailable` where the process has too many
 * files open, `internal` for what no user can mend. `what` completes the sentence "cannot …".
 */
export function diskError(error: unknown, what: string, path: string): WatershedError {
  const code = systemCode(error) ?? '';
  const context = { path, systemCode: code };
  if (code === 'EMFILE' || code === 'ENFILE') {
    return new WatershedError('unavailable', `cannot ${what} ${path}: too many files are open`, {
      cause: error,
      context,
      hint: 'raise the limit (ulimit -n) if this goes on',
    });
  }
  const hint = hints[code];
  if (hint === undefined)
    return new WatershedError('internal', `cannot ${what} ${path}: ${messageOf(error)}`, { cause: error, context });
  return new WatershedError('disk', `cannot ${what} ${path}: ${reasons[code]} (${code})`, {
    cause: error,
    context,
    hint,
  });
}

/** Refuses (`disk`) where the disk of `folder` has less than `bytes` left. `what` begins the sentence "… needs". */
export async function requireSpace(folder: string, bytes: number, what: string): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  if (bavail * bsize >= bytes) return;
  const inMegabytes = (value: number): string => `${Math.floor(value / 1024 ** 2)} MB`;
  throw new WatershedError(
    'disk',
    `${what} needs ${inMegabytes(bytes)}, and ${folder} has ${inMegabytes(bavail * bsize)} left`,
    {
      hint: hints['ENOSPC'] ?? '',
      context: { path: folder, systemCode: 'ENOSPC' },
    },
  );
}

/**
 * What stays free on the disk of the database for the database itself: one that cannot write its journal dies, and its
 * next start needs room, too. Four segments of the journal and the start's 32 MB, rounded up.
 */
export const reservedBytes = 128 * 1024 ** 2;

/**
 * `requireSpace` for what is done many times a second: the disk is asked once a second, and again each time while there
 * is too little.
 */
export function spaceGuard(folder: string, bytes: number, clock: Clock): (what: string) => Promise<void> {
  const everyMs = 1_000;
  let enoughAt = -Infinity;
  return async (what) => {
    if (clock.monotonic() - enoughAt < everyMs) return;
    await requireSpace(folder, bytes, what);
    enoughAt = clock.monotonic();
  };
}
