import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { connect as connectTls, type ConnectionOptions } from 'node:tls';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import { Sink } from '../encode/sink.ts';
import type { Field } from './backend.ts';
import { ByteReader, cstring, int16, int32, putInt32 } from './bytes.ts';
import type { Format } from './encode-rows.ts';

/** Where the PostgreSQL beside us is and who we are there. */
export interface UpstreamOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly database: string;
  readonly tls: ConnectionOptions | undefined;
}

export interface UpstreamStatement {
  readonly sql: string;
  readonly oids: readonly number[];
  /** Absent: only describe. */
  readonly bound?: {
    readonly values: readonly (Buffer | null)[];
    readonly formats: readonly Format[];
    readonly resultFormats: readonly Format[];
  };
  /** More bytes of rows are an error. */
  readonly bytesMax: number;
}

export interface UpstreamResult {
  readonly parameters: readonly number[];
  /** Undefined where the statement gives no rows. */
  readonly fields: readonly Field[] | undefined;
  /** Whole DataRow messages, in the formats asked for. */
  readonly rows: readonly Buffer[];
  readonly tag: string;
}

/**
 * A client of PostgreSQL that hands rows on as they came, undecoded, which no library does. One statement at a time,
 * always by the extended protocol: it takes a single statement and runs it in a transaction of its own.
 */
export interface Upstream {
  /** What the server announced: server_version and the like. */
  readonly parameters: ReadonlyMap<string, string>;
  readonly isOpen: boolean;
  run(statement: UpstreamStatement): Promise<UpstreamResult>;
  /** Asks the server to stop what this connection runs. */
  cancel(): Promise<void>;
  close(): void;
}

/** Connects and logs in (SCRAM-SHA-256, or a password in clear where the server asks for it). Throws `unavailable`. */
export async function connectUpstream(options: UpstreamOptions): Promise<Upstream> {
  const channel = await openChannel(options);
  try {
    return await logIn(channel, options);
  } catch (error) {
    channel.socket.destroy();
    throw error;
  }
}

interface Message {
  readonly tag: string;
  readonly body: Buffer;
  readonly whole: Buffer;
}

/** A socket as a sequence of messages. */
interface Channel {
  readonly socket: Socket;
  next(): Promise<Message>;
}

async function openChannel(options: UpstreamOptions): Promise<Channel> {
  const plain = await connected(options);
  if (options.tls === undefined) return channelOf(plain);
  plain.write(packet((out) => int32(out, 80_877_103)));
  const answer = await new Promise<Buffer>((resolve, reject) => {
    plain.once('data', resolve);
    plain.once('error', reject);
  });
  if (answer.toString('latin1') !== 'S')
    throw new WatershedError('unavailable', 'the catalogue database does not speak TLS');
  const secure = connectTls({ ...options.tls, socket: plain, servername: options.host });
  await new Promise<void>((resolve, reject) => {
    secure.once('secureConnect', resolve);
    secure.once('error', reject);
  });
  return channelOf(secure);
}

function connected({ host, port }: UpstreamOptions): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = host.startsWith('/')
      ? connectTcp(`${host}/.s.PGSQL.${port}`)
      : connectTcp({ host, port, noDelay: true });
    socket.once('connect', () => resolve(socket));
    socket.once('error', (error) => reject(lost(error)));
  });
}

function lost(cause?: unknown): WatershedError {
  return new WatershedError(
    'unavailable',
    `the catalogue database does not answer${cause === undefined ? '' : `: ${messageOf(cause)}`}`,
    { cause, hint: 'try again; statements on the lake are not touched by this' },
  );
}

