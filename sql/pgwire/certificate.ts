import { createHash, generateKeyPairSync, randomBytes, sign, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';

/** PEM texts. */
export interface KeyAndCertificate {
  readonly key: string;
  readonly cert: string;
}

/**
 * A key on P-256 and a certificate for it that it signs itself, for the names and addresses a client may check it by.
 * `notBefore` is in milliseconds since 1970. Sources: RFC 5280 (certificate), RFC 5758 (ecdsa-with-SHA256), X.690 (DER).
 */
export function selfSigned(names: readonly string[], notBefore: number, days: number): KeyAndCertificate {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const algorithm = sequence(objectId('06082a8648ce3d040302'));
  const name = sequence(set(sequence(objectId('0603550403'), der(0x0c, Buffer.from('watershed')))));
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))), // version 3
    der(0x02, Buffer.concat([Buffer.from([0x40]), randomBytes(15)])), // serial number: positive, 16 bytes
    algorithm,
    name,
    sequence(time(notBefore), time(notBefore + days * 86_400_000)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        // Its own authority, so that a client can be given it as the root to check against.
        extension('0603551d13', true, sequence(der(0x01, Buffer.from([0xff])))),
        extension('0603551d11', false, sequence(...names.map(alternativeName))),
      ),
    ),
  );
  const signature = sign('sha256', body, privateKey);
  const whole = sequence(body, algorithm, der(0x03, Buffer.concat([Buffer.from([0]), signature])));
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${whole.toString('base64').replace(/(.{64})/g, '$1\n').trimEnd()}\n-----END CERTIFICATE-----\n`,
  };
}

/**
 * The channel binding `tls-server-end-point` of a certificate: its hash by the algorithm of its own signature, SHA-256
 * in place of weaker ones. Undefined for signatures without such an algorithm (Ed25519) or of several (RSA-PSS), where
 * RFC 5929, section 4.1, leaves it open. Throws as `X509Certificate` for what is no certificate.
 */
export function endPointBinding(cert: string): Buffer | undefined {
  const certificate = new X509Certificate(cert);
  const algorithm = certificate.signatureAlgorithm?.toLowerCase() ?? '';
  const found = /sha-?(1|224|256|384|512)(?!\d)|md5/.exec(algorithm);
  if (found === null) return undefined;
  const bits = found[1] === undefined || found[1] === '1' ? '256' : found[1];
  return createHash(`sha${bits}`).update(certificate.raw).digest();
}

function der(tag: number, content: Uint8Array): Buffer {
  const { length } = content;
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff];
  return Buffer.concat([Buffer.from([tag, ...size]), content]);
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return der(0x30, Buffer.concat(parts));
}

function set(...parts: readonly Uint8Array[]): Buffer {
  return der(0x31, Buffer.concat(parts));
}

function objectId(hex: string): Buffer {
  return Buffer.from(hex, 'hex');
}

function extension(id: string, isCritical: boolean, value: Uint8Array): Buffer {
  return sequence(objectId(id), ...(isCritical ? [der(0x01, Buffer.from([0xff]))] : []), der(0x04, value));
}

function alternativeName(name: string): Buffer {
  switch (isIP(name)) {
    case 4:
      return der(0x87, Buffer.from(name.split('.').map(Number)));
    case 6:
      return der(0x87, addressOf(name));
    default:
      return der(0x82, Buffer.from(name, 'ascii'));
  }
}

function addressOf(name: string): Buffer {
  const [head = '', tail] = name.split('::');
  const groups = (text = ''): string[] => text.split(':').filter((group) => group !== '');
  const before = groups(head);
  const after = groups(tail);
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return Buffer.from([...before, ...zeros, ...after].map((group) => group.padStart(4, '0')).join(''), 'hex');
}

// GeneralizedTime is for 2050 and later only (RFC 5280, 4.1.2.5).
function time(at: number): Buffer {
  const text = `${new Date(at).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  return Number(text.slice(0, 4)) < 2050 ? der(0x17, Buffer.from(text.slice(2))) : der(0x18, Buffer.from(text));
}
