import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { manualClock, seededRandom } from '#core/clock.ts';
import { recordBytesMax } from '#core/log/log.ts';
import { projected } from '#test/projected.ts';
import type { DeadItem, PostItem } from '../sources/source.ts';
import { openArchive } from './archive.ts';

const vectors = new URL('../../test/vectors/x-posts/', import.meta.url).pathname;
const vector = (name: string): string => readFileSync(join(vectors, name), 'utf8');
const lines = (name: string): string[] => vector(name).split('\n').filter((line) => line.trim() !== '');
const v1 = lines('tweet_parser/original_format_examples.json');

let folder = '';
beforeAll(() => { folder = mkdtempSync(join(tmpdir(), 'watershed-archive-')); });
afterAll(() => rmSync(folder, { recursive: true }));

function file(content: string | Uint8Array, name = 'posts.txt'): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

async function read(path: string, from = 0) {
  const archive = await openArchive(path, { eventId: 'flood', clock: manualClock(), from });
  const posts: PostItem[] = [];
  const dead: DeadItem[] = [];
  const dropped = new Map<string, number>();
  const positions: number[] = [];
  for await (const batch of archive.batches) {
    posts.push(...batch.posts);
    dead.push(...batch.dead);
    for (const [reason, count] of batch.dropped) dropped.set(reason, (dropped.get(reason) ?? 0) + count);
    positions.push(batch.position);
  }
  const bodies = posts.map((post) => Buffer.from(post.body).toString('utf8'));
  return { posts, bodies, dead, dropped, positions, damage: archive.damage(), layout: archive.format.layout,
    formats: [...new Set(posts.map((post) => post.format))] };
}

