/**
 * Trino's client protocol (https://trino.io/docs/476/develop/client-protocol.html): a statement is posted, then
 * `nextUri` is followed until there is none. Our own forty lines and not `trino-client` 0.2.9, which loses digits of
 * 63-bit numbers, has neither cancellation nor time limits, and shares session state between callers (docs/adr).
 */
import { Agent, request } from 'undici';
import type { Clock } from '#core/clock.ts';
import { isAbort } from '#core/service.ts';
import { messageOf, systemCode, WatershedError } from '#core/errors.ts';
import { explainTrinoError, isStarting } from './errors.ts';
import type { TrinoError } from './errors.ts';

export interface TrinoAddress {
  /** http://[user[:password]@]host:port; the user is who Trino's access rules see. */
  readonly url: string;
  readonly catalog: string;
  readonly schema: string;
}

export interface TrinoColumn {
  readonly name: string;
  readonly type: string;
  readonly typeSignature: TypeSignature;
}

export interface TypeSignature {
  readonly rawType: string;
  readonly arguments: readonly TypeArgument[];
}

type TypeArgument =
  | { readonly kind: 'TYPE'; readonly value: TypeSignature }
  | {
      readonly kind: 'NAMED_TYPE';
      readonly value: { readonly fieldName?: { readonly name: string } | null; readonly typeSignature: TypeSignature };
    }
  | { readonly kind: 'LONG'; readonly value: number }
  | { readonly kind: 'VARIABLE'; readonly value: string };

export interface TrinoPage {
  readonly columns: readonly TrinoColumn[] | undefined;
  /** Cells are strings, numbers, booleans, null, arrays and objects; an integer of 16 digits or more is a bigint. */
  readonly rows: readonly (readonly unknown[])[];
}

interface Answer {
  readonly id?: string;
  readonly nextUri?: string;
  readonly columns?: readonly TrinoColumn[];
  readonly data?: readonly (readonly unknown[])[];
  readonly error?: TrinoError;
}

export interface StatementRequest {
  readonly sql: string;
  /** Whom Trino's query list shows as the one who asked. */
  readonly onBehalfOf: string;
  readonly signal: AbortSignal;
  /** Statements prepared for this request, by name. */
  readonly prepared?: Readonly<Record<string, string>>;
}

/** How long a Trino that restarts or is overloaded is asked again. */
const retryForMs = 10_000;
/** How long one that says that it is starting is waited for: it takes 10 to 20 s. */
const startingForMs = 30_000;

export class TrinoClient implements AsyncDisposable {
  readonly #base: URL;
  readonly #headers: Record<string, string>;
  readonly #agent = new Agent({ connections: 64, headersTimeout: 30_000, bodyTimeout: 60_000, connectTimeout: 5000 });
  readonly #clock: Clock;

