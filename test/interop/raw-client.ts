import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { connect, type Socket } from 'node:net';

/** A message from the server: its type and body. */
export interface ServerMessage { readonly tag: string; readonly body: Buffer }

const int16 = (value: number): Buffer => Buffer.from([(value >> 8) & 255, value & 255]);
const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value | 0);
  return bytes;
};
const text = (value: string): Buffer => Buffer.from(`${value}\0`);

/** Frontend messages, made after the protocol's documentation and apart from the code under test. */
export const frontend = {
  frame: (tag: string, ...parts: Buffer[]): Buffer => {
    const body = Buffer.concat(parts);
    return Buffer.concat([Buffer.from(tag), int32(body.length + 4), body]);
  },
  startup: (version: number, parameters: Readonly<Record<string, string>>): Buffer => {
    const body = Buffer.concat([int32(version), ...Object.entries(parameters).flat().map(text), Buffer.from([0])]);
    return Buffer.concat([int32(body.length + 4), body]);
  },
  query: (sql: string): Buffer => frontend.frame('Q', text(sql)),
  parse: (name: string, sql: string, oids: readonly number[] = []): Buffer =>
    frontend.frame('P', text(name), text(sql), int16(oids.length), ...oids.map(int32)),
  bind: (portal: string, statement: string, values: readonly (string | null)[] = [], resultFormats: readonly number[] = []): Buffer =>
    frontend.frame('B', text(portal), text(statement), int16(0), int16(values.length),
      ...values.flatMap((value) => (value === null ? [int32(-1)] : [int32(Buffer.byteLength(value)), Buffer.from(value)])),
      int16(resultFormats.length), ...resultFormats.map(int16)),
  describe: (kind: 'S' | 'P', name: string): Buffer => frontend.frame('D', Buffer.from(kind), text(name)),
  execute: (portal: string, rowsMax = 0): Buffer => frontend.frame('E', text(portal), int32(rowsMax)),
  close: (kind: 'S' | 'P', name: string): Buffer => frontend.frame('C', Buffer.from(kind), text(name)),
  flush: (): Buffer => frontend.frame('H'),
  sync: (): Buffer => frontend.frame('S'),
  terminate: (): Buffer => frontend.frame('X'),
  cancel: (pid: number, key: Buffer): Buffer => Buffer.concat([int32(12 + key.length), int32(80877102), int32(pid), key]),
  request: (code: number): Buffer => Buffer.concat([int32(8), int32(code)]),
};

/** A socket that reads messages one by one; what comes before a message's time is kept. */
export class RawClient {
  readonly socket: Socket;
  pid = 0;
  key: Buffer = Buffer.alloc(0);
  readonly parameters = new Map<string, string>();
  private bytes = Buffer.alloc(0);
  private wake: (() => void) | undefined;
  private isClosed = false;

