import { WebSocket } from 'ws';
import type { Clock } from '#core/clock.ts';
import { messageOf, systemCode } from '#core/errors.ts';
import type { Failure } from './hosts.ts';

export interface Connection {
  /** Resolves, with the reason, when the connection is over. It never rejects. */
  readonly ended: Promise<Failure>;
  /** Holds the network back: what has arrived is still told. */
  pause(): void;
  resume(): void;
  close(failure: Failure): void;
}

export interface ConnectOptions {
  readonly url: URL;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Called for every message, in order. Must not throw. */
  readonly onFrame: (bytes: Buffer, isBinary: boolean) => void;
}

/** A stream in use never rests so long: the whole network has tens of messages a second. The issue asks for 25 s. */
const silenceMsMax = 20_000;
const silenceCheckMs = 2_000;
const handshakeMsMax = 10_000;
/**
 * The server is asked for messages of at most this size, so that a record with its envelope stays below the log's 8
 * MiB.
 */
export const frameBytesMax = 4 * 1024 * 1024;
const closedByHimself = 1000;

/** Opens a connection; resolves to a failure where there is none. The signal closes it. */
export async function connect({ url, clock, signal, onFrame }: ConnectOptions): Promise<Connection | Failure> {
  const socket = new WebSocket(url, {
    handshakeTimeout: handshakeMsMax, maxPayload: frameBytesMax * 2, followRedirects: false, perMessageDeflate: false,
    // Checked by ourselves: a message of broken UTF-8 is set aside, instead of ending the connection again and again.
    skipUTF8Validation: true,
    headers: { 'user-agent': 'watershed' },
  });
  const over = Promise.withResolvers<Failure>();
  const opened = Promise.withResolvers<void>();
  let heardAt = clock.monotonic();
  let paused = false;
  const end = (failure: Failure): void => {
    over.resolve(failure);
    stopWatching();
    signal.removeEventListener('abort', onAbort);
    socket.terminate();
  };
  const onAbort = (): void => end({ kind: 'stopped', cause: 'we stopped' });
  let stopWatching = (): void => undefined;
  const watch = (): void => {
    stopWatching = clock.timer(silenceCheckMs, () => {
      if (paused || clock.monotonic() - heardAt < silenceMsMax) return watch();
      end({ kind: 'network', cause: `silent for ${silenceMsMax / 1000} seconds` });
    });
  };
  socket.on('message', (data: Buffer, isBinary) => {
    heardAt = clock.monotonic();
    onFrame(data, isBinary);
  });
  socket.on('open', () => opened.resolve());
  socket.on('unexpected-response', (request, response) => {
    request.destroy();
    end(refusalOf(response.statusCode ?? 0, response.headers['retry-after']));
  });
  socket.on('error', (error) => end(failureOf(error)));
  socket.on('close', (code, reason) => end({
    kind: 'network', cause: code === closedByHimself ? 'the server closed the connection' : `connection closed (code ${code})`,
    ...(reason.length === 0 ? {} : { said: reason.toString('utf8').slice(0, 200) }),
  }));
  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  const failure = await Promise.race([opened.promise, over.promise]);
  if (failure !== undefined) return failure;
  watch();
  return {
    ended: over.promise,
    pause() {
      paused = true;
      socket.pause();
    },
    resume() {
      if (!paused) return;
      paused = false;
      heardAt = clock.monotonic();
      socket.resume();
    },
    close: end,
  };
}

function refusalOf(status: number, retryAfter: string | undefined): Failure {
  const cause = `the server answered with HTTP status ${status}`;
  if (status === 429) {
    const seconds = Number(retryAfter);
    return { kind: 'rate_limited', cause, ...(seconds > 0 && seconds < 86_400 ? { waitMs: seconds * 1000 } : {}) };
  }
  return { kind: status >= 500 ? 'server' : 'refused', cause };
}

function failureOf(error: Error): Failure {
  const code = systemCode(error) ?? '';
  // Of ws: the message is larger than maxPayload, in spite of what we asked for.
  if (code === 'WS_ERR_UNSUPPORTED_MESSAGE_LENGTH') return { kind: 'too_large', cause: 'a message larger than we take' };
  const isTls = /CERT|TLS|SSL|SELF_SIGNED|LEAF_SIGNATURE/.test(code);
  return { kind: isTls ? 'refused' : 'network', cause: isTls ? `certificate not trusted (${code})` : messageOf(error).slice(0, 200) };
}
