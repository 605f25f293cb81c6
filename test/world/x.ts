import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { once } from 'node:events';
import { seededRandom } from '#core/clock.ts';
import { judge, type JudgedPost } from './x-rules.ts';

/** A post as people write it; the fake makes of it what X would send. */
export interface FakePost extends JudgedPost {
  readonly id: string;
  readonly createdAtMs: number;
}

export interface FakeAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

export interface SeenRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: IncomingMessage['headers'];
  readonly body: string;
}

interface FakeRule { readonly id: string; readonly value: string; readonly tag: string }

/** X API v2 on loopback: rules, the filtered stream, recent search; it knows what it sent. */
export interface FakeX extends AsyncDisposable {
  readonly url: string;
  readonly token: string;
  readonly rules: FakeRule[];
  readonly requests: SeenRequest[];
  /** The posts that went down a stream, in order, as the JSON that was sent. */
  readonly delivered: { readonly id: string; readonly json: string; readonly tags: readonly string[] }[];
  /** Posts that were published while nobody was connected, or after the stream was cut. */
  readonly missed: FakePost[];
  /** Streams that were opened so far. */
  opened(): number;
  connected(): boolean;
  /** Bytes that wait to be taken, beyond what the sockets of the system hold. */
  waitingBytes(): number;
  /** Published: found by search from now on, and delivered where a rule matches. */
  publish(post: FakePost): void;
  /** A post with words of this text, told by the seed. */
  makePost(text: string, createdAtMs?: number): FakePost;
  /** The next requests of a kind are answered so instead. */
  answer(what: 'stream' | 'rules' | 'search', ...answers: readonly FakeAnswer[]): void;
  /** Bytes as they are, in chunks of the sizes given (the last one for what is left). */
  raw(bytes: Uint8Array | string, chunkBytes?: readonly number[]): void;
  keepAlive(): void;
  /** Sends nothing, not even keep-alives, but keeps the stream open; a stream that is still there when it ends gets the rest. */
  silence(on: boolean): void;
  /** X's own good-bye, then the end of the stream. */
  disconnect(): void;
  /** Ends the stream without a word, or breaks the connection. */
  end(): void;
  break(): void;
}

export interface FakeXOptions {
  readonly seed?: number;
  /** What X takes for the time. */
  readonly now?: () => number;
  readonly ruleCap?: number;
  /** Ids of posts count from here. */
  readonly firstId?: bigint;
  readonly pageSize?: number;
}

const problem = (name: string): string => `https://api.x.com/2/problems/${name}`;

