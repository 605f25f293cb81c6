import { randomBytes } from 'node:crypto';
import { open, readFile, rename } from 'node:fs/promises';
import { diskError } from './disk.ts';
import { WatershedError, systemCode } from './errors.ts';

const secretCharsMin = 20; // what WATERSHED_ADMIN_TOKEN asks for, too

/** 256 random bits as text for headers, cookies and addresses. */
export function newSecret(): string {
  return randomBytes(32).toString('base64url');
}

/**
 * The secret in the file, or undefined where there is no file. A short one is refused: an empty token would let
 * everybody in.
 */
export async function readSecret(path: string): Promise<string | undefined> {
  let secret: string;
  try {
    secret = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw diskError(error, 'read', path);
  }
  if (secret.length < secretCharsMin) {
    throw new WatershedError('bad_config', `${path} holds no secret of ${secretCharsMin} characters or more`, {
      hint: 'put back what it held; where that is lost, remove the file, and a new secret is made',
    });
  }
  return secret;
}

/** The secret in the file; made, readable by the owner only, where there is none. */
export async function keptSecret(path: string): Promise<string> {
  const kept = await readSecret(path);
  if (kept !== undefined) return kept;
  const secret = newSecret();
  await writePrivate(path, `${secret}\n`);
  return secret;
}

/** Writes the file, mode 0600, so that after a power cut it is there whole or not at all. */
export async function writePrivate(path: string, text: string): Promise<void> {
  const draft = `${path}.new`;
  try {
    await using file = await open(draft, 'w', 0o600);
    await file.chmod(0o600);
    await file.writeFile(text);
    await file.sync();
    await rename(draft, path);
  } catch (error) {
    throw diskError(error, 'write', path);
  }
}
