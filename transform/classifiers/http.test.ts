import { createServer, type RequestListener, type Server } from 'node:http';
import { once } from 'node:events';
import { systemClock, type Clock } from '#core/clock.ts';
import { describeClassifier } from './classifier.suite.ts';
import type { Classifier } from './classifier.ts';
import { createHttpClassifier, type HttpOptions } from './http.ts';

/** Sleeps take no time, so that retries need not be waited for; timers are real. */
const clock: Clock = { ...systemClock, sleep: () => new Promise((resolve) => setImmediate(resolve)) };

async function serve(listener: RequestListener): Promise<{ url: string; server: Server } & AsyncDisposable> {
  const server = createServer(listener);
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    server,
    url: `http://127.0.0.1:${address.port}/v1`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

interface Asked {
  readonly posts: { readonly n: number; readonly text: string }[];
}

/** A model that keeps to the labels: relevant is what speaks of water. */
const judge = ({ posts }: Asked): unknown[] =>
  posts.map(({ n, text }) => ({
    n,
    relevance: /water/i.test(text) ? 'relevant' : 'not_relevant',
    information_type: 'other_useful_information',
    language: 'en',
    confidence: 0.75,
  }));

const answering =
  (answer: (asked: Asked, request: { headers: Record<string, unknown> }) => unknown): RequestListener =>
  (request, response) => {
    let body = '';
    request.on('data', (part: Buffer) => (body += part.toString()));
    request.on('end', () => {
      const asked = JSON.parse(
        (JSON.parse(body) as { messages: { content: string }[] }).messages[1]?.content ?? '',
      ) as Asked;
      const content = answer(asked, { headers: request.headers });
      response.setHeader('content-type', 'application/json');
      response.end(
        JSON.stringify({
          choices: [
            {
              message: { role: 'assistant', content: typeof content === 'string' ? content : JSON.stringify(content) },
            },
          ],
        }),
      );
    });
  };

const open = (url: string, more: Partial<HttpOptions> = {}): Classifier =>
  createHttpClassifier({
    baseUrl: url,
    model: 'test/model',
    clock,
    batchPosts: 4,
    concurrency: 2,
    timeoutMs: 2_000,
    attempts: 3,
    budgetPosts: 1000,
    cachePosts: 100,
    ...more,
  });

const posts = (texts: readonly string[]) => texts.map((text) => ({ eventId: 'e', text, lang: 'en' }));

describe('with a server that answers', () => {
  let served: Awaited<ReturnType<typeof serve>>;
  beforeAll(async () => (served = await serve(answering((asked) => ({ answers: judge(asked) })))));
  afterAll(async () => served[Symbol.asyncDispose]());
  describeClassifier('http', async () => open(served.url));
});

test('asks in batches, about each text once, and remembers', async () => {
  const sizes: number[] = [];
  await using served = await serve(
    answering((asked, { headers }) => {
      expect(headers['authorization']).toBe('Bearer key');
      sizes.push(asked.posts.length);
      return { answers: judge(asked) };
    }),
  );
  const classifier = open(served.url, { apiKey: 'key', concurrency: 1 });
  const texts = ['a', 'b', 'c', 'd', 'e', 'a', 'water'];
  const first = await classifier.classify(posts(texts), new Map());
  expect(first.answers.map(([answer]) => answer?.label)).toEqual([
    ...Array.from({ length: 6 }, () => 'not_relevant'),
    'relevant',
  ]);
  expect(sizes).toEqual([4, 2]);
  await classifier.classify(posts(texts), new Map());
  expect(sizes).toEqual([4, 2]);
});

test('asks again about posts whose answer is missing, has an unknown label or is rubbish', async () => {
  let round = 0;
  const asked: string[][] = [];
  await using served = await serve(
    answering((request) => {
      round++;
      asked.push(request.posts.map(({ text }) => text));
      if (round === 1) return 'Sure! Here is what I think.';
      const answers = judge(request);
      if (round === 2) return { answers: [answers[0], { ...(answers[1] as object), relevance: 'maybe' }] };
      return '```json\n' + JSON.stringify({ answers }) + '\n```';
    }),
  );
  const { answers } = await open(served.url).classify(posts(['one', 'two', 'three']), new Map());
  expect(answers).toHaveLength(3);
  expect(asked).toEqual([
    ['one', 'two', 'three'],
    ['one', 'two', 'three'],
    ['two', 'three'],
  ]);
});

test.each([
  ['only rubbish', answering(() => 'no'), 'bad_request'],
  [
    'labels nobody knows',
    answering(() => ({ answers: [{ n: 1, relevance: 'x', information_type: 'y', language: 'en' }] })),
    'bad_request',
  ],
  ['500', ((_request, response) => response.writeHead(500).end()) as RequestListener, 'unavailable'],
  ['429', ((_request, response) => response.writeHead(429).end()) as RequestListener, 'rate_limited'],
  ['401', ((_request, response) => response.writeHead(401).end()) as RequestListener, 'unauthorized'],
  ['404', ((_request, response) => response.writeHead(404).end()) as RequestListener, 'bad_config'],
  ['a closed connection', ((request) => request.socket.destroy()) as RequestListener, 'unavailable'],
  ['too much', ((_request, response) => response.end('x'.repeat(2_000_000))) as RequestListener, 'bad_request'],
])('an endpoint that answers %s ends with a clear error', async (_what, listener, code) => {
  await using served = await serve(listener);
  await expect(open(served.url).classify(posts(['a']), new Map())).rejects.toMatchObject({ code });
});

test('an endpoint that never answers, or drips, is given up after the time-out', async () => {
  for (const listener of [
    () => undefined,
    (_request: unknown, response: { write(text: string): void }) => response.write('{'),
  ]) {
    await using served = await serve(listener);
    const asked = open(served.url, { timeoutMs: 50, attempts: 2 }).classify(posts(['a']), new Map());
    await expect(asked).rejects.toMatchObject({ code: 'unavailable', message: expect.stringContaining('50 ms') });
  }
});

test('stops asking when the budget is spent, and goes on a day later', async () => {
  await using served = await serve(answering((asked) => ({ answers: judge(asked) })));
  let nowMs = 0;
  const classifier = open(served.url, { budgetPosts: 3, clock: { ...clock, now: () => nowMs } });
  await classifier.classify(posts(['a', 'b']), new Map());
  await expect(classifier.classify(posts(['c', 'd']), new Map())).rejects.toMatchObject({ code: 'limit_exceeded' });
  await classifier.classify(posts(['a', 'c']), new Map());
  nowMs = 86_400_001;
  expect((await classifier.classify(posts(['d', 'e', 'f']), new Map())).answers).toHaveLength(3);
});

test('its own stop ends the wait', async () => {
  await using served = await serve(() => undefined);
  const stop = new AbortController();
  const asked = open(served.url).classify(posts(['a']), new Map(), stop.signal);
  setImmediate(() => stop.abort(new Error('stop')));
  await expect(asked).rejects.toThrow('stop');
});
