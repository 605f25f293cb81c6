import { jest } from '@jest/globals';
import { startFakeX, tooMany, type FakeX } from '#test/world/x.ts';
import { startStrangeServer } from '#test/world/certificate.ts';
import { start } from '#test/world/x-run.ts';

jest.setTimeout(20_000);

// Each test is named after a trap of X's documentation or of twitter-api-v2's stream (facts/sources.md §3.1 and §3.2).

test('sources 3.2: a character cut at a chunk border stays whole, whatever the chunks', async () => {
  await using run = await start({ seed: 7 });
  await run.until(() => run.fake.connected());
  const texts = Array.from({ length: 60 }, (_, index) => `flood 👩‍👩‍👦‍👦 洪水 مرحبا ${index} #abflood`);
  for (const text of texts) run.fake.publish(run.fake.makePost(text));
  run.fake.raw(`{"data":{"id":"1","text":"flood 🐍"},"matching_rules":[{"id":"1","tag":"${run.fake.rules[0]?.tag}"}]}\r\n`,
    Array.from({ length: 200 }, () => 1));
  await run.until(() => run.posts().length === 61);
  expect(run.posts().slice(0, 60)).toEqual(run.fake.delivered.map(({ json }) => json));
  expect(run.posts().map((body) => JSON.parse(body).data.text)).toEqual([...texts, 'flood 🐍']);
});

test('peers g2 1, sources 3.2: keep-alives are passed over and take no post with them, alone in a chunk, within one, and several', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  run.fake.keepAlive();
  const [first, second] = [run.fake.makePost('flood one'), run.fake.makePost('flood two')];
  run.fake.raw('\r\n\r\n');
  run.fake.publish(first);
  run.fake.raw('\r', [1]);
  run.fake.raw('\n\r\n');
  run.fake.publish(second);
  await run.until(() => run.posts().length === 2);
  expect(run.posts()).toEqual(run.fake.delivered.map(({ json }) => json));
  expect(run.items.filter((item) => item.kind === 'dead')).toEqual([]);
});

test('peers g1 7, sources 3.1 and 3.2: a stream without a byte for 20 s is given up within 25 s; one with keep-alives is not', async () => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  const openedAt = run.clock?.now() ?? 0;
  for (let beat = 0; beat < 10; beat++) {
    await run.clock?.advance(15_000);
    const told = run.items.length;
    run.fake.keepAlive();
    // The cursor moves on with a keep-alive, without the clock.
    await run.until(() => run.items.length > told, 0);
  }
  expect(run.fake.opened()).toBe(1);
  const silentSince = run.clock?.now() ?? 0;
  expect(silentSince - openedAt).toBeGreaterThan(120_000);
  await run.until(() => run.fake.opened() === 2, 500);
  expect((run.clock?.now() ?? 0) - silentSince).toBeLessThan(25_000);
  expect(run.journal('disconnected')[0]).toMatchObject({ cause: 'silent' });
});

test('sources 3.2: a slow consumer is no silent stream, and holds the reader back', async () => {
  let taken = 0;
  const gate = Promise.withResolvers<void>();
  await using run = await start({ manual: true, consume: async (item) => {
    if (item.kind === 'post' && ++taken === 1) await gate.promise;
  } });
  await run.until(() => run.fake.connected());
  for (let index = 0; index < 1500; index++) run.fake.publish(run.fake.makePost(`flood ${index}`));
  await run.until(() => taken === 1);
  for (let second = 0; second < 60; second++) await run.clock?.advance(1000);
  expect(run.posts().length).toBe(1);
  gate.resolve();
  await run.until(() => run.posts().length === 1500, 0);
  expect(run.fake.opened()).toBe(1);
  expect(run.posts()).toEqual(run.fake.delivered.map(({ json }) => json));
});