function channelOf(socket: Socket): Channel {
  let buffered: Buffer[] = [];
  let bytes = 0;
  let wake: (() => void) | undefined;
  let failure: WatershedError | undefined;
  const stir = (): void => {
    wake?.();
    wake = undefined;
  };
  socket.on('data', (chunk: Buffer) => {
    buffered.push(chunk);
    bytes += chunk.length;
    stir();
  });
  for (const event of ['error', 'close'] as const) {
    socket.on(event, (cause?: unknown) => {
      failure ??= lost(event === 'error' ? cause : undefined);
      stir();
    });
  }
  const length = (): number | undefined => {
    if (bytes < 5) return undefined;
    if ((buffered[0]?.length ?? 0) < 5) buffered = [Buffer.concat(buffered)];
    return (buffered[0]?.readInt32BE(1) ?? 4) + 1;
  };
  return {
    socket,
    async next() {
      for (;;) {
        const wanted = length();
        if (wanted !== undefined && bytes >= wanted) {
          const all = buffered.length === 1 && buffered[0] !== undefined ? buffered[0] : Buffer.concat(buffered);
          const whole = all.subarray(0, wanted);
          buffered = all.length > wanted ? [all.subarray(wanted)] : [];
          bytes -= wanted;
          return { tag: String.fromCharCode(whole[0] ?? 0), body: whole.subarray(5), whole };
        }
        if (failure !== undefined) throw failure;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  };
}

function packet(write: (out: Sink) => void, tag = ''): Buffer {
  const out = new Sink(256);
  out.ascii(tag);
  int32(out, 0);
  write(out);
  putInt32(out, tag.length, out.length - tag.length);
  return Buffer.from(out.take());
}

async function logIn(channel: Channel, options: UpstreamOptions): Promise<Upstream> {
  const { socket } = channel;
  socket.write(
    packet((out) => {
      int32(out, 3 << 16);
      for (const text of [
        'user',
        options.user,
        'database',
        options.database,
        'application_name',
        'watershed',
        'client_encoding',
        'UTF8',
        '',
      ]) {
        cstring(out, text);
      }
    }),
  );
  const parameters = new Map<string, string>();
  let key: Buffer | undefined;
  let scram: ScramClient | undefined;
  for (;;) {
    const { tag, body } = await channel.next();
    const reader = new ByteReader(body);
    if (tag === 'R') {
      const kind = reader.int32();
      if (kind === 3) socket.write(packet((out) => cstring(out, options.password), 'p'));
      else if (kind === 10) {
        scram = scramClient(options.password);
        const first = scram.first;
        socket.write(
          packet((out) => {
            cstring(out, 'SCRAM-SHA-256');
            int32(out, Buffer.byteLength(first));
            out.utf8(first);
          }, 'p'),
        );
      } else if (kind === 11) {
        const final = scram?.final(reader.rest().toString());
        socket.write(packet((out) => out.utf8(final ?? ''), 'p'));
      } else if (kind !== 0 && kind !== 12)
        throw new WatershedError('unavailable', 'the catalogue database asks for a login we do not know');
    } else if (tag === 'S') parameters.set(reader.cstring(), reader.cstring());
    else if (tag === 'K') key = body;
    else if (tag === 'E') throw upstreamError(body, 'unavailable');
    else if (tag === 'Z') return upstreamOf(channel, options, parameters, key ?? Buffer.alloc(0));
  }
}

interface ScramClient {
  readonly first: string;
  final(serverFirst: string): string;
}

// RFC 5802, the client's side. Passwords here are our own: hexadecimal digits, for which SASLprep changes nothing.
function scramClient(password: string): ScramClient {
  const bare = `n=,r=${randomBytes(18).toString('base64')}`;
  return {
    first: `n,,${bare}`,
    final(serverFirst) {
      const [, nonce = '', salt = '', iterations = '4096'] = /^r=([^,]*),s=([^,]*),i=(\d+)/.exec(serverFirst) ?? [];
      const salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), Number(iterations), 32, 'sha256');
      const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();
      const clientKey = hmac(salted, 'Client Key');
      const withoutProof = `c=biws,r=${nonce}`;
      const signature = hmac(createHash('sha256').update(clientKey).digest(), `${bare},${serverFirst},${withoutProof}`);
      const proof = Buffer.from(clientKey.map((byte, index) => byte ^ (signature[index] ?? 0)));
      return `${withoutProof},p=${proof.toString('base64')}`;
    },
  };
}

