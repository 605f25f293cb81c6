import { randomBytes, timingSafeEqual } from 'node:crypto';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { can, type Principal } from '#core/auth/access.ts';
import type { Slowdown } from '#core/auth/slowdown.ts';
import type { Clock } from '#core/clock.ts';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Engine, Limits } from '../engine/engine.ts';
import { backendKeyData, errorResponse, parameterStatus, readyForQuery } from './backend.ts';
import { type DecoderLimits, FrontendDecoder, protocolViolation, type StartupPacket } from './codec.ts';
import { Inbox } from './inbox.ts';
import { logIn, type Login, type Logins } from './login.ts';
import { createQueries } from './queries.ts';
import { Session, type SessionOptions } from './session.ts';
import { createSettings } from './settings.ts';
import type { Shadow } from './shadow.ts';
import type { SpoolLimits } from './spool.ts';
import { errorFields } from './sqlstate.ts';
import type { TlsIdentity, WireTls } from './tls.ts';

/** What all connections of a server share. */
export interface ConnectionContext {
  readonly engine: Engine;
  readonly shadow: Shadow | undefined;
  readonly logins: Logins;
  readonly slowdown: Slowdown;
  readonly secret: Uint8Array;
  readonly limits: Limits;
  readonly decoderLimits: DecoderLimits;
  readonly spool: SpoolLimits;
  readonly tls: WireTls | undefined;
  readonly loginTimeoutMs: number;
  readonly clock: Clock;
  readonly logger: Logger;
  /** By process id, for CancelRequest. */
  readonly sessions: Map<number, { readonly key: Buffer; readonly session: Session }>;
  readonly isLakeTable: (name: string) => boolean;
  readonly onStatement: SessionOptions['onStatement'];
  readonly onLoginFailed: () => void;
  readonly onSent: (bytes: number) => void;
}

// A connection may outlive its token by so much.
const tokenCheckedMs = 10_000;
// What psql and drivers compare against when no PostgreSQL answers catalogue questions.
const versionWithoutShadow = '18.0';

/**
 * One client from its first byte to its last.
 *
 *     ┌─────────┐ startup  ┌──────────┐  right   ┌─────────┐  Terminate, gone, stop
 *     │ opening │ ───────▶ │ login    │ ───────▶ │ session │ ───────────────────────▶ closed
 *     └─────────┘          └──────────┘          └─────────┘
 *      │  ▲ SSLRequest: TLS, then anew   wrong password, malformed, too slow: FATAL, closed
 *      └──┘ GSSENCRequest: N
 *      CancelRequest: done, closed
 */
export class Connection {
  private readonly context: ConnectionContext;
  private readonly decoder: FrontendDecoder;
  private inbox: Inbox;
  private session: Session | undefined;
  private isBusy = false;
  private isStopping = false;
  private encryption: TlsIdentity | undefined;

  constructor(socket: Socket, context: ConnectionContext) {
    this.context = context;
    this.decoder = new FrontendDecoder(context.decoderLimits);
    this.inbox = this.inboxOf(socket);
  }

  /** Resolves when the client is gone and everything of it is released. Never rejects. */
  async run(): Promise<void> {
    try {
      await this.serve();
    } catch (error) {
      await this.inbox.send(errorResponse(errorFields(error, 'FATAL')));
    } finally {
      this.inbox.socket.end();
      await this.release();
      this.context.clock.timer(1000, () => this.inbox.socket.destroy());
    }
  }

  // The client is gone: of what fails now nobody can be told but who reads the log.
  private async release(): Promise<void> {
    try {
      await this.session?.close();
    } catch (error) {
      this.context.logger.warn('wire_release_failed', { error: messageOf(error) });
    }
  }

  /** Refuses a client whom there is no room for. */
  async refuse(error: WatershedError): Promise<void> {
    await this.inbox.send(errorResponse(errorFields(error, 'FATAL')));
    this.inbox.socket.destroySoon();
  }

  /** The server stops: idle clients are told at once, busy ones when their statement has ended. */
  stop(): void {
    this.isStopping = true;
    if (!this.isBusy) void this.sayGoodbye();
  }

  /** Stops the statement that runs, and goes. */
  abort(): void {
    this.session?.cancel('terminating connection due to administrator command');
    this.inbox.socket.destroy();
  }

  private inboxOf(socket: Socket): Inbox {
    return new Inbox(socket, this.decoder, () => this.session?.cancel('the client is gone'));
  }

  private async serve(): Promise<void> {
    const login = await this.withinTime(() => this.open());
    if (login === undefined) return;
    const { sessions } = this.context;
    // Which process it is does not matter to clients, only that no two are alike.
    let pid = randomBytes(4).readUInt32BE() >>> 1;
    while (sessions.has(pid)) pid = (pid + 1) & 0x7fffffff;
    const key = randomBytes(login.minor >= 2 ? 32 : 4);
    const session = this.begin(login);
    this.session = session;
    sessions.set(pid, { key, session });
    try {
      await this.send(backendKeyData(pid, key));
      await this.send(readyForQuery('I'));
      await this.answer(session, login.principal);
    } finally {
      sessions.delete(pid);
    }
  }

