import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { promisify } from 'node:util';
import { WatershedError } from '../errors.ts';

const run = promisify(execFile);

/** The user the database server runs as, where that is not the user of this process. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
}

/**
 * PostgreSQL refuses to run as root. For root: the system's user `postgres`, made where it does not exist; for anybody
 * else undefined, which means: as ourselves.
 */
export async function serverAccount(): Promise<Account | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const known = await lookUp();
  if (known !== undefined) return known;
  try {
    await run('useradd', ['--system', '--user-group', '--no-create-home', '--shell', '/bin/false', 'postgres']);
  } catch (cause) {
    throw new WatershedError(
      'bad_config',
      'PostgreSQL does not run as root, and a user `postgres` to run it as cannot be made',
      {
        cause,
        hint: 'start Watershed as another user than root, or make a user named postgres',
      },
    );
  }
  const made = await lookUp();
  if (made === undefined) throw new WatershedError('internal', 'the user postgres was made and cannot be found');
  return made;
}

async function lookUp(): Promise<Account | undefined> {
  try {
    const [uid, gid] = await Promise.all([run('id', ['-u', 'postgres']), run('id', ['-g', 'postgres'])]);
    return { uid: Number(uid.stdout), gid: Number(gid.stdout) };
  } catch {
    return undefined;
  }
}

/**
 * Refuses, naming the folder and the command, where `account` cannot reach `path` because a folder above is closed to
 * it.
 */
export async function requireReach(account: Account, path: string): Promise<void> {
  for (let folder = path; ; folder = dirname(folder)) {
    const { mode, uid, gid } = await stat(folder);
    const bit = uid === account.uid ? constants.S_IXUSR : gid === account.gid ? constants.S_IXGRP : constants.S_IXOTH;
    if ((mode & bit) === 0) {
      throw new WatershedError(
        'disk',
        `the database server runs as user postgres, who may not pass through ${folder}`,
        {
          hint: `allow it with \`chmod o+x ${folder}\`, start as another user than root, or put it elsewhere`,
          context: { path },
        },
      );
    }
    if (dirname(folder) === folder) return;
  }
}