function upstreamOf(
  channel: Channel,
  options: UpstreamOptions,
  parameters: ReadonlyMap<string, string>,
  key: Buffer,
): Upstream {
  const { socket } = channel;
  return {
    parameters,
    get isOpen() {
      return !socket.destroyed && socket.writable;
    },
    async run(statement) {
      try {
        socket.write(pipeline(statement));
        return await collect(channel, statement.bytesMax);
      } catch (error) {
        // Whatever else may come on this connection, it is not worth keeping.
        if (!isWatershedError(error, 'statement_failed')) socket.destroy();
        throw error;
      }
    },
    async cancel() {
      const other = await openChannel(options);
      other.socket.end(
        packet((out) => {
          int32(out, 80_877_102);
          out.copy(key, 0, key.length);
        }),
      );
    },
    close() {
      socket.end(packet(() => undefined, 'X'));
    },
  };
}

function pipeline({ sql, oids, bound }: UpstreamStatement): Buffer {
  const parts = [
    packet((out) => {
      cstring(out, '');
      cstring(out, sql);
      int16(out, oids.length);
      for (const oid of oids) int32(out, oid);
    }, 'P'),
    packet((out) => {
      out.ascii('S');
      cstring(out, '');
    }, 'D'),
  ];
  if (bound !== undefined)
    parts.push(
      bind(bound),
      packet((out) => {
        cstring(out, '');
        int32(out, 0);
      }, 'E'),
    );
  parts.push(packet(() => undefined, 'S'));
  return Buffer.concat(parts);
}

function bind({ values, formats, resultFormats }: NonNullable<UpstreamStatement['bound']>): Buffer {
  return packet((out) => {
    cstring(out, '');
    cstring(out, '');
    const codes = (list: readonly Format[]): void => {
      int16(out, list.length);
      for (const format of list) int16(out, format);
    };
    codes(formats);
    int16(out, values.length);
    for (const value of values) {
      int32(out, value === null ? -1 : value.length);
      if (value !== null) out.copy(value, 0, value.length);
    }
    codes(resultFormats);
  }, 'B');
}

async function collect(channel: Channel, bytesMax: number): Promise<UpstreamResult> {
  let parameters: readonly number[] = [];
  let fields: readonly Field[] | undefined;
  let tag = '';
  let error: WatershedError | undefined;
  const rows: Buffer[] = [];
  let bytes = 0;
  for (;;) {
    const message = await channel.next();
    const reader = new ByteReader(message.body);
    if (message.tag === 't') parameters = Array.from({ length: reader.uint16() }, () => reader.int32() >>> 0);
    else if (message.tag === 'T') fields = Array.from({ length: reader.uint16() }, () => parseField(reader));
    else if (message.tag === 'D') {
      bytes += message.whole.length;
      if (bytes > bytesMax)
        throw new WatershedError('limit_exceeded', `a catalogue answer may have at most ${bytesMax} bytes`);
      rows.push(message.whole);
    } else if (message.tag === 'C') tag = reader.cstring();
    else if (message.tag === 'E') error = upstreamError(message.body, 'statement_failed');
    else if (message.tag === 'Z') {
      if (error !== undefined) throw error;
      return { parameters, fields, rows, tag };
    }
  }
}

function parseField(reader: ByteReader): Field {
  const name = reader.cstring();
  const table = reader.int32();
  const column = reader.int16();
  const oid = reader.int32() >>> 0;
  const size = reader.int16();
  const typmod = reader.int32();
  reader.int16();
  return { name, table, column, type: { oid, size, typmod, array: 0 } };
}

// What PostgreSQL has no hint of its own for.
const hints: ReadonlyMap<string, string> = new Map([
  ['57014', 'catalogue questions have a few seconds; ask the lake through its tables'],
  ['42501', 'one statement asks either the catalogue or the lake, and reads no more than tools need'],
]);

/** An ErrorResponse as ours, with its SQLSTATE, position and hint. */
function upstreamError(body: Buffer, code: 'unavailable' | 'statement_failed'): WatershedError {
  const reader = new ByteReader(body);
  const fields = new Map<string, string>();
  for (let kind = reader.int8(); kind !== 0; kind = reader.int8()) {
    fields.set(String.fromCharCode(kind), reader.cstring());
  }
  const sqlstate = fields.get('C') ?? 'XX000';
  const position = Number(fields.get('P') ?? 0);
  const hint = fields.get('H') ?? hints.get(sqlstate);
  return new WatershedError(code, fields.get('M') ?? 'the catalogue database refused', {
    ...(hint === undefined ? {} : { hint }),
    context: { sqlstate, ...(position > 0 ? { position } : {}) },
  });
}
