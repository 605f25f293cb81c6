import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { seededRandom, type Random } from '#core/clock.ts';

/** A message of the network, as its JSON goes over the wire. */
export interface FakeMessage {
  readonly timeUs: number;
  readonly kind: 'commit' | 'identity' | 'account' | 'raw';
  readonly collection: string;
  readonly bytes: Buffer;
}

export interface FakePostInput {
  readonly text: string;
  readonly did?: string;
  readonly langs?: readonly string[];
  readonly createdAt?: string;
  /** More members of the record. */
  readonly record?: Readonly<Record<string, unknown>>;
}

export interface FakePost {
  /** As column post_id has it: the record key, a slash and the DID. */
  readonly id: string;
  readonly did: string;
  readonly rkey: string;
  readonly text: string;
  readonly timeUs: number;
  readonly json: string;
}

/**
 * A seeded network that speaks like Bluesky's Jetstream (v1 `/subscribe`). Several hosts carry the same messages, each with
 * troubles of its own. Whatever happened stands in `messages`: what must be in the tables follows from it alone.
 */
export interface FakeBluesky {
  readonly messages: readonly FakeMessage[];
  readonly posts: readonly FakePost[];
  /** Handles that `resolveHandle` knows. */
  readonly handles: Map<string, string>;
  makeDid(): string;
  post(input: FakePostInput): FakePost;
  update(post: FakePost, text: string): void;
  delete(id: string): void;
  /** A like, a follow: what a collector of posts never sees, but for the time that passes. */
  other(collection: string): void;
  account(did: string, active: boolean, status?: string): void;
  identity(did: string, handle: string): void;
  /** Bytes that are sent as they are, to whoever is connected then and to those who replay. */
  raw(bytes: Uint8Array | string): void;
  /** Messages before this are not replayed any more, whatever a cursor asks for. */
  forgetBefore(timeUs: number): void;
  resolveHandle(handle: string): Promise<string | undefined>;
  host(): Promise<FakeHost>;
}

export interface FakeHost extends AsyncDisposable {
  readonly url: string;
  /** The queries of all attempts to connect, refused ones too. */
  readonly attempts: readonly { readonly query: URLSearchParams; readonly atMs: number }[];
  connected(): number;
  /** Bytes that wait to be taken, beyond what the sockets of the system hold. */
  waitingBytes(): number;
  /** The next attempts are answered with this status instead. */
  refuse(status: number, times?: number, headers?: Readonly<Record<string, string>>): void;
  /** Sends nothing, but keeps connections open; those that are still there when it ends get what they missed. */
  silence(on: boolean): void;
  /** Every message is sent this many times. */
  repeat(times: number): void;
  /** Messages are sent in fragments of so many bytes, wherever that cuts; 0 sends them whole. */
  fragment(bytes: number): void;
  /** Sends messages of any size, in spite of maxMessageSizeBytes. */
  ignoreLimits(on: boolean): void;
  /** Closes all connections with this code, or breaks them without a word. */
  close(code: number, reason?: string): void;
  break(): void;
  /** New connections are closed at once. */
  closeAtOnce(on: boolean): void;
  /** The machine is gone, and comes back at the same address. */
  down(): Promise<void>;
  up(): Promise<void>;
}

const tidAlphabet = '234567abcdefghijklmnopqrstuvwxyz';