  constructor(address: TrinoAddress, clock: Clock) {
    this.#base = parseUrl(address.url);
    this.#clock = clock;
    const { username, password } = this.#base;
    const user = decodeURIComponent(username) || 'watershed';
    this.#headers = {
      'x-trino-user': user,
      'x-trino-source': 'watershed',
      'x-trino-catalog': address.catalog,
      'x-trino-schema': address.schema,
      'x-trino-time-zone': 'UTC',
      // Without it timestamps are cut to milliseconds.
      'x-trino-client-capabilities': 'PARAMETRIC_DATETIME',
      ...(password === ''
        ? {}
        : { authorization: `Basic ${Buffer.from(`${user}:${decodeURIComponent(password)}`).toString('base64')}` }),
    };
  }

  /** The user that statements run as. */
  get user(): string {
    return this.#headers['x-trino-user'] ?? '';
  }

  /**
   * Runs a statement; pages come as they are asked for, and Trino waits meanwhile. Leaving the iteration early, or
   * aborting the signal, cancels the statement. Errors: `statement_failed`, `limit_exceeded`, `cancelled`,
   * `unavailable`, `forbidden`.
   */
  async *run(statement: StatementRequest): AsyncGenerator<TrinoPage> {
    const { signal } = statement;
    const prepared = Object.entries(statement.prepared ?? {})
      .map(([name, sql]) => `${name}=${encodeURIComponent(sql)}`)
      .join(',');
    const headers = {
      'x-trino-client-info': `for ${statement.onBehalfOf.replaceAll(/[^\x20-\x7e]/g, '?')}`,
      ...(prepared === '' ? {} : { 'x-trino-prepared-statement': prepared }),
    };
    let answer = await this.#begin(statement.sql, headers, signal);
    try {
      for (;;) {
        if (answer.error !== undefined) throw explainTrinoError(answer.error);
        if (answer.columns !== undefined || (answer.data?.length ?? 0) > 0)
          yield { columns: answer.columns, rows: answer.data ?? [] };
        if (answer.nextUri === undefined) return;
        answer = await this.#ask('GET', this.#own(answer.nextUri), signal, {}, null);
      }
    } finally {
      if (answer.nextUri !== undefined) await this.#cancel(answer.nextUri);
    }
  }

  /**
   * Posts a statement and follows it up to its first columns or its end. A Trino that is still starting answers at
   * once that it has no workers: it is asked again.
   */
  async #begin(sql: string, headers: Record<string, string>, signal: AbortSignal): Promise<Answer> {
    const until = this.#clock.monotonic() + startingForMs;
    for (;;) {
      let answer = await this.#ask('POST', new URL('/v1/statement', this.#base), signal, headers, sql);
      while (answer.error === undefined && answer.columns === undefined && answer.nextUri !== undefined) {
        try {
          answer = await this.#ask('GET', this.#own(answer.nextUri), signal, {}, null);
        } catch (error) {
          if (answer.nextUri !== undefined) await this.#cancel(answer.nextUri);
          throw error;
        }
      }
      if (!isStarting(answer.error) || this.#clock.monotonic() > until) return answer;
      await this.#clock.sleep(500, signal);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#agent.destroy();
  }

  /** Addresses come as Trino sees itself; behind a proxy only ours leads there. */
  #own(uri: string): URL {
    const { pathname, search } = new URL(uri);
    return new URL(`${pathname}${search}`, this.#base);
  }

  async #cancel(nextUri: string): Promise<void> {
    try {
      const response = await request(this.#own(nextUri), {
        method: 'DELETE',
        headers: this.#headers,
        dispatcher: this.#agent,
      });
      await response.body.dump();
    } catch {
      // Trino gives up by itself a statement that nobody asks for any more (query.client.timeout, five minutes).
    }
  }

  async #ask(
    method: 'GET' | 'POST',
    url: URL,
    signal: AbortSignal,
    headers: Record<string, string>,
    body: string | null,
  ): Promise<Answer> {
    const until = this.#clock.monotonic() + retryForMs;
    for (let waitMs = 50; ; waitMs = Math.min(waitMs * 2, 1000)) {
      try {
        const response = await request(withoutLogin(url), {
          method,
          headers: { ...this.#headers, ...headers },
          body,
          signal,
          dispatcher: this.#agent,
        });
        const text = await response.body.text();
        if (response.statusCode === 200) return parseAnswer(text);
        throw httpError(response.statusCode, text, this.#base.host);
      } catch (error) {
        const reason = signal.aborted && isAbort(error, signal) ? signal.reason : this.#networkError(error);
        const again =
          reason instanceof WatershedError && reason.code === 'unavailable' && this.#clock.monotonic() + waitMs < until;
        // A statement whose post was not answered may be running. Posted again it runs twice: no harm, it reads.
        if (signal.aborted || !again) throw reason;
      }
      await this.#clock.sleep(waitMs, signal);
    }
  }

  #networkError(error: unknown): unknown {
    if (error instanceof WatershedError) return error;
    return new WatershedError(
      'unavailable',
      `Trino at ${this.#base.host} does not answer (${systemCode(error) ?? messageOf(error)})`,
      {
        cause: error,
        hint: 'check TRINO_URL and that Trino is up',
      },
    );
  }
}

function parseUrl(text: string): URL {
  try {
    const url = new URL(text);
    if (url.protocol === 'http:' || url.protocol === 'https:') return url;
  } catch {
    // Said below, without the address: it may hold a password.
  }
  throw new WatershedError('bad_config', 'TRINO_URL is not an address', {
    hint: 'it is http://user@host:port or https://user:password@host:port',
  });
}

function withoutLogin(url: URL): URL {
  const plain = new URL(url);
  plain.username = '';
  plain.password = '';
  return plain;
}

function httpError(status: number, text: string, host: string): WatershedError {
  if (status === 401 || status === 403) {
    return new WatershedError('unauthorized', `Trino at ${host} refused our login (${status})`, {
      hint: 'check user and password in TRINO_URL',
    });
  }
  if (status === 429 || status >= 500) {
    return new WatershedError('unavailable', `Trino at ${host} is not ready (${status})`, {
      hint: 'it may still be starting: try again',
      context: { status },
    });
  }
  return new WatershedError('internal', `Trino at ${host} answered ${status}: ${text.slice(0, 300)}`, {
    context: { status },
  });
}

interface SourceJson {
  parse(text: string, reviver: (key: string, value: unknown, context: { source?: string }) => unknown): unknown;
}

// The compiler's library does not know the reviver's third parameter yet; Node has it since 21.
const sourceJson = JSON as unknown as SourceJson;

/** The reviver costs seven times the parsing, so it is used only where a number is too long for JavaScript's. */
function parseAnswer(text: string): Answer {
  const value: unknown = /\d{16}/.test(text)
    ? sourceJson.parse(text, (_key, parsed, { source }) =>
        typeof parsed === 'number' && source !== undefined && /^-?\d{16,}$/.test(source) ? BigInt(source) : parsed,
      )
    : JSON.parse(text);
  // The shape is that of the protocol; a server that breaks it is no Trino.
  return value as Answer;
}
