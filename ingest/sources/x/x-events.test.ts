import { jest } from '@jest/globals';
import type { CrisisEvent } from '#core/contract/event.ts';
import { crisis, flood, start } from '#test/world/x-run.ts';
import { startFakeX } from '#test/world/x.ts';

jest.setTimeout(20_000);

const ourRules = (rules: readonly { value: string; tag: string }[]): [string, string][] => rules.map(({ value, tag }) => [tag, value]);

test('sources 3.1: X says to which events a post belongs, our matcher which terms matched, also in what it quotes', async () => {
  await using run = await start({ events: [flood, crisis('calgary', ['calgary', '"high river"'])] });
  await run.until(() => run.fake.connected());
  run.fake.publish({ ...run.fake.makePost('Flood in High River &amp; Calgary'), quotedText: 'stay safe #ABflood' });
  run.fake.publish(run.fake.makePost('calgary only'));
  run.fake.publish(run.fake.makePost('nothing of ours'));
  await run.until(() => run.posts().length === 2);
  expect(run.items.flatMap((item) => item.kind === 'post' ? [item.events] : [])).toEqual([
    [{ id: 'flood', matched: ['flood', '#abflood'] }, { id: 'calgary', matched: ['calgary', '"high river"'] }],
    [{ id: 'calgary', matched: ['calgary'] }],
  ]);
});

test('sources 3.1: a changed event is a changed rule, for tags cannot be changed: added before the old one is deleted, without a new connection', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  run.fake.requests.length = 0;
  run.feed.set([{ ...flood, rule: { any: ['deluge'] }, version: 2 }]);
  await run.until(() => run.journal('rules_changed').length === 2);
  expect(ourRules(run.fake.rules)).toEqual([['watershed:flood/0', '"deluge"']]);
  const changes = run.fake.requests.filter(({ method }) => method === 'POST').map(({ body }) => Object.keys(JSON.parse(body))[0]);
  expect(changes).toEqual(['add', 'delete']);
  expect(run.journal('rules_changed')[1]).toMatchObject({ detail: { added: 1, deleted: 1 } });
  run.fake.publish(run.fake.makePost('a deluge'));
  await run.until(() => run.posts().length === 1);
  expect(run.fake.opened()).toBe(1);
});

test('sources 3.2: what is right at X is left alone, and so are rules that somebody else made', async () => {
  await using fake = await startFakeX();
  fake.rules.push({ id: '1', value: '("flood" OR #abflood)', tag: 'watershed:flood/0' }, { id: '2', value: 'cats', tag: 'a colleague' },
    { id: '3', value: '"old"', tag: 'watershed:gone/0' });
  await using run = await start({ on: fake });
  await run.until(() => fake.connected());
  expect(ourRules(fake.rules)).toEqual([['watershed:flood/0', '("flood" OR #abflood)'], ['a colleague', 'cats']]);
  fake.publish(fake.makePost('cats'));
  await run.until(() => run.dropped.length === 1);
  expect(run.posts()).toEqual([]);
});

test('two events that ask for the same share a rule; one that a colleague asks for already is theirs and ours', async () => {
  await using fake = await startFakeX();
  fake.rules.push({ id: '77', value: '"fire"', tag: 'a colleague' });
  await using run = await start({ on: fake, events: [crisis('one', ['flood']), crisis('two', ['flood']), crisis('three', ['fire'])] });
  await run.until(() => fake.connected());
  fake.publish(fake.makePost('flood and fire'));
  await run.until(() => run.posts().length === 1);
  expect(run.items.flatMap((item) => item.kind === 'post' ? item.events.map(({ id }) => id) : []).toSorted()).toEqual(['one', 'three', 'two']);
});

test('a rule that becomes that of another event, is shared, and is shared no more, is never away', async () => {
  const [one, two] = [crisis('one', ['flood']), crisis('two', ['fire'])];
  await using run = await start({ events: [one, two] });
  await run.until(() => run.fake.connected());
  const eventsOfLast = (): string[] => run.items.flatMap((item) => item.kind === 'post' ? [item.events.map(({ id }) => id).toSorted().join()] : []);
  const steps: [CrisisEvent[], string, string][] = [
    [[one, { ...two, version: 2, rule: { any: ['flood'] } }], 'flood', 'one,two'],
    [[{ ...one, version: 2, rule: { any: ['rain'] } }, { ...two, version: 2, rule: { any: ['flood'] } }], 'flood', 'two'],
    [[{ ...one, version: 3, rule: { any: ['flood'] } }, { ...two, version: 3, rule: { any: ['rain'] } }], 'rain', 'two'],
    [[{ ...one, version: 3, rule: { any: ['flood'] } }, { ...two, version: 3, rule: { any: ['rain'] } }, crisis('three', ['flood'])], 'flood', 'one,three'],
  ];
  for (const [index, [events, word, expected]] of steps.entries()) {
    run.feed.set(events);
    await run.until(() => run.journal('rules_changed').length === index + 2);
    expect(new Set(run.fake.rules.map(({ tag }) => tag)).size).toBe(run.fake.rules.length);
    run.fake.publish(run.fake.makePost(word));
    await run.until(() => run.posts().length === index + 1);
    expect(eventsOfLast().at(-1)).toBe(expected);
  }
  const deletions = run.fake.requests.filter(({ body }) => body.includes('delete')).map(({ body }) => body);
  expect(deletions).toHaveLength(1); // of "fire": "flood" and "rain" were there all the time that somebody asked for them
});

