import { createHash, createHmac, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';

const derive = promisify(pbkdf2);
const iterations = 4096; // RFC 7677, section 4: the least. Our tokens are random: more would slow only us.

/** What checks a password by SCRAM-SHA-256 (RFC 5802, section 3), and cannot be used in its place. */
export interface ScramVerifier {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly storedKey: Uint8Array;
  readonly serverKey: Uint8Array;
}

/** For passwords of visible ASCII, which SASLprep (RFC 4013) leaves as they are. */
export async function scramVerifier(password: string, salt: Uint8Array = randomBytes(16)): Promise<ScramVerifier> {
  const salted = await derive(password, salt, iterations, 32, 'sha256');
  const keyFor = (purpose: string): Buffer => createHmac('sha256', salted).update(purpose).digest();
  return {
    salt,
    iterations,
    storedKey: createHash('sha256').update(keyFor('Client Key')).digest(),
    serverKey: keyFor('Server Key'),
  };
}