describe('formats', () => {
  test('v1.1 lines, plain, gzip and zstd whatever they are called, byte for byte', async () => {
    const text = `${v1.join('\n')}\n`;
    for (const [name, bytes] of [['a.gz', Buffer.from(text)], ['b.json', gzipSync(text)], ['c.txt', zstdCompressSync(text)],
      // EPIC's and twarc's files are often several gzip members one behind the other.
      ['d.json.gz', Buffer.concat([gzipSync(text.slice(0, 5000)), gzipSync(text.slice(5000))])]] as const) {
      const result = await read(file(bytes, name));
      expect(result).toMatchObject({ bodies: v1, formats: ['x.v1'], dead: [], damage: undefined });
    }
  });

  test('a JSON array of v1.1 tweets, in one line and pretty', async () => {
    const tweets = v1.map((line) => JSON.parse(line));
    for (const text of [`[${v1.join(',')}]`, JSON.stringify(tweets, null, 2), `[\n${v1.join(',\n')}\n]\n`]) {
      const result = await read(file(text));
      expect(result.bodies.map((body) => JSON.parse(body).id_str)).toEqual(tweets.map((tweet) => tweet.id_str));
      expect(result).toMatchObject({ formats: ['x.v1'], dead: [] });
    }
  });

  test('v2 responses of one post as they are, compact and pretty', async () => {
    const compact = JSON.stringify(JSON.parse(vector('twittered/tweet_stream_example.json')));
    expect(await read(file(`${compact}\n${compact}`))).toMatchObject({ bodies: [compact, compact], formats: ['x.v2'] });
    const pretty = vector('twittered/tweet_stream_example.json').trim();
    expect(await read(file(`${pretty}\n${pretty}\n`))).toMatchObject({ bodies: [pretty, pretty], formats: ['x.v2'], layout: 'objects' });
    const otherOrder = JSON.stringify({ matching_rules: [], includes: {}, data: { id: '1', text: 'a' } });
    expect(await read(file(`${compact}\n${otherOrder}`))).toMatchObject({ bodies: [compact, otherOrder] });
  });

  test('a bare v2 post becomes a response about it', async () => {
    const bare = lines('twarc-csv/cotweet.jsonl').map((line) => JSON.stringify(JSON.parse(line).data[0]));
    const { bodies } = await read(file(bare.join('\n')));
    expect(bodies).toEqual([`{"data":${bare[0]}}`]);
    expect((await projected('x.v2', bodies))[0]).toMatchObject({ post_id: '1577318900085186562', text: 'who need they cotwussy tested' });
  });

  test('every post of a page comes with its author, what it refers to, media and places', async () => {
    // One page made of twarc's responses, as a search of many posts would be.
    const pages = ['edited_before', 'quoted_edit', 'media_tweet', 'geo_tweets', 'two_tweets']
      .flatMap((name) => lines(`twarc-csv/${name}.jsonl`)).map((line) => JSON.parse(line));
    const merged = { data: pages.flatMap((page) => page.data), includes: Object.fromEntries(['users', 'tweets', 'media', 'places']
      .map((kind) => [kind, pages.flatMap((page) => page.includes[kind] ?? [])])), meta: { result_count: 6 } };
    const { bodies, posts } = await read(file(`${JSON.stringify(merged)}\n`));
    expect(posts).toHaveLength(6);
    const rows = await projected('x.v2', bodies);
    expect(rows.map((row) => [row['post_id'], row['author_handle'], row['text'] === null, row['place'], row['media']])).toEqual([
      ['1576994746135764992', 'wongmjane', false, null, ['https://pbs.twimg.com/media/FeKcHsVaUAEYpU_.jpg']],
      ['1576995594388000768', 'dappdavid99', false, null, []],
      ['1558553189766631429', 'IgorBrigadir', false, null,
        ['https://pbs.twimg.com/ext_tw_video_thumb/1558552952549277696/pu/img/7VaQu-AvReI8RHkv.jpg']],
      ['1249702384659554308', 'kamanonickname', false, null, []],
      ['1501963039859363843', 'IgorBrigadir', false, 'Berlin, Germany', []],
      ['1394735776701816833', 'LachiVeronica', false, null, []],
    ]);
    // A repost's whole text is in the page's includes; a body holds its own includes and not the page's.
    expect(rows[5]?.['text']).toBe('#POIUYTREWQ');
    expect(JSON.parse(bodies[3] ?? '').includes.users).toHaveLength(1);
  });

  test('numbers above 2^53 in a page keep their digits', async () => {
    const page = '{"data":[{"id":"1577318900085186562","text":"a","rule":1359517181646635009}],"meta":{"x":9007199254740993}}';
    expect((await read(file(page))).bodies).toEqual(['{"data":{"id":"1577318900085186562","text":"a","rule":1359517181646635009}}']);
  });

  test('both editions of CrisisLex', async () => {
    const samples = new URL('../../samples/', import.meta.url).pathname;
    const alberta = await read(join(samples, '2013-alberta-floods.t6.csv'));
    expect(alberta).toMatchObject({ dead: [], formats: ['crisislex'] });
    expect(alberta.posts).toHaveLength(10_031);
    const colorado = await read(file(gzipSync(readFileSync(join(samples, '2013-colorado-floods.t26.csv')))));
    expect(colorado.posts).toHaveLength(1000);
    expect(JSON.parse(colorado.bodies[1] ?? '')).toEqual({ id: '378011169883037697',
      text: 'RT @dlfluegge: Crazy Flooding in Boulder, Colorado http://t.co/sg0iIdqCeY via @youtube', information_source: 'Media',
      information_type: 'Sympathy and support', informativeness: 'Related - but not informative' });
  });

  test('messages of a stream that are no posts are dropped and counted', async () => {
    const notices = ['hbc', 'tweetstream'].flatMap((name) => readdirSync(join(vectors, name)).filter((each) => each.endsWith('.json'))
      .map((each) => JSON.stringify(JSON.parse(vector(`${name}/${each}`)))));
    expect(notices).toHaveLength(12);
    const result = await read(file([...notices, ...v1, '', '\r', ...notices].join('\n')));
    expect(result.bodies).toEqual(v1);
    expect([...result.dropped.values()].reduce((sum, count) => sum + count)).toBe(24);
    expect(result.dropped.get('a notice, no post: delete')).toBeGreaterThan(0);
  });
});