test('sources 3.1: a rule that X refuses is told with its event, once, and the others are in force', async () => {
  await using run = await start({ events: [flood, crisis('refused', ['bad']), crisis('long', ['x'], { rule: {
    any: ['x'], all: Array.from({ length: 100 }, (_, index) => `needed-word-number-${index}`) } })] });
  await run.until(() => run.fake.connected());
  expect(ourRules(run.fake.rules)).toEqual([['watershed:flood/0', '("flood" OR #abflood)']]);
  const refused = (): unknown[] => run.journal('rules_changed').filter(({ eventId }) => eventId !== undefined);
  expect(refused()).toEqual(expect.arrayContaining([
    expect.objectContaining({ eventId: 'refused', cause: expect.stringContaining('Invalid Rule') }),
    expect.objectContaining({ eventId: 'long', cause: expect.stringContaining('too long for X') }),
  ]));
  run.feed.set([...run.feed.current(), crisis('more', ['rain'])]);
  await run.until(() => run.fake.rules.length === 2);
  expect(refused()).toHaveLength(2);
});

test('sources 3.1: where X has room for no more rules, the old ones make room for the new', async () => {
  await using run = await start({ ruleCap: 2, events: [crisis('a', ['a']), crisis('b', ['b'])] });
  await run.until(() => run.fake.connected());
  run.feed.set([crisis('c', ['c']), crisis('d', ['d'])]);
  await run.until(() => run.fake.rules.length === 2 && run.fake.rules.every(({ tag }) => /:[cd]\//.test(tag)));
  expect(run.fake.opened()).toBe(1);
});

test('without an active event there is no stream and no gap; with one there is again', async () => {
  await using run = await start();
  await run.until(() => run.fake.connected());
  run.fake.publish(run.fake.makePost('flood one'));
  await run.until(() => run.posts().length === 1);
  run.feed.set([]);
  await run.until(() => run.fake.rules.length === 0);
  run.fake.keepAlive();
  await run.until(() => !run.fake.connected());
  run.feed.set([flood]);
  await run.until(() => run.fake.connected());
  run.fake.publish(run.fake.makePost('flood two'));
  await run.until(() => run.posts().length === 2);
  expect(run.journal('gap')).toEqual([]);
});

test('posts of an event that was paused a moment ago are not kept', async () => {
  const other = crisis('other', ['rain']);
  await using run = await start({ events: [flood, other] });
  await run.until(() => run.fake.connected());
  // X goes on delivering for a while: the rule is deleted, but the post was on its way.
  const { tag } = run.fake.rules.find((rule) => rule.tag.includes('flood')) ?? { tag: '' };
  run.feed.set([other]);
  await run.until(() => run.fake.rules.length === 1);
  run.fake.raw(`{"data":{"id":"1","text":"flood"},"matching_rules":[{"id":"5","tag":"${tag}"}]}\r\n`);
  await run.until(() => run.dropped.length === 1);
  expect(run.posts()).toEqual([]);
});

test('rules that X does not take are tried again at its pace, while the stream goes on', async () => {
  await using run = await start({ manual: true, alive: true });
  await run.until(() => run.fake.connected() && run.journal('connected').length === 1);
  run.fake.answer('rules', { status: 503 }, { status: 429, headers: { 'x-rate-limit-reset': String(Math.floor((run.clock?.now() ?? 0) / 1000) + 20) } });
  run.feed.set([flood, crisis('more', ['rain'])]);
  await run.until(() => run.fake.rules.length === 2, 500);
  run.fake.publish(run.fake.makePost('rain'));
  await run.until(() => run.posts().length === 1, 0);
  expect(run.journal('rules_changed').map(({ cause }) => cause?.replace(/:.*?failed/, '')).filter((cause) => cause !== undefined))
    .toEqual([expect.stringContaining('503'), expect.stringContaining('429')]);
});

test('peers g1 3, peers g2 2: no post is lost while keywords change again and again', async () => {
  await using run = await start({ seed: 3 });
  await run.until(() => run.fake.connected());
  for (let version = 2; version < 12; version++) {
    run.feed.set([{ ...flood, rule: { any: ['flood', `word${version}`] }, version }]);
    for (let index = 0; index < 20; index++) run.fake.publish(run.fake.makePost(`flood ${version} ${index}`));
    await run.until(() => run.fake.rules.some(({ value }) => value.includes(`word${version}`)) && run.fake.rules.length === 1);
  }
  await run.until(() => run.posts().length === 200);
  expect(run.posts()).toEqual(run.fake.delivered.map(({ json }) => json));
  expect(run.fake.missed).toEqual([]);
  expect(run.fake.opened()).toBe(1);
});

test('where tags are missing the ids of rules tell, and where nothing is said of rules our matcher', async () => {
  await using run = await start({ events: [flood, crisis('fire', ['fire'])] });
  await run.until(() => run.fake.connected());
  const rule = run.fake.rules.find(({ tag }) => tag.includes('fire'));
  run.fake.raw(`{"data":{"id":"1","text":"without the word"},"matching_rules":[{"id":"${rule?.id}"}]}\r\n`);
  run.fake.raw('{"data":{"id":"2","text":"a flood"}}\r\n{"data":{"id":"3","text":"nothing"}}\r\n');
  await run.until(() => run.posts().length === 2 && run.dropped.length === 1);
  expect(run.items.flatMap((item) => item.kind === 'post' ? item.events.map(({ id }) => id) : [])).toEqual(['fire', 'flood']);
});
