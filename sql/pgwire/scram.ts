import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { ScramVerifier } from '#core/auth/scram.ts';
import { WatershedError } from '#core/errors.ts';

export const scramMechanism = 'SCRAM-SHA-256';
export const scramPlusMechanism = 'SCRAM-SHA-256-PLUS';

/** How an exchange is tied to the TLS connection it goes through (RFC 5802, section 6). */
export interface ChannelBinding {
  /** `tls-server-end-point` of the server's certificate; undefined where there is none to offer. */
  readonly endPoint: Buffer | undefined;
  /** Whether the client chose the mechanism that uses it. */
  readonly isUsed: boolean;
}

/**
 * The server's side of one SCRAM-SHA-256 exchange (RFC 5802 and 7677), with channel binding or without:
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
  binding: ChannelBinding = { endPoint: undefined, isUsed: false },
  nonce: string = randomBytes(18).toString('base64'),
): ScramExchange {
  let header = '';
  let bare = '';
  let serverFirst = '';
  let fullNonce = '';
  return {
    first(message) {
      const parts =
        /^(n|y|p=[^,]*),(?:a=[^,]*)?,((?:m=[^,]*,)?n=[^,]*,r=([\x21-\x2b\x2d-\x7e]+)(?:,.*)?)$/s.exec(message);
      if (parts === null || (parts[2] ?? '').startsWith('m=')) throw malformed();
      checkFlag(parts[1] ?? '', binding);
      bare = parts[2] ?? '';
      header = message.slice(0, message.length - bare.length);
      fullNonce = `${parts[3] ?? ''}${nonce}`;
      serverFirst = `r=${fullNonce},s=${Buffer.from(verifier.salt).toString('base64')},i=${verifier.iterations}`;
      return serverFirst;
    },
    final(message) {
      const parts = /^(c=([^,]*),r=([^,]*)(?:,[^p][^,]*)*),p=([A-Za-z0-9+/]+=*)$/s.exec(message);
      if (parts === null) throw malformed();
      const [, withoutProof = '', bound = '', returned = '', proofText = ''] = parts;
      if (returned !== fullNonce) throw malformed();
      const own = binding.isUsed && binding.endPoint !== undefined ? binding.endPoint : Buffer.alloc(0);
      if (bound !== Buffer.concat([Buffer.from(header), own]).toString('base64')) throw unbound(binding);
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

// n: no channel binding; y: the client could, and thinks that we cannot; p: it binds, by the kind it names.
function checkFlag(flag: string, { endPoint, isUsed }: ChannelBinding): void {
  if (isUsed && flag !== 'p=tls-server-end-point') throw malformed();
  if (!isUsed && flag.startsWith('p')) throw malformed();
  if (flag === 'y' && endPoint !== undefined) {
    // Somebody between us took SCRAM-SHA-256-PLUS off the list.
    const message = 'SCRAM channel binding negotiation error: the client supports it and thinks that the server does not';
    throw new WatershedError('unauthorized', message, { context: { sqlstate: '28000' } });
  }
}

// The client sees another certificate than ours: it is not us it speaks to.
function unbound({ isUsed }: ChannelBinding): WatershedError {
  if (!isUsed) return malformed();
  return new WatershedError('unauthorized', 'SCRAM channel binding check failed', { context: { sqlstate: '28000' } });
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
