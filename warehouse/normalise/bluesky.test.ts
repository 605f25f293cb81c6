import { readFileSync } from 'node:fs';
import { projected } from '#test/projected.ts';

const golden = readFileSync(new URL('../../test/vectors/jetstream/golden_v1.jsonl', import.meta.url), 'utf8').trim().split('\n');
const did = 'did:plc:q235v55g5unth4zjjdpacfdr';

/** A record (or the record within a view) of granary's vectors as Jetstream would send it. */
function event(name: string): string {
  const parsed = JSON.parse(readFileSync(new URL(`../../test/vectors/bluesky-posts/${name}.bsky.json`, import.meta.url), 'utf8'));
  return frame(parsed.post?.record ?? parsed);
}

function frame(record: unknown, more: { rkey?: string; time_us?: number | null } = {}): string {
  return JSON.stringify({ did, time_us: 1779719009157119, kind: 'commit', ...more.time_us === undefined ? {} : { time_us: more.time_us },
    commit: { rev: 'x', operation: 'create', collection: 'app.bsky.feed.post', rkey: more.rkey ?? '3mmoojp4cd223', record, cid: 'c' } });
}

test('a reply as the public server sent it', async () => {
  const rows = await projected('bluesky', golden);
  expect(rows[1]).toEqual({
    post_id: `3mmoojp4cd223/${did}`,
    created_at: '2026-05-25 14:23:28.757+00',
    author_id: did, author_handle: null, author_name: null, author_followers: null, author_location: null,
    author_created_at: null, author_verified: null,
    text: 'Try RSV for a good time !!',
    lang: 'en',
    hashtags: [], mentions: [], urls: [], media: [],
    conversation_id: '3mmojbrjwbs26/did:plc:j76trmiofvaxxpvx2vnb2vwf',
    in_reply_to_id: '3mmojbrjwbs26/did:plc:j76trmiofvaxxpvx2vnb2vwf',
    repost_of_id: null, quote_of_id: null,
    reposts: null, replies: null, likes: null, quotes: null,
    latitude: null, longitude: null, place: null, country: null,
    uri: `https://bsky.app/profile/${did}/post/3mmoojp4cd223`,
  });
  // Of the ten golden events only the post and the repost are rows: likes, follows, profiles, deletes are none.
  expect(rows.map((row) => row['post_id'] !== null)).toEqual([false, true, true, false, false, false, false, false, false, false]);
  expect(rows[2]).toMatchObject({ post_id: '3mmoojpbade2i/did:plc:eizxoqcsvvvarxeb3pjkblrp', text: null,
    repost_of_id: '3mmood3a6hc25/did:plc:hjloomm2tkve3pmfgbxegl3v' });
});

test('links, mentions and quotes of facets and embeds', async () => {
  const rows = await projected('bluesky', ['note', 'note_with_article_tag_indices', 'note_with_mention_linked_text', 'quote',
    'quote_and_attachment', 'note_with_custom_feed', 'comment_inreplyto_id'].map(event));
  expect(rows.map((row) => [row['urls'], row['mentions'], row['quote_of_id'], row['in_reply_to_id']])).toEqual([
    [['http://my/link'], [], null, null],
    [['http://xyz/foo'], [], null, null],
    [[], ['did:plc:789'], null, null],
    [[], [], 'orig-post-tid/did:plc:user', null],
    [['https://youtu.be/6rgStv12dwA'], [], 'orig-post-tid/did:plc:user', null],
    // What is embedded there is a feed, not a post.
    [[], [], null, null],
    [[], [], null, 'parent-tid/did:plc:123'],
  ]);
  expect(rows[1]?.['text']).toBe('hello 👩‍👩‍👦‍👦✋🏽 foo');
});

test('hashtags as written, found by byte offset behind emoji; a facet that lies about its place gives its tag', async () => {
  const text = 'hello 👩‍👩‍👦‍👦✋🏽 #YYCFlood and #日本';
  const byteStart = Buffer.byteLength('hello 👩‍👩‍👦‍👦✋🏽 ');
  const second = Buffer.byteLength('hello 👩‍👩‍👦‍👦✋🏽 #YYCFlood and ');
  // Counted by granary for the same beginning: "foo" stands at bytes 39 to 42.
  expect(byteStart).toBe(39);
  const tag = (value: string, start: number, end: number): unknown =>
    ({ index: { byteStart: start, byteEnd: end }, features: [{ $type: 'app.bsky.richtext.facet#tag', tag: value }] });
  const [row] = await projected('bluesky', [frame({ text, createdAt: '2026-05-25T14:23:28.757Z', tags: ['extra'],
    facets: [tag('yycflood', byteStart, byteStart + 9), tag('日本', second, second + 7), tag('cut', 7, 9), tag('out', 500, 600),
      tag('nonsense', -5, -1)] })]);
  expect(row).toMatchObject({ text, hashtags: ['YYCFlood', '日本', 'cut', 'out', 'nonsense', 'extra'] });
});

test('pictures and videos have addresses, alone and beside a quote', async () => {
  const image = { alt: '', image: { $type: 'blob', ref: { $link: 'bafkreia' }, mimeType: 'image/jpeg', size: 1 } };
  const rows = await projected('bluesky', [
    frame({ text: 'a', embed: { $type: 'app.bsky.embed.images', images: [image] } }),
    frame({ text: 'a', embed: { $type: 'app.bsky.embed.video', video: { $type: 'blob', ref: { $link: 'bafkvideo' } } } }),
    frame({ text: 'a', embed: { $type: 'app.bsky.embed.recordWithMedia', media: { images: [image] },
      record: { record: { uri: 'at://did:plc:x/app.bsky.feed.post/3k' } } } }),
  ]);
  const picture = `https://cdn.bsky.app/img/feed_fullsize/plain/${did}/bafkreia@jpeg`;
  expect(rows.map((row) => [row['media'], row['quote_of_id']])).toEqual([
    [[picture], null], [[`https://video.bsky.app/watch/${did}/bafkvideo/playlist.m3u8`], null], [[picture], '3k/did:plc:x'],
  ]);
});

test('a claimed time that cannot be is replaced by when the network saw the post, else by the record key', async () => {
  const rows = await projected('bluesky', [
    frame({ text: 'a', createdAt: '2013-06-21T12:00:00+02:00' }), // imported from elsewhere: as stated
    frame({ text: 'a', createdAt: '2012-02-22T20:26:41' }),
    frame({ text: 'a', createdAt: '2099-01-01T00:00:00Z' }),
    frame({ text: 'a', createdAt: '0001-01-01T00:00:00Z' }),
    frame({ text: 'a', createdAt: 'tomorrow' }),
    frame({ text: 'a' }),
    frame({ text: 'a' }, { time_us: null }),
    frame({ text: 'a' }, { time_us: null, rkey: 'self' }),
  ]);
  const seen = '2026-05-25 14:23:29.157119+00';
  expect(rows.map((row) => row['created_at'])).toEqual(['2013-06-21 10:00:00+00', '2012-02-22 20:26:41+00', seen, seen, seen, seen,
    // The golden event of this key says createdAt 14:23:28.757; clients make the key at that moment.
    expect.stringMatching(/^2026-05-25 14:23:2[89]\.\d+\+00$/), null]);
});
