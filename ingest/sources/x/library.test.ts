import { Agent } from 'node:http';
import { ETwitterStreamEvent, TwitterApi, type TweetStream } from 'twitter-api-v2';
import { startFakeX, tooMany, type FakeX } from '#test/world/x.ts';

// Why docs/adr/0008 reads the stream without twitter-api-v2: each trap shown on the version that is installed. When one of
// these tests fails, the library has learned something, and the decision may be looked at again.

async function libraryStream(fake: FakeX): Promise<TweetStream> {
  fake.rules.push({ id: '1', value: 'flood', tag: '' });
  const client = new TwitterApi(fake.token, { httpAgent: new Agent() }).v2;
  return await client.getStream('tweets/search/stream', {}, { prefix: `${fake.url}/2/` });
}

/** The first thing that the stream takes for a post. */
function firstData(stream: TweetStream): Promise<unknown> {
  return new Promise((resolve) => { stream.on(ETwitterStreamEvent.Data, resolve); });
}

test('twitter-api-v2 spoils a character that is cut at a chunk border', async () => {
  await using fake = await startFakeX();
  const stream = await libraryStream(fake);
  const said = firstData(stream);
  const line = '{"data":{"id":"1","text":"flood 🐍"}}\r\n';
  fake.raw(line, [Buffer.byteLength(line.slice(0, line.indexOf('🐍'))) + 2]);
  expect(JSON.stringify(await said)).toContain('\ufffd');
  stream.destroy();
});

test('twitter-api-v2 takes a bare ConnectionException for a post', async () => {
  await using fake = await startFakeX();
  const stream = await libraryStream(fake);
  const said = firstData(stream);
  fake.raw(`${JSON.stringify(tooMany)}\r\n`);
  expect(await said).toMatchObject({ connection_issue: 'TooManyConnections' });
  stream.destroy();
});

test('twitter-api-v2 waits two minutes for a sign of life, gives up after five tries and does not reconnect unless told', async () => {
  await using fake = await startFakeX();
  const stream = await libraryStream(fake);
  expect(stream).toMatchObject({ keepAliveTimeoutMs: 120_000, autoReconnectRetries: 5, autoReconnect: false });
  stream.destroy();
});

test('twitter-api-v2 knows one series of waits for every kind of error, whatever the headers say', async () => {
  await using fake = await startFakeX();
  const stream = await libraryStream(fake);
  const wait: unknown = Reflect.apply(stream.nextRetryTimeout, stream, [1, { code: 429, rateLimit: { reset: 9e9 } }]);
  expect(wait).toBe(Reflect.apply(stream.nextRetryTimeout, stream, [1, new Error('ECONNRESET')]));
  stream.destroy();
});

test('the error of a request of twitter-api-v2 holds the token, and its `requestError` nothing', async () => {
  const gone = await startFakeX();
  await gone[Symbol.asyncDispose]();
  const client = new TwitterApi(gone.token, { httpAgent: new Agent() }).v2;
  const error = await client.get('tweets/search/recent', {}, { prefix: `${gone.url}/2/` }).catch((caught: unknown) => caught);
  expect(Reflect.get(Object(error), 'requestError')).toBeUndefined();
  const request = Reflect.get(Object(error), 'request');
  expect(request.getHeader('authorization')).toContain(gone.token);
});