  constructor(port: number) {
    this.socket = connect(port, '127.0.0.1');
    this.socket.on('data', (chunk: Buffer) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.wake?.();
    });
    this.socket.on('error', () => undefined);
    this.socket.on('close', () => {
      this.isClosed = true;
      this.wake?.();
    });
  }

  send(...parts: Buffer[]): void {
    this.socket.write(Buffer.concat(parts));
  }

  /** `count` plain bytes, as SSLRequest is answered. */
  async plain(count: number): Promise<string> {
    await this.until(() => this.bytes.length >= count);
    const taken = this.bytes.subarray(0, count).toString('latin1');
    this.bytes = this.bytes.subarray(count);
    return taken;
  }

  /** The next message; undefined when the server has closed. */
  async next(): Promise<ServerMessage | undefined> {
    await this.until(() => this.bytes.length >= 5 && this.bytes.length >= this.bytes.readInt32BE(1) + 1);
    if (this.bytes.length < 5) return undefined;
    const end = this.bytes.readInt32BE(1) + 1;
    const message = { tag: this.bytes.toString('latin1', 0, 1), body: this.bytes.subarray(5, end) };
    this.bytes = this.bytes.subarray(end);
    return message;
  }

  /** Messages up to and with the first of that type, or to the end of the connection. */
  async through(tag: string): Promise<ServerMessage[]> {
    const messages: ServerMessage[] = [];
    for (;;) {
      const message = await this.next();
      if (message === undefined) return messages;
      messages.push(message);
      if (message.tag === tag) return messages;
    }
  }

  /** Logs in by SCRAM-SHA-256 (RFC 5802) and reads to ReadyForQuery. Returns what came. */
  async logIn(user: string, password: string, version = 196608, more: Readonly<Record<string, string>> = {}): Promise<ServerMessage[]> {
    this.send(frontend.startup(version, { user, database: 'lake', ...more }));
    const seen: ServerMessage[] = [];
    const first = 'n=,r=clientnonce';
    let serverFirst = '';
    for (;;) {
      const message = await this.next();
      if (message === undefined) return seen;
      seen.push(message);
      const { tag, body } = message;
      if (tag === 'R' && body.readInt32BE() === 10) {
        this.send(frontend.frame('p', text('SCRAM-SHA-256'), int32(first.length + 3), Buffer.from(`n,,${first}`)));
      } else if (tag === 'R' && body.readInt32BE() === 11) {
        serverFirst = body.toString('utf8', 4);
        this.send(frontend.frame('p', Buffer.from(finalMessage(password, first, serverFirst))));
      } else if (tag === 'S') {
        const [name = '', value = ''] = body.toString().split('\0');
        this.parameters.set(name, value);
      } else if (tag === 'K') {
        this.pid = body.readInt32BE();
        this.key = body.subarray(4);
      } else if (tag === 'Z' || tag === 'E') return seen;
    }
  }

  close(): void {
    this.socket.destroy();
  }

  async closed(): Promise<void> {
    await this.until(() => false);
  }

  private async until(condition: () => boolean): Promise<void> {
    while (!condition() && !this.isClosed) await new Promise<void>((resolve) => { this.wake = resolve; });
  }
}

function finalMessage(password: string, first: string, serverFirst: string): string {
  const [, nonce = '', salt = '', iterations = ''] = /^r=([^,]*),s=([^,]*),i=(\d+)/.exec(serverFirst) ?? [];
  const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
  const hmac = (key: Buffer, value: string): Buffer => createHmac('sha256', key).update(value).digest();
  const clientKey = hmac(salted, 'Client Key');
  const withoutProof = `c=biws,r=${nonce}`;
  const signature = hmac(createHash('sha256').update(clientKey).digest(), `${first},${serverFirst},${withoutProof}`);
  return `${withoutProof},p=${Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0))).toString('base64')}`;
}

/** The fields of an ErrorResponse or NoticeResponse. */
export function fieldsOf(message: ServerMessage | undefined): Record<string, string> {
  return Object.fromEntries((message?.body.toString() ?? '').split('\0').filter((field) => field !== '').map((field) => [field.slice(0, 1), field.slice(1)]));
}

/** The types of messages, and for rows their values as text. */
export function shown(messages: readonly ServerMessage[]): string[] {
  return messages.map(({ tag, body }) => {
    if (tag === 'D') return `D ${values(body).join('|')}`;
    if (tag === 'C') return `C ${body.toString('utf8', 0, body.length - 1)}`;
    if (tag === 'Z') return `Z ${body.toString()}`;
    if (tag === 'E' || tag === 'N') return `${tag} ${fieldsOf({ tag, body })['C'] ?? ''}`;
    return tag;
  });
}

function values(body: Buffer): string[] {
  const found: string[] = [];
  for (let at = 2; at < body.length;) {
    const length = body.readInt32BE(at);
    found.push(length < 0 ? 'NULL' : body.toString('utf8', at + 4, at + 4 + length));
    at += 4 + Math.max(0, length);
  }
  return found;
}
