import type { Principal } from '#core/auth/access.ts';
import type { ScramVerifier } from '#core/auth/scram.ts';
import type { Slowdown } from '#core/auth/slowdown.ts';
import { WatershedError } from '#core/errors.ts';
import { authenticationOk, negotiateProtocolVersion, saslContinue, saslFinal, saslMechanisms } from './backend.ts';
import { ByteReader, decodeUtf8 } from './bytes.ts';
import { protocolViolation } from './codec.ts';
import type { Inbox } from './inbox.ts';
import { fakeVerifier, scramExchange, scramMechanism, scramPlusMechanism } from './scram.ts';

/** Who may enter: `Tokens` of core/auth, of which this is the part that the wire needs. */
export interface Logins {
  /** How the password of a user is checked, and who it is then; undefined for an unknown or revoked one. */
  wireLogin(user: string): Promise<{ principal: Principal; verifier: ScramVerifier } | undefined>;
}

/** What the opening of a connection settled. */
export interface Login {
  readonly principal: Principal;
  readonly minor: number;
  readonly parameters: ReadonlyMap<string, string>;
}

export interface LoginContext {
  readonly inbox: Inbox;
  readonly logins: Logins;
  readonly slowdown: Slowdown;
  /** For users who do not exist: the same for the life of the server. */
  readonly secret: Uint8Array;
  readonly address: string;
  /** `tls-server-end-point` of the certificate this connection was shown; undefined without TLS. */
  readonly endPoint: Buffer | undefined;
}

/** The newest minor version of protocol 3 that we speak. 3.1 was never used. */
const newestMinor = 2;

/**
 * Checks user and password by SCRAM-SHA-256. Returns undefined where the client left. Throws `unauthorized`, slowed
 * down by the failures before it, or `bad_request` for what is no such exchange.
 */
export async function logIn(
  context: LoginContext,
  minor: number,
  given: ReadonlyMap<string, string>,
): Promise<Login | undefined> {
  const user = given.get('user') ?? '';
  if (user === '') throw refusal('28000', 'no PostgreSQL user name specified in startup packet');
  const agreed = minor > newestMinor ? newestMinor : minor === 1 ? 0 : minor;
  const unknown = [...given.keys()].filter((name) => name.startsWith('_pq_.'));
  if (agreed !== minor || unknown.length > 0) await context.inbox.send(negotiateProtocolVersion(agreed, unknown));
  const principal = await checkPassword(context, user);
  if (principal === undefined) return undefined;
  if (principal === 'wrong') {
    await context.slowdown.failed(context.address);
    throw refusal(
      '28P01',
      `password authentication failed for user "${user}"`,
      'the user is the name of a token, the password the token itself',
    );
  }
  context.slowdown.succeeded(context.address);
  checkDatabase(given, user);
  return { principal, minor: agreed, parameters: startupSettings(given) };
}

async function checkPassword(
  { inbox, logins, secret, endPoint }: LoginContext,
  user: string,
): Promise<Principal | 'wrong' | undefined> {
  const login = await logins.wireLogin(user);
  const offered = endPoint === undefined ? [scramMechanism] : [scramPlusMechanism, scramMechanism];
  await inbox.send(saslMechanisms(offered));
  const initial = await passwordMessage(inbox);
  if (initial === undefined) return undefined;
  const { mechanism, text } = parseInitial(initial);
  if (!offered.includes(mechanism)) throw protocolViolation('client selected an invalid SASL authentication mechanism');
  const verifier = login?.verifier ?? fakeVerifier(user, secret);
  const exchange = scramExchange(verifier, { endPoint, isUsed: mechanism === scramPlusMechanism });
  await inbox.send(saslContinue(exchange.first(text)));
  const response = await passwordMessage(inbox);
  if (response === undefined) return undefined;
  const proof = exchange.final(decoded(response));
  if (proof === undefined || login === undefined) return 'wrong';
  await inbox.send(Buffer.concat([saslFinal(proof), authenticationOk()]));
  return login.principal;
}

async function passwordMessage(inbox: Inbox): Promise<Buffer | undefined> {
  const message = await inbox.read((decoder) => decoder.next(false));
  if (message === undefined || message.type === 'terminate') return undefined;
  if (message.type !== 'password') throw protocolViolation('expected SASL response');
  return message.body;
}

function parseInitial(body: Buffer): { mechanism: string; text: string } {
  try {
    const reader = new ByteReader(body);
    const mechanism = reader.cstring();
    return { mechanism, text: decodeUtf8(reader.take(reader.int32())) };
  } catch {
    throw protocolViolation('malformed SASL message');
  }
}

function decoded(body: Buffer): string {
  try {
    return decodeUtf8(body);
  } catch {
    throw protocolViolation('malformed SASL message');
  }
}

// libpq takes the user's name where no database is given.
function checkDatabase(given: ReadonlyMap<string, string>, user: string): void {
  const database = given.get('database') ?? user;
  if (given.has('replication') && !/^(0|off|no|false)$/i.test(given.get('replication') ?? '')) {
    throw refusal('0A000', 'replication is not supported');
  }
  if (database !== 'lake' && database !== user)
    throw refusal('3D000', `database "${database}" does not exist`, 'the database is called lake');
}

/** Settings of the startup packet, those in `options` (`-c name=value`, `--name=value`) too. */
function startupSettings(given: ReadonlyMap<string, string>): Map<string, string> {
  const settings = new Map(
    [...given].filter(
      ([name]) => !['user', 'database', 'options', 'replication'].includes(name) && !name.startsWith('_pq_.'),
    ),
  );
  for (const part of (given.get('options') ?? '').matchAll(/(?:-c\s*|--)([\w.-]+)=((?:\\.|[^\s\\])*)/g)) {
    settings.set((part[1] ?? '').replaceAll('-', '_').toLowerCase(), (part[2] ?? '').replace(/\\(.)/g, '$1'));
  }
  return settings;
}

function refusal(sqlstate: string, message: string, hint?: string): WatershedError {
  return new WatershedError('unauthorized', message, {
    context: { sqlstate },
    ...(hint === undefined ? {} : { hint }),
  });
}