test('sources 3.1: an operational disconnect within the stream is survived, and what was missed is a gap that search fills', async () => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected());
  run.fake.publish(run.fake.makePost('flood before'));
  await run.until(() => run.posts().length === 1);
  run.fake.disconnect();
  const lost = run.fake.makePost('flood lost');
  run.fake.publish(lost);
  expect(run.fake.missed).toEqual([lost]);
  await run.until(() => run.fake.opened() === 2, 10);
  run.fake.publish(run.fake.makePost('flood after'));
  await run.until(() => run.journal('gap').some((gap) => gap.filledAtMs !== undefined), 1000);
  const ids = run.posts().map((body) => JSON.parse(body).data.id);
  for (const id of [lost.id, ...run.fake.delivered.map((sent) => sent.id)]) expect(ids).toContain(id);
  const [noticed, filled] = run.journal('gap');
  expect(noticed).toMatchObject({ cause: 'operational-disconnect' });
  expect(noticed?.filledAtMs).toBeUndefined();
  expect(filled).toMatchObject({ cause: 'operational-disconnect', sinceMs: noticed?.sinceMs, untilMs: noticed?.untilMs });
  expect(lost.createdAtMs).toBeGreaterThanOrEqual(noticed?.sinceMs ?? Infinity);
  expect(lost.createdAtMs).toBeLessThanOrEqual(noticed?.untilMs ?? 0);
});

test.each([['ended without a word', 'closed by X', (fake: FakeX) => fake.end()],
  ['broken off', 'UND_ERR_SOCKET', (fake: FakeX) => fake.break()]])('sources 3.1: a stream %s is opened again at once', async (_, cause, cut) => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  cut(run.fake);
  await run.until(() => run.fake.opened() === 2, 0);
  expect(run.journal('disconnected')[0]).toMatchObject({ cause });
});

test('sources 3.2: a stream that closes again and again is no tight loop, and is opened each time', async () => {
  await using run = await start({ manual: true });
  const began = run.clock?.now() ?? 0;
  for (let turn = 1; turn <= 12; turn++) {
    await run.until(() => run.fake.opened() === turn && run.fake.connected(), 125);
    run.fake.end();
  }
  // 0 + 250 + 500 + … + 2500 ms.
  expect((run.clock?.now() ?? 0) - began).toBeGreaterThanOrEqual(10 * 11 / 2 * 250);
});

test('peers g1 7, sources 3.1 and 3.2: 503, 429 with and without a reset header, TooManyConnections: survived, each at its own pace', async () => {
  await using run = await start({ manual: true });
  const { fake } = run;
  const began = run.clock?.now() ?? 0;
  fake.answer('stream', { status: 503, body: 'Service Unavailable' }, { status: 503 },
    { status: 429, headers: { 'x-rate-limit-reset': String(Math.floor(began / 1000) + 60) }, body: { title: 'Too Many Requests' } },
    { status: 429, body: tooMany }, { status: 429, body: tooMany });
  const at: number[] = [];
  for (let attempt = 1; attempt <= 6; attempt++) {
    await run.until(() => fake.requests.filter(({ path }) => path === '/2/tweets/search/stream').length === attempt, 1000);
    at.push((run.clock?.now() ?? 0) - began);
  }
  const waits = at.slice(1).map((ms, index) => ms - (at[index] ?? 0));
  expect(waits[0]).toBeGreaterThanOrEqual(5000);
  expect(waits[1]).toBeGreaterThanOrEqual(10_000);
  expect((at[3] ?? 0)).toBeGreaterThanOrEqual(60_000);
  expect((at[3] ?? 0)).toBeLessThan(66_000);
  expect(waits[3]).toBeGreaterThanOrEqual(60_000);
  expect(waits[4]).toBeGreaterThanOrEqual(120_000);
  await run.until(() => fake.connected());
  expect(run.journal('rate_limited').map(({ cause }) => cause)).toEqual(['Too Many Requests', 'TooManyConnections', 'TooManyConnections']);
});