  private async answer(session: Session, principal: Principal): Promise<void> {
    const { clock } = this.context;
    let checkedAt = clock.monotonic();
    for (;;) {
      if (this.isStopping) return await this.sayGoodbye();
      const message = await this.inbox.read((decoder) => decoder.next());
      if (message === undefined || message.type === 'terminate') return;
      this.isBusy = true;
      if (clock.monotonic() - checkedAt > tokenCheckedMs) {
        await this.checkToken(principal);
        checkedAt = clock.monotonic();
      }
      await session.handle(message);
      this.isBusy = false;
    }
  }

  private async checkToken({ name, credential }: Principal): Promise<void> {
    const login = await this.context.logins.wireLogin(name);
    if (login?.principal.credential === credential) return;
    throw new WatershedError('unauthorized', `the token ${name} was revoked`, { context: { sqlstate: '57P01' } });
  }

  private begin(login: Login): Session {
    const { engine, shadow, limits, spool, isLakeTable, onStatement } = this.context;
    const settings = createSettings(
      login.parameters,
      login.principal.name,
      shadow?.serverVersion ?? versionWithoutShadow,
    );
    for (const [name, value] of settings.announced()) void this.send(parameterStatus(name, value));
    const statementLimits = (): Limits => {
      const wished = settings.statementTimeoutMs();
      return { ...limits, timeoutMs: wished > 0 ? Math.min(wished, limits.timeoutMs) : limits.timeoutMs };
    };
    const queries = createQueries({
      engine,
      shadow,
      user: login.principal.name,
      mayReadStore: can(login.principal, 'read_store'),
      limits: statementLimits,
    });
    return new Session({
      queries,
      settings,
      shadow,
      spool,
      isLakeTable,
      onStatement,
      clock: this.context.clock,
      timeoutMs: () => statementLimits().timeoutMs,
      send: (bytes) => this.send(bytes),
    });
  }

  private send(bytes: Uint8Array): Promise<void> | void {
    this.context.onSent(bytes.length);
    return this.inbox.send(bytes);
  }

  private async open(): Promise<Login | undefined> {
    for (;;) {
      const packet = await this.inbox.read((decoder) => decoder.nextStartup());
      if (packet === undefined) return undefined;
      switch (packet.type) {
        case 'tls':
          await this.startTls();
          break;
        case 'gss':
          await this.inbox.send(Buffer.from('N'));
          break;
        case 'cancel':
          this.cancel(packet);
          return undefined;
        case 'startup':
          return await this.logIn(packet.minor, packet.parameters);
      }
    }
  }

  private async logIn(minor: number, parameters: ReadonlyMap<string, string>): Promise<Login | undefined> {
    const { logins, slowdown, secret, tls } = this.context;
    const address = this.inbox.socket.remoteAddress ?? '';
    const endPoint = this.encryption?.binding;
    try {
      if (tls?.isRequired === true && this.encryption === undefined) throw unencrypted();
      return await logIn({ inbox: this.inbox, logins, slowdown, secret, address, endPoint }, minor, parameters);
    } catch (error) {
      this.context.onLoginFailed();
      await this.logRefusal(error, parameters.get('user') ?? '', address);
      throw error;
    }
  }

  // A token typed in the place of the name must not end up in a log: only names that exist are told.
  private async logRefusal(error: unknown, user: string, address: string): Promise<void> {
    const { logger, logins } = this.context;
    if (isWatershedError(error, 'rate_limited')) return; // the same address, over and over: the metric counts it
    const isKnown = (await logins.wireLogin(user).catch(() => undefined)) !== undefined;
    const { sqlstate } = errorFields(error);
    logger.warn('wire_login_refused', { user: isKnown ? user : 'unknown', address, sqlstate, encrypted: this.encryption !== undefined });
  }

  private async startTls(): Promise<void> {
    const { tls } = this.context;
    if (tls === undefined || this.inbox.socket instanceof TLSSocket) {
      await this.inbox.send(Buffer.from('N'));
      return;
    }
    // Bytes sent before the handshake would count as if they had come through it (CVE-2021-23214).
    if (this.decoder.bufferedBytes > 0) throw protocolViolation('received unencrypted data after SSL request');
    const plain = this.inbox.release();
    plain.on('error', () => undefined);
    plain.write('S');
    const identity = tls.current();
    const secure = new TLSSocket(plain, { isServer: true, secureContext: identity.context, ALPNProtocols: ['postgresql'] });
    this.inbox = this.inboxOf(secure);
    await new Promise<void>((resolve) => {
      secure.once('secure', resolve);
      secure.once('close', resolve);
    });
    this.encryption = identity;
  }

  private cancel({ pid, key }: StartupPacket & { type: 'cancel' }): void {
    const found = this.context.sessions.get(pid);
    if (found !== undefined && found.key.length === key.length && timingSafeEqual(found.key, key))
      found.session.cancel();
  }

  private async withinTime<T>(work: () => Promise<T>): Promise<T> {
    const stopTimer = this.context.clock.timer(this.context.loginTimeoutMs, () => this.inbox.socket.destroy());
    try {
      return await work();
    } finally {
      stopTimer();
    }
  }

  private async sayGoodbye(): Promise<void> {
    const error = new WatershedError('unavailable', 'terminating connection due to administrator command', {
      context: { sqlstate: '57P01' },
    });
    await this.inbox.send(errorResponse(errorFields(error, 'FATAL')));
    this.inbox.socket.destroySoon();
  }
}

function unencrypted(): WatershedError {
  return new WatershedError('unauthorized', 'this door takes only connections over TLS', {
    hint: 'connect with sslmode=require, or better verify-full and the certificate as sslrootcert',
    context: { sqlstate: '28000' },
  });
}
