import { readFileSync } from 'node:fs';
import { projected } from '#test/projected.ts';

/**
 * What DuckDB 1.5.5 does with JSON that is odd, found by trying and kept here: `read_json` with typed columns and
 * `ignore_errors` gives one row for every line that is not blank, in order, so that good posts around a bad one land.
 * A line that its parser (yyjson) refuses is a row of nulls; a member of the wrong type is null by itself.
 */
const good = '{"id":"347868529837629441","text":"good","label":"on-topic"}';
const goodId = '347868529837629441';

async function around(line: string | Uint8Array): Promise<{ id: unknown; text: unknown }> {
  const rows = await projected('crisislex', [good, line, good]);
  expect(rows.map((row) => row['post_id']).filter((_, index) => index !== 1)).toEqual([goodId, goodId]);
  return { id: rows[1]?.['post_id'], text: rows[1]?.['text'] };
}

const post = (text: string): string => `{"id":"347868571105382400","text":"${text}"}`;
const id = '347868571105382400';
const refused = { id: null, text: null };

test.each([
  ['an escaped NUL stays in the text', post(String.raw`a\u0000b`), { id, text: 'a\0b' }],
  ['an escaped emoji is one character', post(String.raw`a\ud83d\ude00b`), { id, text: 'a😀b' }],
  ['emoji with joiners and right-to-left text stay as they are', post('👩‍👩‍👦‍👦 مرحبا'), { id, text: '👩‍👩‍👦‍👦 مرحبا' }],
  ['a lone high surrogate makes the line invalid', post(String.raw`a\ud800b`), refused],
  ['a lone low surrogate makes the line invalid', post(String.raw`a\udc00b`), refused],
  ['a raw control character makes the line invalid', post('a\u0001b'), refused],
  ['a byte order mark before the object makes the line invalid', `\ufeff${good}`, refused],
  ['no JSON', 'RT @someone: hello', refused],
  ['JSON cut off', '{"id":"347868571105382400","text":"a', refused],
  ['two objects in a line', `${good} ${good}`, refused],
  ['JSON that is no object', '["a"]', refused],
  ['a number', '17', refused],
  ['an object that is no post', '{"name":"a","followers":3}', refused],
  ['nested 5,000 deep beside the post', `{"id":"${id}","text":"a","x":${'['.repeat(5000)}${']'.repeat(5000)}}`, { id, text: 'a' }],
  ['an id above 2^53 as a number keeps every digit', '{"id":347868571105382401,"text":"a"}', { id: '347868571105382401', text: 'a' }],
  ['an id with letters', '{"id":"12a","text":"a"}', { id: null, text: 'a' }],
  ['an id that is an object', '{"id":{"a":1},"text":"a"}', { id: null, text: 'a' }],
  ['an id that is true', '{"id":true,"text":"a"}', { id: null, text: 'a' }],
  ['no text', '{"id":"347868571105382400"}', refused],
  ['of a key that comes twice the first counts', `{"id":"${id}","id":"1","text":"a","text":"b"}`, { id, text: 'a' }],
])('%s', async (_, line, expected) => {
  expect(await around(line)).toEqual(expected);
});

test('invalid UTF-8 makes the line invalid, also surrogates in UTF-8', async () => {
  for (const bytes of [[0xff, 0xfe], [0xed, 0xa0, 0x80], [0xc0, 0x80]]) {
    const line = Buffer.concat([Buffer.from(`{"id":"${id}","text":"a`), Buffer.from(bytes), Buffer.from('b"}')]);
    expect(await around(line)).toEqual(refused);
  }
});

test('a line of 10 MB is read, and one above the limit would not be', async () => {
  const text = 'x'.repeat(10 * 1024 * 1024);
  expect(await around(post(text))).toEqual({ id, text });
});

test('a member of the wrong type is null and costs nothing else', async () => {
  const [row] = await projected('x.v2', [JSON.stringify({ data: { id: '1577318900085186562', text: 'a', public_metrics: { like_count: 'many',
    reply_count: 2 ** 70, retweet_count: '7' }, entities: { hashtags: 'none', mentions: [1, { username: 'b' }, null] }, geo: [],
    referenced_tweets: {} }, includes: 'nothing' })]);
  expect(row).toMatchObject({ post_id: '1577318900085186562', text: 'a', likes: null, replies: null, reposts: '7', hashtags: [],
    mentions: ['b'], latitude: null, repost_of_id: null });
});

test('both floods: every row has the time its id tells, its text unescaped, its hashtags', async () => {
  const csv = readFileSync(new URL('../../samples/2013-alberta-floods.t6.csv', import.meta.url), 'utf8');
  const bodies = [...csv.matchAll(/^"'(\d{18})'",|^'(\d{18})',"(.*)",(on|off)-topic$/gm)]
    .map((found) => ({ id: found[2] ?? '', text: found[3] ?? '' })).filter((row) => row.id !== '');
  expect(bodies.length).toBeGreaterThan(10_000);
  const rows = await projected('crisislex', bodies.map((row) => JSON.stringify(row)));
  for (const [index, row] of rows.entries()) {
    const body = bodies[index];
    if (body === undefined) throw new Error('a row too many');
    const ms = Number((BigInt(body.id) >> 22n) + 1_288_834_974_657n);
    const { created_at: created } = row;
    expect(typeof created === 'string' ? Date.parse(created.replace('+00', 'Z')) : created).toBe(ms);
    expect(row['text']).toBe(body.text.replaceAll('&lt;', '<').replaceAll('&gt;', '>').replaceAll('&amp;', '&'));
  }
  const byId = new Map(rows.map((row) => [row['post_id'], row]));
  expect(byId.get('347868571105382400')).toMatchObject({ hashtags: ['yyc', 'yycflood'], mentions: [], urls: [] });
  expect(byId.get('347868529837629441')).toMatchObject({ hashtags: [], mentions: ['LaitJ', 'contramandave'] });
  expect(byId.get('347868627036434432')).toMatchObject({ urls: ['http://t.co/dyr6BWe7EB'] });
});

test('hashtags, mentions and links in texts of other scripts', async () => {
  const texts = ['#naufragio en #Bogotá, ¡#SOSColombia!', '#наводнение в #Москва', 'no#tag a@b.c http://a.b/#frag #1 #2nd',
    'RT @Buerger: “http://t.co/abc” ＃日本', '@a@b @c_d:'];
  const rows = await projected('crisislex', texts.map((text, index) => JSON.stringify({ id: `34786857110538240${index}`, text })));
  expect(rows.map((row) => [row['hashtags'], row['mentions'], row['urls']])).toEqual([
    [['naufragio', 'Bogotá', 'SOSColombia'], [], []],
    [['наводнение', 'Москва'], [], []],
    [['2nd'], [], ['http://a.b/#frag']],
    [['日本'], ['Buerger'], ['http://t.co/abc']],
    [[], ['a', 'c_d'], []],
  ]);
});