test('sources 3.1: 409 means that the stream has no rules: they are set again', async () => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected());
  run.fake.answer('stream', { status: 409, body: {
    title: 'ConnectionException', detail: 'You must define rules before connecting', connection_issue: 'RuleConfigurationIssue' } });
  run.fake.end();
  await run.until(() => run.journal('disconnected').some(({ cause }) => cause === 'RuleConfigurationIssue'), 250);
  run.fake.rules.length = 0;
  await run.until(() => run.fake.rules.length === 1 && run.fake.connected(), 250);
});

test('rules that somebody else took away while the connection was lost are set again before the next one, and told', async () => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected());
  const told = run.journal('rules_changed').length;
  run.fake.rules.length = 0;
  run.fake.end();
  await run.until(() => run.fake.rules.length === 1 && run.fake.connected(), 250);
  expect(run.journal('rules_changed')).toHaveLength(told + 1);
  expect(run.journal('disconnected').map(({ cause }) => cause)).not.toContain('RuleConfigurationIssue');
});

test('sources 3.2: a ConnectionException that arrives within the stream is no post', async () => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected());
  run.fake.raw(`${JSON.stringify(tooMany)}\r\n`);
  await run.until(() => run.journal('rate_limited').length === 1);
  expect(run.journal('rate_limited')[0]).toMatchObject({ cause: 'TooManyConnections' });
  expect(run.posts()).toEqual([]);
});

test('peers g1 7, sources 3.1: unknown messages, broken JSON, wrong encoding and an endless line are set aside, and the stream goes on', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  run.fake.raw('{"system":{"lag":3}}\r\n{"data":{"id":"1"\r\n<html>\r\n');
  run.fake.raw(Buffer.concat([Buffer.from('{"data":{"id":"1","text":"'), Buffer.from([0xff]), Buffer.from('"}}\r\n')]));
  run.fake.raw(`{"data":{"id":"1","text":"${'x'.repeat(5 * 1024 * 1024)}"}}\r\n`, [100_000, 3_000_000]);
  run.fake.raw(`${JSON.stringify({ errors: [{ title: 'Something New', detail: 'x' }] })}\r\n`);
  run.fake.publish(run.fake.makePost('flood after all that'));
  await run.until(() => run.posts().length === 1);
  expect(run.items.filter((item) => item.kind === 'dead').map(({ reason }) => reason)).toEqual(['a message of an unknown type: system',
    'it is no JSON', 'it is no JSON', 'it is not UTF-8', 'it is too long for a post', 'an error that X sent: Something New']);
  expect(run.fake.opened()).toBe(1);
});

test('sources 3.1: duplicates and any order are passed on as they come: keeping a post once is the writer\'s business', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  const post = run.fake.makePost('flood twice');
  run.fake.publish(post);
  run.fake.publish(run.fake.makePost('flood once'));
  run.fake.publish(post);
  await run.until(() => run.posts().length === 3);
});

test('a wrong token ends the source with `unauthorized`', async () => {
  await using run = await start({ token: 'wrong' });
  expect(await run.ended).toMatchObject({ code: 'unauthorized', message: expect.stringContaining('401') });
});

test('a revoked token, and a plan without the stream, end it too', async () => {
  await using run = await start({ manual: true });
  await run.until(() => run.fake.connected());
  run.fake.answer('stream', { status: 403, body: { title: 'Client Forbidden', detail: 'When authenticating requests …' } });
  run.fake.end();
  await run.until(() => run.over());
  expect(await run.ended).toMatchObject({ code: 'unauthorized', message: expect.stringContaining('Client Forbidden') });
});

