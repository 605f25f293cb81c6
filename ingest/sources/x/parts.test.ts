import { createBackoff } from './backoff.ts';
import { failureOf, networkFailure, requireAllowed } from './failure.ts';
import { readMessage } from './message.ts';
import { createBudget, nextMonthMs, parseState } from './state.ts';

const november = Date.UTC(2026, 10, 20);

describe('sources 3.1: back-off by kind of error', () => {
  const waits = (kind: Parameters<ReturnType<typeof createBackoff>['after']>[0], count: number): number[] => {
    const backoff = createBackoff();
    return Array.from({ length: count }, () => backoff.after(kind));
  };
  test('TCP and IP errors: at once, then 250 ms more each time up to 16 s', () => {
    expect(waits('network', 4)).toEqual([0, 250, 500, 750]);
    expect(waits('network', 100).at(-1)).toBe(16_000);
  });
  test('HTTP errors: 5 s doubling up to 320 s', () => expect(waits('http', 9)).toEqual([5, 10, 20, 40, 80, 160, 320, 320, 320].map((s) => s * 1000)));
  test('429: from 60 s doubling, or when its header says, in either case no longer than a window', () => {
    expect(waits('rate_limited', 6)).toEqual([60, 120, 240, 480, 900, 900].map((s) => s * 1000));
    const backoff = createBackoff();
    expect(backoff.after('rate_limited', 12_000)).toBe(13_000);
    expect(backoff.after('rate_limited', 1e9)).toBe(901_000);
    // The window was over when the answer came; but where that goes on, no clock is to be trusted.
    const late = createBackoff();
    expect([1, 2, 3].map(() => late.after('rate_limited', -30_000))).toEqual([1000, 120_000, 240_000]);
  });
  test('another kind of error begins its own series, and a reset all of them; the longest wait is known', () => {
    const backoff = createBackoff();
    expect([backoff.after('http'), backoff.after('http'), backoff.after('network'), backoff.after('http')]).toEqual([5000, 10_000, 0, 5000]);
    for (let turn = 0; turn < 10; turn++) backoff.after('http');
    expect(backoff.atCeiling()).toBe(true);
    backoff.reset();
    expect(backoff.after('http')).toBe(5000);
    expect(backoff.atCeiling()).toBe(false);
  });
});

describe('sources 3.1: answers that are no success', () => {
  test('429 waits for x-rate-limit-reset by the clock of the server, not by ours', () => {
    const date = 'Fri, 20 Nov 2026 12:00:00 GMT';
    const reset = String(Date.parse(date) / 1000 + 300);
    const answer = { status: 429, headers: { date, 'x-rate-limit-reset': reset }, body: '{"title":"Too Many Requests","detail":"Too Many Requests"}' };
    expect(failureOf(answer, Date.parse(date) + 7 * 3600_000)).toMatchObject({ kind: 'rate_limited', cause: 'Too Many Requests', resetInMs: 300_000 });
  });
  test('TooManyConnections is told by its connection_issue and not timed by the headers of the window', () => {
    const body = JSON.stringify({ title: 'ConnectionException', detail: 'at the maximum', connection_issue: 'TooManyConnections' });
    const failure = failureOf({ status: 429, headers: { 'x-rate-limit-reset': '1' }, body }, 0);
    expect(failure).toMatchObject({ kind: 'rate_limited', cause: 'TooManyConnections' });
    expect(failure.resetInMs).toBeUndefined();
  });
  test('a redirect is an error and is not followed; a body that is no JSON is none', () => {
    expect(failureOf({ status: 302, headers: { location: 'http://elsewhere' }, body: '<html>' }, 0)).toMatchObject({ kind: 'http', cause: 'http 302, a redirect' });
    expect(failureOf({ status: 503, headers: {}, body: 'Service Unavailable' }, 0)).toMatchObject({ kind: 'http', cause: 'http 503' });
  });
  test('401 and 403 need a person', () => {
    expect(() => requireAllowed({ status: 401, headers: {}, body: '' }, 'the stream')).toThrow(expect.objectContaining({ code: 'unauthorized' }));
    expect(() => requireAllowed({ status: 403, headers: {}, body: '{"title":"Client Forbidden","detail":"enroll"}' }, 'the stream'))
      .toThrow(expect.objectContaining({ code: 'unauthorized', message: 'X refuses the stream with 403 (Client Forbidden: enroll)' }));
    expect(() => requireAllowed({ status: 503, headers: {}, body: '' }, 'the stream')).not.toThrow();
  });
  test('of an error below HTTP only the code and the message are taken', () => {
    const inner = Object.assign(new Error('connect ECONNREFUSED'), { code: 'ECONNREFUSED' });
    expect(networkFailure(new Error('failed', { cause: inner }))).toEqual({ kind: 'network', cause: 'ECONNREFUSED', detail: 'failed' });
  });
});

