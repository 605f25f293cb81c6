import { readFileSync } from 'node:fs';
import { event, run } from '#test/world/bluesky-run.ts';

test('accounts are followed by handle or DID, also when a handle goes to somebody else', async () => {
  const r = await run({ events: [], before: (network) => {
    network.handles.set('nws.bsky.social', 'did:plc:aaaaaaaaaaaaaaaaaaaaaaaa');
  } });
  await using _run = r;
  const [weather, other, person] = ['did:plc:aaaaaaaaaaaaaaaaaaaaaaaa', 'did:plc:bbbbbbbbbbbbbbbbbbbbbbbb', 'did:plc:cccccccccccccccccccccccc'];
  r.setEvents([event('weather', [], { rule: { accounts: ['@NWS.bsky.social', person ?? '', 'nobody.example.org', 'XHandle'] } })]);
  await r.until(() => r.hosts[0]?.connected() === 1);
  const post = (did: string | undefined): string => r.network.post({ text: 'good morning', ...(did === undefined ? {} : { did }) }).id;
  const ids = [post(weather), post(person)];
  post(other);
  post(undefined);
  await r.until(() => r.posts().length === 2);
  r.network.identity(other ?? '', 'nws.bsky.social');
  ids.push(post(other));
  post(weather);
  ids.push(post(person));
  await r.until(() => r.posts().length === 4);
  expect(r.posts()).toEqual(ids.map((id) => `${id} weather`));
  expect(r.items.filter(({ kind }) => kind === 'post').map((item) => item.kind === 'post' && item.events[0]?.matched)).toEqual([
    ['@NWS.bsky.social'], [person], ['@NWS.bsky.social'], [person],
  ]);
});

test('the events of the real network are understood', async () => {
  const golden = readFileSync(new URL('../../../test/vectors/jetstream/golden_v1.jsonl', import.meta.url), 'utf8').trim().split('\n');
  await using r = await run({ events: [event('rsv', ['RSV'])] });
  await r.until(() => r.hosts[0]?.connected() === 1);
  for (const line of golden) r.network.raw(line);
  await r.until(() => r.tombstones().length === 1);
  await r.until(() => (r.dropped.get('identity') ?? 0) === 1, 500);
  expect(r.posts()).toEqual(['3mmoojp4cd223/did:plc:q235v55g5unth4zjjdpacfdr rsv']);
  expect(r.tombstones()).toEqual(['author did:plc:g4ut2w5755qxi3fe7mfs72p4 back active']);
  expect(r.dead()).toEqual([]);
  expect(r.dropped.get('other collection')).toBe(7);
});

test('an address that is none is refused with a sentence; a wrong path and a strange certificate are waited out', async () => {
  const { blueskySource } = await import('./bluesky.ts');
  await using r = await run();
  const source = blueskySource({ urls: ['https://example.org'], clock: r.clock, random: () => 0, resolveHandle: async () => undefined });
  const iterator = source.read({ cursor: undefined, events: { current: () => [], changed: async () => undefined, during: async () => [] }, signal: new AbortController().signal });
  await expect(iterator[Symbol.asyncIterator]().next()).rejects.toMatchObject({ code: 'bad_config' });
  r.hosts[0]?.refuse(404);
  r.hosts[0]?.break();
  await r.until(() => r.journal('disconnected').some(({ cause }) => cause?.includes('404')), 100);
});

test('a stored cursor that is not ours stops the source', async () => {
  await using r = await run({ cursor: 'nonsense' });
  await expect(r.stop()).rejects.toMatchObject({ code: 'corrupt' });
});
