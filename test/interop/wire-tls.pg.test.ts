import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { manualClock, systemClock } from '#core/clock.ts';
import { type Logger, silentLogger } from '#core/logger.ts';
import { endPointBinding } from '#sql/pgwire/certificate.ts';
import { ensureOwnCertificate, openWireTls, type WireTls } from '#sql/pgwire/tls.ts';
import { program } from '#test/services/install.ts';
import { type Door, startDoor, token } from './door.ts';

let folder: string;
let psql: string;
let own: { certFile: string; keyFile: string };
const doors: Door[] = [];
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'wire-tls-'));
  psql = await program('psql', 'postgresql-client');
  own = await ensureOwnCertificate(folder, '127.0.0.1', systemClock);
}, 120_000);
afterEach(async () => { for (const door of doors.splice(0)) await door[Symbol.asyncDispose](); });
afterAll(() => rm(folder, { recursive: true, force: true }));

const run = promisify(execFile);
const tlsOf = (files: { certFile: string; keyFile: string }, isRequired = false, clock = systemClock): WireTls =>
  openWireTls({ ...files, isRequired, clock, logger: silentLogger });

async function open(tls: WireTls, logger: Logger = silentLogger): Promise<Door> {
  const door = await startDoor({ tls, logger });
  doors.push(door);
  return door;
}

/** What psql says, its errors too. */
async function ask(door: Door, parameters: string, password = token): Promise<string> {
  const target = `host=127.0.0.1 port=${door.port} user=analyst dbname=lake ${parameters}`;
  const { stdout, stderr } = await run('env', [`PGPASSWORD=${password}`, psql, target, '-XAt', '-c', '\\conninfo', '-c', 'select 6 * 7 as n'])
    .catch((error: unknown) => ({ stdout: '', stderr: String((error as { stderr?: string }).stderr) }));
  return stdout + stderr;
}

/** A certificate by OpenSSL, with that kind of key and signature. */
async function made(name: string, ...how: string[]): Promise<{ certFile: string; keyFile: string }> {
  const files = { certFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) };
  await run('openssl', ['req', '-x509', '-nodes', '-days', '2', '-subj', '/CN=localhost', '-keyout', files.keyFile, '-out', files.certFile, ...how]);
  return files;
}

test('without a certificate of its own the lake makes one that clients can check it by', async () => {
  expect(new X509Certificate(await readFile(own.certFile))).toMatchObject({ ca: true, subjectAltName: 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1' });
  expect((await run('openssl', ['verify', '-x509_strict', '-CAfile', own.certFile, own.certFile])).stdout).toMatch(/OK/);
  expect((await stat(own.keyFile)).mode & 0o777).toBe(0o600);
  const door = await open(tlsOf(own));
  const said = await ask(door, `sslmode=verify-full sslrootcert=${own.certFile} channel_binding=require`);
  expect(said).toMatch(/SSL connection \(protocol: TLSv1\.3/);
  expect(said).toMatch(/^42$/m);
  expect(await ask(door, 'sslmode=require')).toMatch(/^42$/m);
  expect(await ask(door, 'sslmode=disable')).toMatch(/^42$/m);
  expect(await ask(door, 'sslmode=disable channel_binding=require')).toMatch(/channel binding required, but SSL not in use/);
}, 120_000);

test('it stays the same from start to start, and is made anew where a half is missing or it ends soon', async () => {
  const first = await readFile(own.certFile, 'utf8');
  await ensureOwnCertificate(folder, '127.0.0.1', systemClock);
  expect(await readFile(own.certFile, 'utf8')).toBe(first);
  await ensureOwnCertificate(folder, '127.0.0.1', { ...systemClock, now: () => Date.now() + 3640 * 86_400_000 });
  const second = await readFile(own.certFile, 'utf8');
  expect(second).not.toBe(first);
  await rm(own.keyFile);
  await ensureOwnCertificate(folder, '127.0.0.1', systemClock);
  expect(await readFile(own.certFile, 'utf8')).not.toBe(second);
});

test.each([
  ['rsa-sha512', ['-newkey', 'rsa:2048', '-sha512'], 64],
  ['rsa-sha1', ['-newkey', 'rsa:2048', '-sha1'], 32],
  ['ec-sha384', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:secp384r1', '-sha384'], 48],
] as const)('a certificate signed with %s binds the channel as libpq sees it', async (name, how, bytes) => {
  const files = await made(name, ...how);
  expect(endPointBinding(await readFile(files.certFile, 'utf8'))).toHaveLength(bytes);
  expect(await ask(await open(tlsOf(files)), 'sslmode=require channel_binding=require')).toMatch(/^42$/m);
}, 120_000);

test('a certificate without a hash of its own (Ed25519) serves, and nobody can insist on binding', async () => {
  const door = await open(tlsOf(await made('ed25519', '-newkey', 'ed25519')));
  expect(await ask(door, 'sslmode=require channel_binding=prefer')).toMatch(/^42$/m);
  expect(await ask(door, 'sslmode=require channel_binding=require')).toMatch(/channel binding is required/);
}, 120_000);

test('where TLS is required nobody comes in without, and what is logged holds no secret', async () => {
  const logged: [string, Readonly<Record<string, unknown>> | undefined][] = [];
  const logger: Logger = { ...silentLogger, info: () => undefined, warn: (event, fields) => logged.push([event, fields]) };
  const door = await open(tlsOf(own, true), logger);
  expect(await ask(door, 'sslmode=disable')).toMatch(/takes only connections over TLS/);
  expect(await ask(door, 'sslmode=prefer')).toMatch(/^42$/m);
  expect(await ask(door, 'sslmode=require', `${token}x`)).toMatch(/password authentication failed for user "analyst"/);
  expect(await ask(door, `sslmode=require user=${token}`)).toMatch(/password authentication failed/);
  expect(logged).toEqual([
    ['wire_login_refused', { user: 'analyst', address: '127.0.0.1', sqlstate: '28000', encrypted: false }],
    ['wire_login_refused', { user: 'analyst', address: '127.0.0.1', sqlstate: '28P01', encrypted: true }],
    ['wire_login_refused', { user: 'unknown', address: '127.0.0.1', sqlstate: '28P01', encrypted: true }],
  ]);
}, 120_000);

test('a renewed certificate is taken up by new connections; half of it is not', async () => {
  const files = await made('renewed', '-newkey', 'ed25519');
  const clock = manualClock();
  const tls = tlsOf(files, false, clock);
  const before = tls.current();
  const next = await made('next', '-newkey', 'rsa:2048');
  await writeFile(files.certFile, await readFile(next.certFile));
  await utimes(files.certFile, 2e9, 2e9);
  await clock.advance(120_000);
  expect(tls.current()).toBe(before);
  await writeFile(files.keyFile, await readFile(next.keyFile));
  await utimes(files.keyFile, 2e9, 2e9);
  await clock.advance(120_000);
  expect(tls.current().binding).toEqual(endPointBinding(await readFile(next.certFile, 'utf8')));
});

test('files that are missing or do not belong together are refused at the start', () => {
  expect(() => tlsOf({ ...own, keyFile: join(folder, 'nowhere') })).toThrow(expect.objectContaining({ code: 'bad_config' }));
  expect(() => tlsOf({ certFile: own.certFile, keyFile: join(folder, 'rsa-sha1.key') })).toThrow(/cannot be used/);
});
