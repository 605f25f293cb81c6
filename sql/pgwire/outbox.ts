// Small messages travel together.
const outboxBytes = 32 * 1024;

/** What goes to the client, kept back until there is enough of it or the client waits. */
export class Outbox {
  private readonly send: (bytes: Uint8Array) => Promise<void> | void;
  private kept: Uint8Array[] = [];
  private length = 0;

  constructor(send: (bytes: Uint8Array) => Promise<void> | void) {
    this.send = send;
  }

  put(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.kept.push(bytes);
    this.length += bytes.length;
  }

  /** The same, and sends when enough is there. Awaiting it is what holds the engine to the client's pace. */
  async push(bytes: Uint8Array): Promise<void> {
    this.put(bytes);
    if (this.length >= outboxBytes) await this.flush();
  }

  async flush(): Promise<void> {
    const [first] = this.kept;
    if (first === undefined) return;
    const whole = this.kept.length === 1 ? first : Buffer.concat(this.kept);
    this.kept = [];
    this.length = 0;
    await this.send(whole);
  }
}
