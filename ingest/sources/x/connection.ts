import { Agent, request } from 'undici';
import type { Clock } from '#core/clock.ts';
import { lineSplitter } from '../../archive/records.ts';
import { postFields, userAgent } from './api.ts';
import { type Answer, type Failure, failureOf, networkFailure, requireAllowed } from './failure.ts';

/** What a stream gives: a line that is no keep-alive, or a pulse when all that came until then has been given. */
export type StreamItem =
  | { readonly kind: 'line'; readonly bytes: Buffer; readonly bytesLength?: number }
  /** `isBehind`: what comes may have been waiting for us, and says nothing of now. */
  | { readonly kind: 'pulse'; readonly atMs: number; readonly isBehind: boolean };

/** A stream that X has opened. Items come as fast as they are taken: what is not taken stays with X. */
export interface Connection {
  readonly items: AsyncIterable<StreamItem>;
  /** Why `items` has ended. */
  failure(): Failure;
}

export interface ConnectOptions {
  readonly url: string;
  readonly token: string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/** X sends at least `\r\n` every 20 s; two more for the way. */
const silenceMsMax = 22_000;
/** Whoever takes no item for so long holds X back. */
const heldBackMs = 2_000;
/** What had been waiting for us comes at once; after such a wait nothing is left of it. */
const caughtUpMs = 1_000;
const connectTimeoutMs = 10_000;
const headersTimeoutMs = 30_000;
/** A post with everything in it is some ten kilobytes; what is longer than this is no post. */
const lineBytesMax = 4 * 1024 * 1024;
const errorBodyBytesMax = 64 * 1024;

/**
 * Opens the filtered stream: resolves to it, or to why X did not open it. Throws `unauthorized` for 401 and 403.
 * twitter-api-v2 is not used for this, see docs/adr/0008.
 */
export async function connect(options: ConnectOptions): Promise<Connection | Failure> {
  const { clock } = options;
  // An agent of its own: the next connection asks DNS anew, and closing this one leaves nothing behind.
  const agent = new Agent({ connect: { timeout: connectTimeoutMs }, headersTimeout: headersTimeoutMs, bodyTimeout: 0 });
  const stop = new AbortController();
  const signal = AbortSignal.any([options.signal, stop.signal]);
  try {
    const response = await request(`${options.url}/2/tweets/search/stream?${new URLSearchParams(postFields)}`, {
      dispatcher: agent,
      signal,
      headers: { authorization: `Bearer ${options.token}`, 'user-agent': userAgent, accept: 'application/json' },
    });
    if (response.statusCode !== 200) {
      const body = await textOf(response.body);
      const answer: Answer = { status: response.statusCode, headers: response.headers, body };
      await agent.destroy();
      requireAllowed(answer, 'the stream');
      return failureOf(answer, clock.now());
    }
    return reading(response.body, stop, clock, () => agent.destroy());
  } catch (error) {
    await agent.destroy();
    if (options.signal.aborted || isOurs(error)) throw error;
    return networkFailure(error);
  }
}

function isOurs(error: unknown): boolean {
  return error instanceof Error && error.name === 'WatershedError';
}

function reading(
  body: AsyncIterable<Uint8Array>, stop: AbortController, clock: Clock, close: () => Promise<void>,
): Connection {
  let failure: Failure = { kind: 'network', cause: 'closed by X', detail: '' };
  const openedAtMs = clock.monotonic();
  const onSilence = (): void => {
    failure = { kind: 'network', cause: 'silent', detail: `nothing came for ${silenceMsMax / 1000} s, not even a keep-alive` };
    stop.abort();
  };
  return {
    failure: () => failure,
    items: (async function* items(): AsyncGenerator<StreamItem> {
      const splitter = lineSplitter({ from: 0, recordBytesMax: lineBytesMax });
      const chunks = body[Symbol.asyncIterator]();
      let isBehind = clock.monotonic() - openedAtMs >= heldBackMs;
      try {
        for (;;) {
          const askedAtMs = clock.monotonic();
          // Time counts only while we wait for X: a consumer that is slow must not look like a silent stream.
          const cancel = clock.timer(silenceMsMax, onSilence);
          const next = await chunks.next().finally(cancel);
          if (next.done === true) break;
          const atMs = clock.now();
          const takenAtMs = clock.monotonic();
          isBehind &&= takenAtMs - askedAtMs < caughtUpMs;
          for (const { bytes, bytesLength } of splitter.push(Buffer.from(next.value))) {
            yield { kind: 'line', bytes, ...(bytesLength === undefined ? {} : { bytesLength }) };
          }
          yield { kind: 'pulse', atMs, isBehind };
          isBehind ||= clock.monotonic() - takenAtMs >= heldBackMs;
        }
        // A line that the end has cut off is lost; the gap that follows covers it.
      } catch (error) {
        if (failure.cause !== 'silent') failure = networkFailure(error);
      } finally {
        stop.abort();
        await close();
      }
    })(),
  };
}

async function textOf(body: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of body) {
    parts.push(part);
    length += part.length;
    if (length > errorBodyBytesMax) break;
  }
  return Buffer.concat(parts).toString('utf8');
}
