import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import { authenticationOk, negotiateProtocolVersion, saslContinue, saslFinal, saslMechanisms } from './backend.ts';
import { ByteReader, decodeUtf8 } from './bytes.ts';
import { protocolViolation } from './codec.ts';
import type { Inbox } from './inbox.ts';
import { fakeVerifier, scramExchange, scramMechanism, type ScramVerifier } from './scram.ts';

/** Who may enter: the verifier of a token by its name, or undefined where there is none (any more). */
export type Verifiers = (user: string) => Promise<ScramVerifier | undefined>;

/** What the opening of a connection settled. */
export interface Login {
  readonly user: string;
  readonly minor: number;
  readonly parameters: ReadonlyMap<string, string>;
}

export interface LoginContext {
  readonly inbox: Inbox;
  readonly verifiers: Verifiers;
  readonly slowdown: Slowdown;
  /** For users who do not exist: the same for the life of the server. */
  readonly secret: Uint8Array;
  readonly address: string;
}

/** The newest minor version of protocol 3 that we speak. 3.1 was never used. */
const newestMinor = 2;

/**
 * Checks user and password by SCRAM-SHA-256. Returns undefined where the client left. Throws `unauthorized`, slowed down
 * by the failures before it, or `bad_request` for what is no such exchange.
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
  const isRight = await checkPassword(context, user);
  if (isRight === undefined) return undefined;
  if (!isRight) {
    await context.slowdown.failed(user, context.address);
    throw refusal(
      '28P01',
      `password authentication failed for user "${user}"`,
      'the user is the name of a token, the password the token itself',
    );
  }
  context.slowdown.succeeded(user, context.address);
  checkDatabase(given, user);
  return { user, minor: agreed, parameters: startupSettings(given) };
}

async function checkPassword({ inbox, verifiers, secret }: LoginContext, user: string): Promise<boolean | undefined> {
  const verifier = await verifiers(user);
  await inbox.send(saslMechanisms([scramMechanism]));
  const initial = await passwordMessage(inbox);
  if (initial === undefined) return undefined;
  const { mechanism, text } = parseInitial(initial);
  if (mechanism !== scramMechanism) throw protocolViolation('client selected an invalid SASL authentication mechanism');
  const exchange = scramExchange(verifier ?? fakeVerifier(user, secret));
  await inbox.send(saslContinue(exchange.first(text)));
  const response = await passwordMessage(inbox);
  if (response === undefined) return undefined;
  const proof = exchange.final(decoded(response));
  if (proof === undefined || verifier === undefined) return false;
  await inbox.send(Buffer.concat([saslFinal(proof), authenticationOk()]));
  return true;
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

/** Makes guessing slow: each failure of a user or from an address doubles the wait before the next answer. */
export interface Slowdown {
  failed(user: string, address: string): Promise<void>;
  succeeded(user: string, address: string): void;
}

const firstDelayMs = 250;
const longestDelayMs = 8000;
const forgottenAfterMs = 600_000;
// Bounds what an attacker can make us remember; the oldest are forgotten first.
const rememberedMax = 10_000;

export function createSlowdown(clock: Clock): Slowdown {
  const failures = new Map<string, { count: number; at: number }>();
  const count = (key: string): number => {
    const now = clock.monotonic();
    const before = failures.get(key);
    const next = before === undefined || now - before.at > forgottenAfterMs ? 1 : before.count + 1;
    failures.delete(key);
    failures.set(key, { count: next, at: now });
    for (const oldest of failures.keys()) {
      if (failures.size <= rememberedMax) break;
      failures.delete(oldest);
    }
    return next;
  };
  const keys = (user: string, address: string): [string, string] => [`user ${user}`, `address ${address}`];
  return {
    async failed(user, address) {
      const most = Math.max(...keys(user, address).map(count));
      await clock.sleep(Math.min(longestDelayMs, firstDelayMs * 2 ** (most - 1)));
    },
    succeeded(user, address) {
      for (const key of keys(user, address)) failures.delete(key);
    },
  };
}