describe('bad input', () => {
  const good = v1[0] ?? '';

  test('lines that are no JSON object are dead with their bytes; posts around them land', async () => {
    const result = await read(file([good, 'RT @someone: text', good, '"a string"', '17', '{"cut":"off', good].join('\n')));
    expect(result.bodies).toEqual([good, good, good]);
    expect(result.dead.map((item) => Buffer.from(item.bytes).toString('utf8'))).toEqual(
      ['RT @someone: text', '"a string"', '17', '{"cut":"off']);
  });

  test('a line of 10 MB is dead with its beginning and its length', async () => {
    const long = `{"text":"${'x'.repeat(10 * 1024 * 1024)}"}`;
    const result = await read(file([good, long, good].join('\n')));
    expect(result.bodies).toEqual([good, good]);
    expect(result.dead).toMatchObject([{ reason: 'it is too long for a record', bytesLength: long.length }]);
    expect(result.dead[0]?.bytes.length).toBeLessThan(recordBytesMax);
  });

  test('invalid UTF-8 passes on untouched: the writer sets it aside with its bytes', async () => {
    const bad = Buffer.concat([Buffer.from('{"id_str":"1","text":"'), Buffer.from([0xff, 0xfe]), Buffer.from('"}')]);
    const result = await read(file(Buffer.concat([Buffer.from(`${good}\n`), bad, Buffer.from(`\n${good}`)])));
    expect(Buffer.from(result.posts[1]?.body ?? []).equals(bad)).toBe(true);
    expect((await projected('x.v1', [result.posts[0]?.body ?? '', bad]))[1]?.['post_id']).toBeNull();
  });

  test('a truncated gzip or zstd: the good part lands, the cut line is dead, and the file says so', async () => {
    const random = seededRandom(1);
    const many = Array.from({ length: 400 }, (_, index) => JSON.stringify({ id_str: String(index), text: 'a',
      noise: Array.from({ length: 300 }, () => random().toString(36)).join('') }));
    for (const [kind, bytes] of [['gzip', gzipSync(many.join('\n'))], ['zstd', zstdCompressSync(many.join('\n'))]] as const) {
      const result = await read(file(bytes.subarray(0, bytes.length - 2000)));
      expect(result.damage).toBe(`the ${kind} stream is cut off before its end`);
      expect(result.posts.length).toBeGreaterThan(50);
      expect(result.bodies).toEqual(many.slice(0, result.posts.length));
      expect(result.dead.length).toBeLessThanOrEqual(1);
      for (const item of result.dead) expect(item.reason).toBe(result.damage);
    }
    const broken = gzipSync(many.join('\n'));
    broken.fill(0x55, broken.length >> 1, (broken.length >> 1) + 40);
    expect((await read(file(broken))).damage).toMatch(/^the gzip stream is damaged: /);
  });

  test('an empty file, and one of blank lines, hold nothing', async () => {
    for (const content of ['', '\n\n  \r\n', gzipSync('')]) {
      expect(await read(file(content))).toMatchObject({ posts: [], dead: [], layout: 'empty', damage: undefined });
    }
  });

  test.each([
    ['hello world, this is prose', /begins with "hello world, this is prose", which is no JSON and no header of CrisisLex/],
    ['id,text\n1,a\n', /begins with "id,text\\n1,a\\n"/],
    [vector('twarc-csv/counts.jsonl'), /JSON, but no posts: its objects have the keys data, meta, __twarc/],
    [vector('twarc-csv/tweets_compliance.jsonl'), /JSON, but no posts: its objects have the keys id, action, created_at, reason/],
    ['{"a":1}\n', /its objects have the keys a/],
    ['{"never closed', /begins with "\{\\"never closed"/],
    [Buffer.from([0x50, 0x4b, 3, 4, 0, 0]), /is a zip archive/],
    [Buffer.from('BZh91AY'), /is compressed with bzip2/],
    [Buffer.from('\ufeff{"a":1}', 'utf16le'), /is text in UTF-16/],
    [Buffer.from('PAR1....'), /is a Parquet file/],
  ])('a file of another kind is refused, naming what was seen: %s', async (content, expected) => {
    const path = file(content);
    await expect(read(path)).rejects.toMatchObject({ code: 'unsupported', message: expect.stringMatching(expected) });
    await expect(read(path)).rejects.toMatchObject({ message: expect.stringContaining(path) });
  });

  test('a file that is not there, and a folder', async () => {
    await expect(read(join(folder, 'none.ndjson'))).rejects.toMatchObject({ code: 'not_found' });
    await expect(read(folder)).rejects.toMatchObject({ code: 'bad_request', message: `${folder} is no file` });
  });
});

test('reading goes on from the position of any batch, compressed or not, without loss or repetition', async () => {
  const many = Array.from({ length: 1200 }, (_, index) => JSON.stringify({ data: { id: String(index), text: 'x'.repeat(4000) } }));
  const csv = readFileSync(new URL('../../samples/2013-alberta-floods.t6.csv', import.meta.url));
  for (const [name, content] of [['plain', `\ufeff${many.join('\n')}`], ['gz', gzipSync(many.join('\n'))], ['array', `[${many.join(',\n')}]`],
    ['csv', csv], ['csv.zst', zstdCompressSync(csv)]] as const) {
    const path = file(content, name);
    const whole = await read(path);
    expect(whole.positions.length).toBeGreaterThan(1);
    for (const position of whole.positions) {
      const rest = await read(path, position);
      expect(rest.bodies).toEqual(rest.bodies.length === 0 ? [] : whole.bodies.slice(-rest.bodies.length));
      expect(rest.dead).toEqual([]);
    }
    const middle = await read(path, whole.positions[0]);
    expect(middle.bodies.length).toBeGreaterThan(0);
    expect(middle.bodies.length).toBeLessThan(whole.bodies.length);
  }
});