test('peers g1 8, sources 3.2: the token is in the header of requests and nowhere else', async () => {
  await using run = await start({ manual: true });
  const { fake } = run;
  fake.answer('rules', { status: 503, body: `echo ${fake.token}` });
  fake.answer('stream', { status: 500, body: { title: 'x', detail: 'y' } });
  await run.until(() => fake.connected(), 1000);
  for (const { path, query, body, headers } of fake.requests) {
    expect(`${path}?${query} ${body}`).not.toContain(fake.token);
    expect(headers['user-agent']).toMatch(/^watershed /);
  }
  expect(JSON.stringify(run.items)).not.toContain(fake.token);
  fake.answer('stream', { status: 401, body: { title: 'Unauthorized' } });
  fake.end();
  await run.until(() => run.over());
  const error = await run.ended;
  const seen = new Set<unknown>();
  const everything = (value: unknown): string => {
    if (typeof value !== 'object' || value === null || seen.has(value)) return String(value);
    seen.add(value);
    return Reflect.ownKeys(value).map((key) => everything(Reflect.get(value, key))).join(' ');
  };
  expect(everything(error)).toContain('401');
  expect(everything(error)).not.toContain(fake.token);
});

test('a network that is not there is waited for', async () => {
  const gone = await startFakeX();
  await gone[Symbol.asyncDispose]();
  await using run = await start({ manual: true, on: gone });
  await run.until(() => run.journal('rules_changed').length >= 2, 1000);
  expect(run.journal('rules_changed')[0]?.cause).toContain('ECONNREFUSED');
});

test('a redirect is not followed: the token goes nowhere else', async () => {
  await using elsewhere = await startFakeX();
  await using run = await start({ manual: true });
  run.fake.answer('stream', ...Array.from({ length: 3 }, () => ({ status: 307, headers: { location: `${elsewhere.url}/2/tweets/search/stream` } })));
  await run.until(() => run.fake.connected(), 500);
  expect(elsewhere.requests).toEqual([]);
  expect(run.journal('disconnected')[0]).toMatchObject({ cause: 'http 307, a redirect' });
});

test('a server that speaks no TLS, or not the one of X, is waited for at a growing pace', async () => {
  await using fake = await startFakeX();
  await using run = await start({ manual: true, on: { ...fake, url: fake.url.replace('http:', 'https:') } });
  await run.until(() => run.journal('rules_changed').length === 4, 1000);
  expect(run.journal('rules_changed').map(({ detail }) => detail?.['waitMs'])).toEqual([5000, 10_000, 20_000, 40_000]);
  expect(run.journal('rules_changed')[0]?.cause).toMatch(/EPROTO|SSL/);
});

test('a name that DNS does not know is waited for at a growing pace', async () => {
  await using fake = await startFakeX();
  await using run = await start({ manual: true, on: { ...fake, url: 'http://there-is-no-such-host.invalid' } });
  await run.until(() => run.journal('rules_changed').length === 3, 1000);
  expect(run.journal('rules_changed')[0]?.cause).toMatch(/ENOTFOUND|EAI_AGAIN/);
  expect(run.journal('rules_changed').map(({ detail }) => detail?.['waitMs'])).toEqual([5000, 10_000, 20_000]);
});

test('a certificate that nobody vouches for: the token is not shown to whoever has it', async () => {
  await using strange = await startStrangeServer();
  await using fake = await startFakeX();
  await using run = await start({ manual: true, on: { ...fake, url: `https://${strange.address}` } });
  await run.until(() => run.journal('rules_changed').length === 2, 1000);
  expect(run.journal('rules_changed')[0]?.cause).toContain('SELF_SIGNED');
  expect(strange.requests()).toBe(0);
});

test('a redirect loop of the rules is not followed and no tight loop', async () => {
  await using run = await start({ manual: true });
  run.fake.answer('rules', ...Array.from({ length: 3 }, () => ({ status: 302, headers: { location: `${run.fake.url}/2/tweets/search/stream/rules` } })));
  await run.until(() => run.fake.connected(), 500);
  const refused = run.journal('rules_changed').filter(({ cause }) => cause?.endsWith('failed: a redirect'));
  expect(refused.map(({ detail }) => detail?.['waitMs'])).toEqual([5000, 10_000, 20_000]);
});
