import type { Socket } from 'node:net';
import type { FrontendDecoder } from './codec.ts';

// A client may run ahead of us by this much before we stop reading; until then its going away is noticed at once.
const readAheadBytes = 1024 * 1024;

/** A client's socket: messages in, bytes out, each side held back by the other. */
export class Inbox {
  readonly socket: Socket;
  private readonly decoder: FrontendDecoder;
  private wake: (() => void) | undefined;
  private closed = false;
  private readonly onClosed: () => void;

  constructor(socket: Socket, decoder: FrontendDecoder, onClosed: () => void) {
    this.socket = socket;
    this.decoder = decoder;
    this.onClosed = onClosed;
    socket.on('data', this.onData);
    for (const event of ['end', 'close', 'error'] as const) socket.on(event, this.onEnd);
  }

  get isClosed(): boolean {
    return this.closed;
  }

  /** What `parse` makes of the bytes that came, as soon as there are enough; undefined when the client is gone. */
  async read<T>(parse: (decoder: FrontendDecoder) => T | undefined): Promise<T | undefined> {
    for (;;) {
      const parsed = parse(this.decoder);
      if (parsed !== undefined) return parsed;
      if (this.closed) return undefined;
      this.socket.resume();
      await new Promise<void>((resolve) => {
        this.wake = resolve;
      });
    }
  }

  /** Resolves when the client has taken enough that more may be sent. Bytes for a client who is gone are dropped. */
  send(bytes: Uint8Array): Promise<void> | void {
    if (this.closed || this.socket.write(bytes)) return;
    return new Promise((resolve) => {
      const finish = (): void => {
        this.socket.off('drain', finish);
        this.socket.off('close', finish);
        resolve();
      };
      this.socket.on('drain', finish);
      this.socket.on('close', finish);
    });
  }

  /** Gives the socket away, with what it would still tell: for TLS on top of it. */
  release(): Socket {
    this.socket.off('data', this.onData);
    for (const event of ['end', 'close', 'error'] as const) this.socket.off(event, this.onEnd);
    return this.socket;
  }

  private readonly onData = (chunk: Buffer): void => {
    this.decoder.push(chunk);
    if (this.wake === undefined && this.decoder.bufferedBytes > readAheadBytes) this.socket.pause();
    this.stir();
  };

  private readonly onEnd = (): void => {
    if (this.closed) return;
    this.closed = true;
    this.onClosed();
    this.stir();
  };

  private stir(): void {
    this.wake?.();
    this.wake = undefined;
  }
}