export async function startFakeX(options: FakeXOptions = {}): Promise<FakeX> {
  const now = options.now ?? Date.now;
  const random = seededRandom(options.seed ?? 1);
  const token = `AAAA-${Math.floor(random() * 1e9)}-secret`;
  const rules: FakeRule[] = [];
  const requests: SeenRequest[] = [];
  const delivered: FakeX['delivered'] = [];
  const missed: FakePost[] = [];
  const published: FakePost[] = [];
  const planned = { stream: [] as FakeAnswer[], rules: [] as FakeAnswer[], search: [] as FakeAnswer[] };
  let stream: ServerResponse | undefined;
  let opened = 0;
  let nextId = options.firstId ?? 1_900_000_000_000_000_000n;

  const send = (response: ServerResponse, { status, headers, body }: FakeAnswer): void => {
    const text = typeof body === 'string' ? body : JSON.stringify(body ?? { title: 'Error', detail: `status ${status}` });
    response.writeHead(status, { 'content-type': 'application/json; charset=utf-8', date: new Date(now()).toUTCString(), ...headers }).end(text);
  };
  const server = createServer((request, response) => {
    void handle(request, response).catch(() => response.destroy());
  });

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part);
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://x');
    const seen = { method: request.method ?? '', path: pathname, query: searchParams, headers: request.headers,
      body: Buffer.concat(parts).toString('utf8') };
    requests.push(seen);
    if (request.headers.authorization !== `Bearer ${token}`) {
      return send(response, { status: 401, body: { title: 'Unauthorized', type: 'about:blank', status: 401, detail: 'Unauthorized' } });
    }
    const what = pathname.endsWith('/rules') ? 'rules' : pathname.endsWith('/recent') ? 'search' : 'stream';
    const plannedAnswer = planned[what].shift();
    if (plannedAnswer !== undefined) return send(response, plannedAnswer);
    if (what === 'rules') return send(response, seen.method === 'GET' ? listRules() : changeRules(seen.body));
    if (what === 'search') return send(response, search(searchParams));
    openStream(response);
  }

  function listRules(): FakeAnswer {
    return { status: 200, body: { ...(rules.length === 0 ? {} : { data: rules }), meta: { sent: new Date(now()).toISOString(), result_count: rules.length } } };
  }

  function changeRules(text: string): FakeAnswer {
    const body: { add?: { value: string; tag?: string }[]; delete?: { ids: string[] } } = JSON.parse(text);
    if (body.delete !== undefined) {
      for (const id of body.delete.ids) rules.splice(rules.findIndex((rule) => rule.id === id), 1);
      return { status: 200, body: { meta: { summary: { deleted: body.delete.ids.length, not_deleted: 0 } } } };
    }
    const errors: unknown[] = [];
    const data: FakeRule[] = [];
    for (const { value, tag } of body.add ?? []) {
      const twin = rules.find((rule) => rule.value === value);
      if (twin !== undefined) errors.push({ value, id: twin.id, title: 'DuplicateRule', type: problem('duplicate-rules') });
      else if (rules.length >= (options.ruleCap ?? 1000)) {
        errors.push({ value, title: 'RulesCapExceeded', detail: `Rules must be under cap ${options.ruleCap}`, type: problem('rule-cap') });
      } else if (value.length > 1024 || judge(value, probe) === undefined || /\bbad\b/.test(value)) {
        errors.push({ value, title: 'Invalid Rule', details: ['no viable alternative at character (at position 1)'], type: problem('invalid-rules') });
      } else {
        const rule = { id: String(nextId++), value, tag: tag ?? '' };
        rules.push(rule);
        data.push(rule);
      }
    }
    return { status: 201, body: { ...(data.length === 0 ? {} : { data }), ...(errors.length === 0 ? {} : { errors }),
      meta: { sent: new Date(now()).toISOString(), summary: { created: data.length, not_created: errors.length } } } };
  }

  function search(query: URLSearchParams): FakeAnswer {
    const end = Date.parse(query.get('end_time') ?? '');
    const start = Date.parse(query.get('start_time') ?? '');
    const text = query.get('query') ?? '';
    const refuse = (message: string): FakeAnswer => ({ status: 400, body: { errors: [{ parameters: {}, message }], title: 'Invalid Request',
      detail: 'One or more parameters to your request was invalid.', type: problem('invalid-request') } });
    if (text.length > 512) return refuse('the query is longer than 512 characters');
    if (end > now() - 10_000) return refuse('end_time must be a minimum of 10 seconds prior to the request time');
    if (start < now() - 7 * 86_400_000) return refuse('start_time must be on or after 7 days ago');
    const found = published.filter((post) => post.createdAtMs >= start && post.createdAtMs < end && judge(text, post) === true)
      .toSorted((a, b) => b.createdAtMs - a.createdAtMs);
    const from = Number(query.get('next_token') ?? 0);
    const page = found.slice(from, from + (options.pageSize ?? Number(query.get('max_results') ?? 10)));
    const next = from + page.length < found.length ? { next_token: String(from + page.length) } : {};
    const users = [...new Map(page.map((post) => [post.author.id, post.author])).values()];
    return { status: 200, body: page.length === 0 ? { meta: { result_count: 0 } }
      : { data: page.map(postJson), includes: { users }, meta: { result_count: page.length, ...next } } };
  }

  function openStream(response: ServerResponse): void {
    if (rules.length === 0) {
      return send(response, { status: 409, body: { title: 'ConnectionException', detail: 'You must define rules before connecting',
        connection_issue: 'RuleConfigurationIssue', type: problem('rule-configuration-issue') } });
    }
    if (stream !== undefined) {
      return send(response, { status: 429, headers: { 'x-rate-limit-limit': '50', 'x-rate-limit-remaining': '40',
        'x-rate-limit-reset': String(Math.floor(now() / 1000) + 840) }, body: tooMany });
    }
    response.socket?.setNoDelay(true);
    response.writeHead(200, { 'content-type': 'application/json; charset=utf-8', date: new Date(now()).toUTCString() });
    response.flushHeaders();
    response.on('close', () => { if (stream === response) stream = undefined; });
    stream = response;
    opened++;
  }

  // Each write has a turn of the event loop for itself, so that it arrives as a chunk for itself.
  let writes = Promise.resolve();
  let silence: PromiseWithResolvers<void> | undefined;
  const later = (write: (open: ServerResponse) => void): void => {
    const open = stream;
    if (open === undefined) return;
    writes = writes.then(async () => {
      await silence?.promise;
      write(open);
      await new Promise((resolve) => setImmediate(resolve));
    });
  };

  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;

  const fake: FakeX = {
    url: `http://127.0.0.1:${port}`,
    token, rules, requests, delivered, missed,
    opened: () => opened,
    connected: () => stream !== undefined,
    waitingBytes: () => stream?.writableLength ?? 0,
    makePost(text, createdAtMs = now()) {
      const number = Math.floor(random() * 1000);
      return { id: String(nextId++), text, lang: 'en', createdAtMs, author: { id: String(10_000 + number), username: `person${number}` } };
    },
    publish(post) {
      published.push(post);
      const matching = rules.filter((rule) => judge(rule.value, post) === true);
      if (matching.length === 0) return;
      if (stream === undefined) {
        missed.push(post);
        return;
      }
      const json = JSON.stringify({ data: postJson(post), includes: { users: [post.author], ...quotedOf(post) },
        matching_rules: matching.map(({ id, tag }) => ({ id, tag })) });
      delivered.push({ id: post.id, json, tags: matching.map(({ tag }) => tag) });
      // Cut anywhere, also within a character: each write is a chunk of its own.
      const sizes = Array.from({ length: Math.floor(random() * 4) }, () => 1 + Math.floor(random() * 200));
      fake.raw(`${json}\r\n${random() < 0.3 ? '\r\n' : ''}`, sizes);
    },
    answer: (what, ...answers) => { planned[what].push(...answers); },
    raw(bytes, chunkBytes = []) {
      const whole = Buffer.from(bytes);
      let at = 0;
      for (const size of [...chunkBytes, whole.length]) {
        const piece = whole.subarray(at, at + size);
        if (at < whole.length) later((open) => { open.write(piece); });
        at += size;
      }
    },
    silence(on) {
      silence?.resolve();
      silence = on ? Promise.withResolvers() : undefined;
    },
    keepAlive: () => later((open) => { open.write('\r\n'); }),
    disconnect() {
      const farewell = `${JSON.stringify({ errors: [{ title: 'operational-disconnect', disconnect_type: 'UpstreamOperationalDisconnect',
        detail: 'This stream has been disconnected upstream for operational reasons.', type: problem('operational-disconnect') }] })}\r\n`;
      later((open) => { open.end(farewell); });
      stream = undefined;
    },
    end() {
      later((open) => { open.end(); });
      stream = undefined;
    },
    break() {
      later((open) => { open.destroy(); });
      stream = undefined;
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return fake;
}

/** The body X answers with when an app opens a second stream. */
export const tooMany = { title: 'ConnectionException', detail: 'This stream is currently at the maximum allowed connection limit.',
  connection_issue: 'TooManyConnections', type: problem('streaming-connection') };

const probe: JudgedPost = { text: '', lang: 'en', author: { id: '1', username: 'a' } };

function postJson(post: FakePost): Record<string, unknown> {
  return {
    id: post.id, text: post.text, created_at: new Date(post.createdAtMs).toISOString(), author_id: post.author.id, lang: post.lang,
    edit_history_tweet_ids: [post.id],
    ...(post.quotedText === undefined ? {} : { referenced_tweets: [{ type: 'quoted', id: `9${post.id}` }] }),
  };
}

function quotedOf(post: FakePost): Record<string, unknown> {
  return post.quotedText === undefined ? {} : { tweets: [{ id: `9${post.id}`, text: post.quotedText }] };
}
