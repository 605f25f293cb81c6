import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ScramVerifier } from '#core/auth/scram.ts';
import { WatershedError } from '#core/errors.ts';

export const scramMechanism = 'SCRAM-SHA-256';

/**
 * The server's side of one SCRAM-SHA-256 exchange (RFC 5802 and 7677), without channel binding:
 *
 *     first(client-first) → server-first     final(client-final) → server-final, or undefined: wrong password
 *
 * Malformed messages throw `bad_request`. The user name inside is ignored, as PostgreSQL does: the startup packet's
 * counts.
 */
export interface ScramExchange {
  first(message: string): string;
  final(message: string): string | undefined;
}

export function scramExchange(
  verifier: ScramVerifier,
  nonce: string = randomBytes(18).toString('base64'),
): ScramExchange {
  let header = '';
  let bare = '';
  let serverFirst = '';
  let fullNonce = '';
  return {
    first(message) {
      // n: no channel binding; y: the client could, and thinks that we cannot, which is so; p: it insists.
      const parts = /^([ny]),(?:a=[^,]*)?,((?:m=[^,]*,)?n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s.exec(message);
      if (parts === null || (parts[2] ?? '').startsWith('m=')) throw malformed();
      bare = parts[2] ?? '';
      header = message.slice(0, message.length - bare.length);
      fullNonce = `${parts[3] ?? ''}${nonce}`;
      serverFirst = `r=${fullNonce},s=${Buffer.from(verifier.salt).toString('base64')},i=${verifier.iterations}`;
      return serverFirst;
    },
    final(message) {
      const parts = /^(c=([^,]*),r=([^,]*)(?:,[^p][^,]*)*),p=([A-Za-z0-9+/]+=*)$/s.exec(message);
      if (parts === null) throw malformed();
      const [, withoutProof = '', binding = '', returned = '', proofText = ''] = parts;
      if (binding !== Buffer.from(header).toString('base64') || returned !== fullNonce) throw malformed();
      const authMessage = `${bare},${serverFirst},${withoutProof}`;
      const proof = Buffer.from(proofText, 'base64');
      if (proof.length !== 32) throw malformed();
      const signature = hmac(verifier.storedKey, authMessage);
      const clientKey = proof.map((byte, index) => byte ^ (signature[index] ?? 0));
      if (!timingSafeEqual(createHash('sha256').update(clientKey).digest(), verifier.storedKey)) return undefined;
      return `v=${hmac(verifier.serverKey, authMessage).toString('base64')}`;
    },
  };
}

/**
 * A verifier for a user who does not exist, the same every time for the same name: so that nobody learns from the
 * exchange which names exist. No password fits it.
 */
export function fakeVerifier(user: string, secret: Uint8Array): ScramVerifier {
  const derive = (purpose: string): Buffer => createHmac('sha256', secret).update(`${purpose}\0${user}`).digest();
  return {
    salt: derive('salt').subarray(0, 16),
    iterations: 4096,
    storedKey: derive('stored'),
    serverKey: derive('server'),
  };
}

function hmac(key: Uint8Array, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

function malformed(): WatershedError {
  return new WatershedError('bad_request', 'malformed SCRAM message', { context: { sqlstate: '08P01' } });
}
