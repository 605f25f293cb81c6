import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createSecureContext, type SecureContext } from 'node:tls';
import type { Clock } from '#core/clock.ts';
import { messageOf, systemCode, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import { endPointBinding, type KeyAndCertificate, selfSigned } from './certificate.ts';

/** What the door needs for TLS. */
export interface WireTls {
  /** Whether clients that come without are turned away. */
  readonly isRequired: boolean;
  /** What a new connection gets; a certificate that was renewed on disk is taken up within a minute. */
  current(): TlsIdentity;
}

export interface TlsIdentity {
  readonly context: SecureContext;
  /** For SCRAM-SHA-256-PLUS; undefined where the certificate has none. */
  readonly binding: Buffer | undefined;
}

export interface WireTlsOptions {
  readonly isRequired: boolean;
  /** PEM files; a chain may follow the certificate. */
  readonly certFile: string;
  readonly keyFile: string;
  readonly clock: Clock;
  readonly logger: Logger;
}

const recheckedMs = 60_000;
const madeDays = 3650;
const renewedBeforeMs = 30 * 86_400_000;

/** TLS with the key and certificate of two files. Throws `bad_config` where they cannot be read or do not fit. */
export function openWireTls({ isRequired, certFile, keyFile, clock, logger }: WireTlsOptions): WireTls {
  const stamp = (): string => [certFile, keyFile].map((file) => statSync(file).mtimeMs).join(' ');
  const load = (): TlsIdentity => identityOf({ cert: readFileSync(certFile, 'utf8'), key: readFileSync(keyFile, 'utf8') });
  let identity: TlsIdentity;
  let loaded = '';
  try {
    loaded = stamp();
    identity = load();
  } catch (error) {
    const message = `the certificate ${certFile} with the key ${keyFile} cannot be used: ${messageOf(error)}`;
    throw new WatershedError('bad_config', message, {
      cause: error,
      hint: 'WATERSHED_PGWIRE_TLS_CERT and WATERSHED_PGWIRE_TLS_KEY name two PEM files that belong together',
    });
  }
  let checkedAt = clock.monotonic();
  const renew = (): void => {
    const found = stamp();
    if (found === loaded) return;
    identity = load();
    loaded = found;
  };
  return {
    isRequired,
    current() {
      if (clock.monotonic() - checkedAt >= recheckedMs) {
        checkedAt = clock.monotonic();
        try {
          renew();
        } catch (error) {
          // One file may be there before the other: what was loaded serves until both fit.
          logger.warn('wire_certificate_not_renewed', { certFile, error: messageOf(error) });
        }
      }
      return identity;
    },
  };
}

/** Throws where they are not what they should be, or do not belong together. */
export function identityOf({ key, cert }: KeyAndCertificate): TlsIdentity {
  if (!new X509Certificate(cert).checkPrivateKey(createPrivateKey(key))) throw new Error('the key is another one’s');
  return { context: createSecureContext({ key, cert, minVersion: 'TLSv1.2' }), binding: endPointBinding(cert) };
}

/**
 * Makes `wire.key` and a self-signed `wire.crt` in a folder, where there are none or they end within a month. Returns
 * their paths. The certificate may be handed to clients that check it (`sslrootcert`).
 */
export async function ensureOwnCertificate(
  folder: string,
  host: string,
  clock: Clock,
): Promise<{ certFile: string; keyFile: string }> {
  const files = { certFile: join(folder, 'wire.crt'), keyFile: join(folder, 'wire.key') };
  if (await isGood(files, clock.now())) return files;
  const names = new Set(['localhost', '127.0.0.1', '::1', ...(['0.0.0.0', '::'].includes(host) ? [] : [host])]);
  const { key, cert } = selfSigned([...names], clock.now() - 86_400_000, madeDays);
  await put(files.keyFile, key, 0o600);
  await put(files.certFile, cert, 0o644);
  return files;
}

async function isGood(files: { certFile: string; keyFile: string }, nowMs: number): Promise<boolean> {
  const [cert, key] = await Promise.all([present(files.certFile), present(files.keyFile)]);
  if (cert === undefined || key === undefined) return false;
  try {
    const certificate = new X509Certificate(cert);
    return Date.parse(certificate.validTo) - nowMs > renewedBeforeMs && certificate.checkPrivateKey(createPrivateKey(key));
  } catch {
    return false; // half of a pair, or cut short: it is ours, and made anew
  }
}

async function present(file: string): Promise<string | undefined> {
  return await readFile(file, 'utf8').catch((error: unknown) => {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  });
}

// Under another name first, so that nobody reads half of it.
async function put(file: string, text: string, mode: number): Promise<void> {
  await writeFile(`${file}.new`, text, { mode });
  await chmod(`${file}.new`, mode);
  await rename(`${file}.new`, file);
}