/** `nowMs` is the network's clock. Times of messages grow strictly, by at least a microsecond. */
export function createFakeBluesky({ seed, nowMs = Date.now }: { seed: number; nowMs?: () => number }): FakeBluesky {
  const random = seededRandom(seed);
  const messages: FakeMessage[] = [];
  const posts: FakePost[] = [];
  const handles = new Map<string, string>();
  const listeners = new Set<(message: FakeMessage) => void>();
  let lastUs = 0;
  let keptFromUs = 0;
  let sequence = 30_000_000_000;
  const tick = (): number => (lastUs = Math.max(lastUs + 1, Math.floor(nowMs() * 1000)));
  const emit = (kind: FakeMessage['kind'], timeUs: number, bytes: Buffer, collection = ''): void => {
    const message = { kind, timeUs, bytes, collection };
    messages.push(message);
    for (const listener of listeners) listener(message);
  };
  const letters = (count: number): string => Array.from({ length: count }, () => tidAlphabet[Math.floor(random() * 32)]).join('');
  const makeDid = (): string => `did:plc:${letters(24)}`;
  const commit = (did: string, operation: string, collection: string, rkey: string, record?: object): { timeUs: number; json: string } => {
    const timeUs = tick();
    const json = JSON.stringify({ did, time_us: timeUs, kind: 'commit', commit: {
      rev: tidOf(timeUs, random), operation, collection, rkey, ...(record === undefined ? {} : { record, cid: `bafyrei${letters(52)}` }) } });
    emit('commit', timeUs, Buffer.from(json), collection);
    return { timeUs, json };
  };
  const recordOf = (input: FakePostInput, atMs: number): object => ({
    $type: 'app.bsky.feed.post', createdAt: input.createdAt ?? new Date(atMs).toISOString(), langs: input.langs ?? ['en'], ...input.record, text: input.text });
  return {
    messages, posts, handles, makeDid,
    post(input) {
      const did = input.did ?? makeDid();
      const rkey = tidOf(nowMs() * 1000, random);
      const { timeUs, json } = commit(did, 'create', 'app.bsky.feed.post', rkey, recordOf(input, nowMs()));
      const post = { id: `${rkey}/${did}`, did, rkey, text: input.text, timeUs, json };
      posts.push(post);
      return post;
    },
    update: ({ did, rkey }, text) => void commit(did, 'update', 'app.bsky.feed.post', rkey, recordOf({ text }, nowMs())),
    delete(id) {
      const [rkey = '', did = ''] = id.split('/');
      commit(did, 'delete', 'app.bsky.feed.post', rkey);
    },
    other: (collection) => void commit(makeDid(), 'create', collection, tidOf(nowMs() * 1000, random), { $type: collection }),
    account(did, active, status) {
      const timeUs = tick();
      emit('account', timeUs, Buffer.from(JSON.stringify({ did, time_us: timeUs, kind: 'account', account: {
        active, did, seq: sequence++, ...(status === undefined ? {} : { status }), time: new Date(timeUs / 1000).toISOString() } })));
    },
    identity(did, handle) {
      const timeUs = tick();
      handles.set(handle, did);
      emit('identity', timeUs, Buffer.from(JSON.stringify({ did, time_us: timeUs, kind: 'identity', identity: {
        did, handle, seq: sequence++, time: new Date(timeUs / 1000).toISOString() } })));
    },
    raw: (bytes) => emit('raw', tick(), Buffer.from(bytes)),
    forgetBefore(timeUs) { keptFromUs = timeUs; },
    resolveHandle: async (handle) => handles.get(handle),
    host: () => startHost({ messages, listeners, keptFromUs: () => keptFromUs, handles, nowMs }),
  };
}

function tidOf(micros: number, random: Random): string {
  let value = (BigInt(Math.floor(micros)) << 10n) | BigInt(Math.floor(random() * 1024));
  let text = '';
  for (let index = 0; index < 13; index++, value >>= 5n) text = `${tidAlphabet[Number(value & 31n)]}${text}`;
  return text;
}

interface Shared {
  readonly messages: readonly FakeMessage[];
  readonly listeners: Set<(message: FakeMessage) => void>;
  readonly handles: ReadonlyMap<string, string>;
  readonly keptFromUs: () => number;
  readonly nowMs: () => number;
}

interface Subscriber {
  readonly socket: WebSocket;
  readonly collections: readonly string[];
  readonly bytesMax: number;
  /** What waits for the end of a silence. */
  readonly held: FakeMessage[];
}

