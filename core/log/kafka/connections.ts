import { Connection } from '@platformatic/kafka';
import type { Broker } from '@platformatic/kafka';
import { isWatershedError, messageOf, systemCode, WatershedError } from '../../errors.ts';

/** How brokers are spoken to. */
export interface KafkaAccess {
  readonly clientId: string;
  /** TLS; `ca` only where the system does not know the authority. */
  readonly tls?: { readonly ca?: string };
  readonly login?: {
    readonly mechanism: 'plain' | 'scram-sha-256' | 'scram-sha-512';
    readonly username: string;
    readonly password: string;
  };
}

/**
 * Connections that are lent for one exchange at a time: a broker answers the requests of one connection in order, so a
 * reader that waits for news would hold up everybody on the same connection.
 */
export class Connections implements AsyncDisposable {
  readonly #access: KafkaAccess;
  readonly #idle = new Map<string, Connection[]>();
  readonly #all = new Set<Connection>();
  #closed = false;

  constructor(access: KafkaAccess) {
    this.#access = access;
  }

  /** Lends a connection to `exchange`; one that failed, or whose exchange was given up, is closed. */
  async with<T>(
    broker: Broker,
    signal: AbortSignal | undefined,
    exchange: (connection: Connection) => Promise<T>,
  ): Promise<T> {
    signal?.throwIfAborted();
    const address = `${broker.host}:${broker.port}`;
    const connection = this.#idle.get(address)?.pop() ?? (await this.#open(broker));
    const given = Promise.withResolvers<never>();
    const onAbort = (): void => given.reject(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      const result = await Promise.race([exchange(connection), given.promise]);
      this.#giveBack(address, connection);
      return result;
    } catch (error) {
      if (signal?.aborted === true || !isAnswer(error)) await this.#close(connection);
      else this.#giveBack(address, connection);
      throw signal?.aborted === true ? signal.reason : explain(error, address);
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#all].map((connection) => this.#close(connection)));
  }

  #giveBack(address: string, connection: Connection): void {
    if (!connection.isConnected()) return;
    const idle = this.#idle.get(address) ?? [];
    idle.push(connection);
    this.#idle.set(address, idle);
  }

  async #open(broker: Broker): Promise<Connection> {
    if (this.#closed) throw new WatershedError('cancelled', 'the Kafka log was closed');
    const { login, tls, clientId } = this.#access;
    const connection = new Connection(clientId, {
      connectTimeout: 5000,
      requestTimeout: 30_000,
      ...(tls === undefined ? {} : { tls: { ...tls }, tlsServerName: isAddress(broker.host) ? false : broker.host }),
      ...(login === undefined
        ? {}
        : { sasl: { mechanism: mechanisms[login.mechanism], username: login.username, password: login.password } }),
    });
    // Every exchange gets its own error; without a listener this second report would end the process.
    connection.on('error', () => undefined);
    connection.on('close', () => this.#forget(connection));
    this.#all.add(connection);
    try {
      await connection.connect(broker.host, broker.port);
    } catch (error) {
      await this.#close(connection);
      throw explain(error, `${broker.host}:${broker.port}`);
    }
    return connection;
  }

  #forget(connection: Connection): void {
    this.#all.delete(connection);
    for (const [address, idle] of this.#idle)
      this.#idle.set(
        address,
        idle.filter((other) => other !== connection),
      );
  }

  async #close(connection: Connection): Promise<void> {
    this.#forget(connection);
    await connection.close();
  }
}

const mechanisms = { plain: 'PLAIN', 'scram-sha-256': 'SCRAM-SHA-256', 'scram-sha-512': 'SCRAM-SHA-512' } as const;

// Server Name Indication takes names only (RFC 6066 §3).
function isAddress(host: string): boolean {
  return /^[\d.]+$|:/.test(host);
}

/** True where the broker answered, if only with a refusal: the connection itself is sound. */
function isAnswer(error: unknown): boolean {
  return chain(error).some(
    (link) => systemCode(link) === 'PLT_KFK_RESPONSE' || contextOf(link)?.['kafkaCode'] !== undefined,
  );
}

function contextOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return isWatershedError(value) ? value.context : undefined;
}

/** The error and its causes; the members of an aggregate count as causes. */
function chain(error: unknown): unknown[] {
  const links: unknown[] = [];
  const visit = (value: unknown): void => {
    if (typeof value !== 'object' || value === null || links.length > 20) return;
    links.push(value);
    if ('cause' in value) visit(value.cause);
    if ('errors' in value && Array.isArray(value.errors)) value.errors.forEach(visit);
  };
  visit(error);
  return links;
}

/** The protocol's name of an error that a broker answered. */
function apiId(value: unknown): string | undefined {
  return typeof value === 'object' && value !== null && 'apiId' in value && typeof value.apiId === 'string'
    ? value.apiId
    : undefined;
}

/** What went wrong between us and a broker, for a person. */
function explain(error: unknown, address: string): unknown {
  const links = chain(error);
  if (links.some((link) => isWatershedError(link))) return error;
  const codes = links.map(systemCode);
  const text = links.map(messageOf).join(': ');
  const answers = links.map(apiId);
  if (/requires TLS|supports TLS|wrong version number|packet length too long/.test(text)) {
    const on = text.includes('requires TLS');
    return new WatershedError(
      'bad_config',
      `Kafka at ${address} ${on ? 'speaks TLS and we do not' : 'does not speak TLS'}`,
      {
        cause: error,
        hint: `set KAFKA_TLS=${on ? 'on' : 'off'}, or use another port of the broker`,
      },
    );
  }
  // The client calls it a failed login too when the broker hangs up: only the broker's own word is one.
  if (answers.includes('SASL_AUTHENTICATION_FAILED')) {
    return new WatershedError('unauthorized', `Kafka at ${address} refused our login`, {
      cause: error,
      hint: 'check KAFKA_USERNAME, KAFKA_PASSWORD and KAFKA_SASL_MECHANISM',
    });
  }
  if (answers.includes('UNSUPPORTED_SASL_MECHANISM')) {
    return new WatershedError('bad_config', `Kafka at ${address} does not offer our way of logging in`, {
      cause: error,
      hint: 'set KAFKA_SASL_MECHANISM to what the broker offers: plain, scram-sha-256 or scram-sha-512',
    });
  }
  const certificate = codes.find((code) => code !== undefined && /CERT|SIGNATURE|ALTNAME/.test(code));
  if (certificate !== undefined) {
    return new WatershedError('unauthorized', `the certificate of Kafka at ${address} is not trusted: ${certificate}`, {
      cause: error,
      hint: "give the authority's certificate to Node.js with NODE_EXTRA_CA_CERTS=/path/ca.pem",
    });
  }
  const reason = codes.findLast((code) => code !== undefined) ?? messageOf(error);
  return new WatershedError('unavailable', `Kafka at ${address} does not answer (${reason})`, {
    cause: error,
    hint: 'check KAFKA_BROKERS and that the brokers run; a broker that wants a login or TLS also hangs up on us',
  });
}
