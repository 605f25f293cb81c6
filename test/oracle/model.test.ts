import { createModel, type Gap, type Model } from './model.ts';

const atMs = Date.UTC(2026, 10, 24, 12);
const gap: Gap = { source: 'x', event: null, sinceMs: atMs - 60_000, untilMs: atMs + 60_000, isFinal: true };

/** One event that asks for floods, and one post of it. */
function world(): Model {
  const model = createModel();
  model.follow('e', ['flood']);
  model.posted({ source: 'x', id: '1', text: 'flood', author: 'a', holds: ['flood'], atMs });
  return model;
}

test.each([
  ['of its network and all events', gap],
  ['of its network and event', { ...gap, event: 'e' }],
])('a post that is missing is excused by a gap %s', (_, excuse) => {
  expect(world().compare([], [excuse], atMs + 1)).toMatchObject({ wrong: [], excused: [{ event: 'e', source: 'x', id: '1', atMs }] });
});

test.each([
  ['of another network', { ...gap, source: 'bluesky' }],
  ['of another event', { ...gap, event: 'other' }],
  ['of another time', { ...gap, sinceMs: atMs + 10_000 }],
])('a post that is missing is not excused by a gap %s', (_, excuse) => {
  const { wrong, excused } = world().compare([], [excuse], atMs + 1);
  expect(wrong).toEqual([expect.stringContaining('x 1 of e is missing')]);
  expect(excused).toEqual([]);
});

test('twice, with another text, of nobody, hidden, of an event that did not ask: each is wrong', () => {
  const row = { event: 'e', source: 'x', id: '1', text: 'flood', count: 1 };
  const judge = (change: Partial<typeof row>, also: (model: Model) => void = () => undefined): readonly string[] => {
    const model = world();
    also(model);
    return model.compare([{ ...row, ...change }], [], atMs + 1).wrong;
  };
  expect(judge({})).toEqual([]);
  expect(judge({ count: 2 })).toEqual([expect.stringContaining('2 times')]);
  expect(judge({ text: 'fl00d' })).toEqual([expect.stringContaining('another text')]);
  expect(judge({ id: '2' })).toContainEqual(expect.stringContaining('never posted'));
  expect(judge({}, (model) => model.deleted('x', '1'))).toEqual([expect.stringContaining('to be hidden')]);
  expect(judge({}, (model) => model.account('a', true))).toEqual([expect.stringContaining('to be hidden')]);
  expect(judge({ event: 'other' })).toContainEqual(expect.stringContaining('does not belong there'));
});