async function startHost(shared: Shared): Promise<FakeHost> {
  const attempts: { query: URLSearchParams; atMs: number }[] = [];
  const subscribers = new Set<Subscriber>();
  const refusals: { status: number; headers: Readonly<Record<string, string>> }[] = [];
  const troubles = { silent: false, repeat: 1, fragment: 0, closeAtOnce: false, ignoreLimits: false };
  const send = (subscriber: Subscriber, message: FakeMessage): void => {
    const { socket, collections, bytesMax, held } = subscriber;
    if (troubles.silent) return void held.push(message);
    if (bytesMax > 0 && !troubles.ignoreLimits && message.bytes.length > bytesMax) return;
    if (message.kind === 'commit' && collections.length > 0 && !collections.includes(message.collection)) return;
    for (let time = 0; time < troubles.repeat; time++) sendBytes(socket, message.bytes, troubles.fragment);
  };
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  const onUpgrade = (request: IncomingMessage, socket: Socket, head: Buffer): void => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    socket.on('error', () => socket.destroy());
    attempts.push({ query: url.searchParams, atMs: shared.nowMs() });
    const refusal = url.pathname === '/subscribe' ? refusals.shift() : { status: 404, headers: {} };
    if (refusal !== undefined) {
      const headers = Object.entries(refusal.headers).map(([name, value]) => `${name}: ${value}\r\n`).join('');
      socket.end(`HTTP/1.1 ${refusal.status} No\r\n${headers}Content-Length: 0\r\nConnection: close\r\n\r\n`);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (opened) => {
      if (troubles.closeAtOnce) return opened.close(1000);
      const subscriber = {
        socket: opened, collections: url.searchParams.getAll('wantedCollections'),
        bytesMax: Number(url.searchParams.get('maxMessageSizeBytes') ?? 0), held: [],
      };
      opened.on('close', () => subscribers.delete(subscriber));
      opened.on('error', () => subscribers.delete(subscriber));
      const cursor = Number(url.searchParams.get('cursor') ?? Number.POSITIVE_INFINITY);
      const from = Math.max(cursor, shared.keptFromUs());
      // Nothing is published while this runs, so replay and live join without a seam.
      for (const message of shared.messages) if (message.timeUs >= from) send(subscriber, message);
      subscribers.add(subscriber);
    });
  };
  const answer = (request: IncomingMessage): { status: number; body: unknown } => {
    const url = new URL(request.url ?? '/', 'http://localhost');
    const did = shared.handles.get(url.searchParams.get('handle') ?? '');
    return did === undefined ? { status: 400, body: { error: 'InvalidRequest', message: 'Unable to resolve handle' } } : { status: 200, body: { did } };
  };
  let port = 0;
  let server: Server | undefined;
  const up = async (): Promise<void> => {
    server = createServer((request, response) => {
      const { status, body } = answer(request);
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body));
    });
    server.on('upgrade', onUpgrade);
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
    port = (server.address() as AddressInfo).port; // it listens on TCP
  };
  const breakAll = (): void => {
    for (const { socket } of subscribers) socket.terminate();
    subscribers.clear();
  };
  const down = async (): Promise<void> => {
    breakAll();
    server?.closeAllConnections();
    await new Promise<void>((resolve) => server?.close(() => resolve()) ?? resolve());
    server = undefined;
  };
  const onMessage = (message: FakeMessage): void => {
    for (const subscriber of subscribers) send(subscriber, message);
  };
  shared.listeners.add(onMessage);
  await up();
  return {
    url: `ws://127.0.0.1:${port}/subscribe`, attempts,
    connected: () => subscribers.size,
    waitingBytes: () => [...subscribers].reduce((sum, { socket }) => sum + socket.bufferedAmount, 0),
    refuse(status, times = 1, headers = {}) {
      for (let time = 0; time < times; time++) refusals.push({ status, headers });
    },
    silence(on) {
      troubles.silent = on;
      if (!on) for (const subscriber of subscribers) for (const message of subscriber.held.splice(0)) send(subscriber, message);
    },
    repeat(times) { troubles.repeat = times; },
    fragment(bytes) { troubles.fragment = bytes; },
    ignoreLimits(on) { troubles.ignoreLimits = on; },
    closeAtOnce(on) { troubles.closeAtOnce = on; },
    close(code, reason = '') {
      for (const { socket } of subscribers) socket.close(code, reason);
      subscribers.clear();
    },
    break: breakAll,
    down, up,
    async [Symbol.asyncDispose]() {
      shared.listeners.delete(onMessage);
      if (server !== undefined) await down();
    },
  };
}

function sendBytes(socket: WebSocket, bytes: Buffer, fragment: number): void {
  if (fragment === 0) return socket.send(bytes, { binary: false });
  for (let at = 0; at < bytes.length; at += fragment) {
    const end = at + fragment >= bytes.length;
    socket.send(bytes.subarray(at, at + fragment), { binary: false, fin: end });
  }
}