describe('sources 3.1 and 3.2: lines of the stream', () => {
  const read = (value: unknown): ReturnType<typeof readMessage> => readMessage(Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)));
  test('a post with everything a rule can see, of quoted and reposted posts too', () => {
    const message = read({
      data: { id: '1', text: 'short &amp; cut…', note_tweet: { text: 'long &lt;text&gt;', entities: { hashtags: [{ tag: 'late' }] } },
        author_id: '7', lang: 'fr', geo: { place_id: 'p', coordinates: { coordinates: [-114.1, 51] } },
        referenced_tweets: [{ type: 'quoted', id: '2' }, { type: 'replied_to', id: '3' }] },
      includes: { tweets: [{ id: '2', text: 'quoted', entities: { urls: [{ url: 't.co', expanded_url: 'https://a.b/c' }] } }, { id: '3', text: 'answered' }],
        users: [{ id: '7', username: 'someone' }], places: [{ id: 'p', full_name: 'Calgary, Alberta', country_code: 'CA' }] },
      matching_rules: [{ id: 1359517181646635008, tag: 'watershed:a/0' }, { id: '9' }],
    });
    expect(message).toEqual({ kind: 'post', rules: [{ id: '', tag: 'watershed:a/0' }, { id: '9', tag: undefined }], matchable: {
      texts: ['long <text>', 'quoted'], hashtags: ['late'], urls: ['https://a.b/c'], languages: ['fr'], authorId: '7', authorHandle: 'someone',
      place: { country: 'CA', name: 'Calgary, Alberta', longitude: -114.1, latitude: 51 },
    } });
  });
  test('errors within the stream, bare ones too, which twitter-api-v2 takes for posts', () => {
    expect(read({ errors: [{ title: 'operational-disconnect', disconnect_type: 'Upstream', detail: 'for reasons' }] }))
      .toEqual({ kind: 'error', title: 'operational-disconnect', detail: 'for reasons' });
    expect(read({ title: 'ConnectionException', connection_issue: 'TooManyConnections', detail: 'full' }))
      .toEqual({ kind: 'error', title: 'TooManyConnections', detail: 'full' });
    // A post about which something is missing is a post.
    expect(read({ data: { id: '1', text: 'a' }, errors: [{ title: 'Not Found Error' }] }).kind).toBe('post');
  });
  test('what is unknown or broken is told apart and stops nothing', () => {
    expect(read({ system: { heartbeat: 1 } })).toEqual({ kind: 'unknown', keys: 'system' });
    expect(read('{"data":{"id":"1"')).toEqual({ kind: 'broken', reason: 'it is no JSON' });
    expect(read('[1]')).toEqual({ kind: 'broken', reason: 'it is no JSON object' });
    expect(readMessage(Buffer.from([0x7b, 0xff, 0x7d]))).toEqual({ kind: 'broken', reason: 'it is not UTF-8' });
  });
});

describe('sources 3.1: the budget of posts per month', () => {
  test('stops before the limit by what may be on its way, and begins anew with the month', () => {
    const state = parseState(undefined, november);
    const budget = createBudget(state, 1000);
    budget.count(949, november);
    expect(budget.spent(november)).toBe(false);
    budget.count(1, november);
    expect(budget.spent(november)).toBe(true);
    expect(budget.spent(nextMonthMs(november))).toBe(false);
    expect(state).toMatchObject({ month: '2026-12', posts: 0 });
    expect(createBudget(parseState(undefined, november), 3_000_000).left(november)).toBe(2_999_500);
    expect(createBudget(parseState(undefined, november), 0).spent(november)).toBe(false);
  });
  test('a cursor brings it back; one that is none of ours is refused', () => {
    expect(parseState('{"month":"2026-11","posts":12,"events":["a"],"aliveAtMs":5}', november)).toEqual({ month: '2026-11', posts: 12, events: ['a'], aliveAtMs: 5 });
    expect(() => parseState('17', november)).toThrow(expect.objectContaining({ code: 'corrupt' }));
  });
});
