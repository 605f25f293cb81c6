import { readFileSync } from 'node:fs';
import { projected } from '#test/projected.ts';

const vectors = new URL('../../test/vectors/x-posts/', import.meta.url);
const read = (name: string): string => readFileSync(new URL(name, vectors), 'utf8');
const lines = (name: string): string[] => read(name).split('\n').filter((line) => line.trim() !== '');

/** twarc writes a response of many posts a line; a record has one. */
function onePost(line: string): string {
  const response: { data: unknown[]; includes?: unknown } = JSON.parse(line);
  return JSON.stringify({ data: response.data[0], includes: response.includes });
}

describe('API v2', () => {
  test('a stream object: text unescaped, numbers, hashtags, the link to its own picture left out', async () => {
    const [row] = await projected('x.v2', [read('twittered/tweet_stream_example.json')]);
    expect(row).toEqual({
      post_id: '1359517868925280258',
      created_at: '2021-02-10 15:01:33+00',
      author_id: '126115852',
      author_handle: 'VillageFederal',
      author_name: 'Le Village Fédéral',
      author_followers: '1542',
      author_location: null,
      author_created_at: '2010-03-24 21:59:34+00',
      author_verified: false,
      text: 'Prochain défi, pouvoir choisir son vaccin. Les soignants ne le peuvent pas et ça rouspète. Normal, Ils sont exposés '
        + 'et on leur impose le moins protecteur car le moins cher, (AstraZeneca). Ça promet des absents malades & du '
        + 'nosocomial. Irresponsable & dangereux pour tous. #COVID19 https://t.co/FcxreY6TDX',
      lang: 'fr',
      hashtags: ['COVID19'],
      mentions: [],
      urls: [],
      media: ['3_1359517038289510400'],
      conversation_id: '1359517868925280258',
      in_reply_to_id: null,
      repost_of_id: null,
      quote_of_id: null,
      reposts: '0', replies: '0', likes: '0', quotes: '0',
      latitude: null, longitude: null, place: null, country: null,
      uri: 'https://x.com/VillageFederal/status/1359517868925280258',
    });
  });

  test('a reply with a point (longitude first), a place, a medium and an unwound link', async () => {
    const [row] = await projected('x.v2', [read('twittered/tweet_example_v2.json')]);
    expect(row).toMatchObject({
      author_handle: 'marcomornati', author_followers: '433', author_location: 'Ronchin, France',
      latitude: 40.74168819, longitude: -73.99960455, place: 'Manhattan, NY', country: 'US',
      hashtags: ['blacklivesmatter'], mentions: ['RedouaneBali', 'TwitterAPI'], urls: ['https://twitter.com'],
      media: ['https://pbs.twimg.com/ext_tw_video_thumb/1293565706408038401/pu/img/66P2dvbU4a02jYbV.jpg'],
      in_reply_to_id: '1224041905333379073', conversation_id: '1224041905333379073', replies: '2', likes: '2',
    });
  });

  test('a repost has the text and the entities of what it repeats, and its own author', async () => {
    const [row] = await projected('x.v2', [onePost(lines('twarc-csv/two_tweets.jsonl')[0] ?? '')]);
    expect(row).toMatchObject({
      post_id: '1394735776701816833', text: '#POIUYTREWQ', hashtags: ['POIUYTREWQ'], mentions: [],
      repost_of_id: '1391677057810288641', author_handle: 'LachiVeronica', reposts: '1',
    });
  });

  test('a repost cut off with "…" is whole where `includes.tweets` has a long post', async () => {
    const long = 'x'.repeat(400);
    const [row] = await projected('x.v2', [JSON.stringify({
      data: { id: '1577318900085186562', text: 'RT @a: xxx…', author_id: '2', created_at: '2022-10-04T15:25:05.000Z',
        referenced_tweets: [{ type: 'retweeted', id: '1576994746135764992' }] },
      includes: { tweets: [{ id: '1', text: 'other' }, { id: '1576994746135764992', text: 'xxx…',
        note_tweet: { text: long, entities: { hashtags: [{ tag: 'deep' }] } } }] },
    })]);
    expect(row).toMatchObject({ text: long, hashtags: ['deep'] });
  });

  test('a long post: note_tweet has the text and the entities', async () => {
    const [row] = await projected('x.v2', [JSON.stringify({ data: { id: '1577318900085186562', text: 'short…',
      entities: { hashtags: [] }, note_tweet: { text: 'the whole &lt;text&gt; #late', entities: { hashtags: [{ tag: 'late' }] } } } })]);
    expect(row).toMatchObject({ text: 'the whole <text> #late', hashtags: ['late'] });
  });

  test('a quote that is also a reply, of an edited post', async () => {
    const [row] = await projected('x.v2', [onePost(lines('twarc-csv/quoted_edit.jsonl')[0] ?? '')]);
    expect(row).toMatchObject({
      quote_of_id: '1576994746135764992', in_reply_to_id: '1576994789110992896', repost_of_id: null,
      text: '@wongmjane Test \nhttps://t.co/rBFwqjVr6B', mentions: ['wongmjane'], author_handle: 'dappdavid99',
      urls: ['https://twitter.com/wongmjane/status/1576994746135764992'],
    });
  });

  test('pictures, previews of videos, places, points; edits keep their own ids', async () => {
    const rows = await projected('x.v2', ['edited_before', 'edited_after', 'media_tweet', 'geo_tweets', 'verified_type']
      .flatMap((name) => lines(`twarc-csv/${name}.jsonl`)).map(onePost));
    expect(rows.map((row) => [row['post_id'], row['media'], row['place'], row['country'], row['longitude'], row['latitude']]))
      .toEqual([
        ['1576994746135764992', ['https://pbs.twimg.com/media/FeKcHsVaUAEYpU_.jpg'], null, null, null, null],
        ['1576994789110992896', [], null, null, null, null],
        ['1558553189766631429', ['https://pbs.twimg.com/ext_tw_video_thumb/1558552952549277696/pu/img/7VaQu-AvReI8RHkv.jpg'],
          null, null, null, null],
        ['1249702384659554308', [], null, null, 42.77810097, 88.01785747],
        ['1501963039859363843', [], 'Berlin, Germany', 'DE', null, null],
        ['1603823063690199040', [], null, null, null, null],
      ]);
    expect(rows[3]?.['hashtags']).toContain('zostańwdomu');
    expect(rows[4]?.['text']).toContain('specify Fields & Expansions, twarc');
    // The first link leads to the earlier version of the post, the second is the picture's own.
    expect(rows[0]?.['urls']).toEqual(['https://twitter.com/i/web/status/1576994746135764992']);
    expect(rows[5]).toMatchObject({ author_verified: true, author_created_at: '2013-12-14 04:35:55+00' });
  });

  test('without the field created_at the id tells the time; a wrong date is null', async () => {
    const rows = await projected('x.v2', [
      '{"data":{"id":"1577318900085186562","text":"a"}}',
      '{"data":{"id":"1577318900085186562","text":"a","created_at":"yesterday"}}',
      '{"data":{"id":"1577318900085186562","text":"a","created_at":"infinity"}}',
      '{"data":{"id":"1577318900085186562","text":"a","created_at":"2022-10-04T15:25:05+02:00"}}',
    ]);
    // The post in twarc-csv/cotweet.jsonl says 15:25:05.
    expect(rows.map((row) => row['created_at'])).toEqual(
      [expect.stringMatching(/^2022-10-04 15:25:05(\.\d+)?\+00$/), null, null, '2022-10-04 13:25:05+00']);
  });

  test('what `twarc2 flatten` has put into the post itself is found', async () => {
    const [row] = await projected('x.v2', [JSON.stringify({ data: { id: '1577318900085186562', text: 'RT @b: cut…', author_id: '1',
      author: { id: '1', username: 'a', public_metrics: { followers_count: 3 } }, geo: { place_id: 'p', full_name: 'Boulder, CO',
        country_code: 'US' }, referenced_tweets: [{ type: 'retweeted', id: '5', text: 'not cut' }] } })]);
    expect(row).toMatchObject({ text: 'not cut', author_handle: 'a', author_followers: '3', place: 'Boulder, CO', country: 'US' });
  });
});

describe('API v1.1', () => {
  const examples = lines('tweet_parser/original_format_examples.json');
  const idStr = (line: string): string => String(JSON.parse(line).id_str);

  test('all 25 shapes of the stream have an id, a time, a text that is not cut, an author', async () => {
    const rows = await projected('x.v1', examples);
    expect(rows.map((row) => row['post_id'])).toEqual(examples.map(idStr));
    for (const row of rows) {
      expect(row['created_at']).toMatch(/^2017-0[567]-\d\d \d\d:\d\d:\d\d\+00$/);
      expect(row['text']).not.toMatch(/…( https:\/\/t\.co\/\w+)?$/);
      expect(row).toMatchObject({ author_handle: 'RobotPrincessFi', author_id: '815279070241955840',
        author_created_at: '2016-12-31 19:30:52+00', author_verified: false });
    }
  });

  test('long text, reposts, quotes, replies, places and points', async () => {
    const rows = new Map((await projected('x.v1', examples)).map((row) => [row['post_id'], row]));
    expect(rows.get('867479301360205824')).toMatchObject({
      text: JSON.parse(examples.find((line) => idStr(line) === '867479301360205824') ?? '').extended_tweet.full_text,
      quote_of_id: '861652051016663040', urls: ['https://twitter.com/notFromShrek/status/861652051016663040'],
    });
    expect(rows.get('867478524235366400')).toMatchObject({
      text: "Since I feel like I shouldn't be someone who is condescending on the internet without offering a little help: "
        + 'https://t.co/bN4xcn4l2n', repost_of_id: '861651727614746624', quote_of_id: null, mentions: [],
      urls: ['https://github.com/fionapigott/character-encoding/blob/master/character_encoding.pdf'],
    });
    expect(rows.get('867475059358683136')?.['text']).toBe('F) Tweet with 140 characters + media. The quick brown fox jumped over '
      + 'the lazily Tweeting dog. Lorem ipsum dolor sit amet, consectetur adipi https://t.co/x2MZliBLyk');
    expect(rows.get('867472736871866368')).toMatchObject({ in_reply_to_id: '863566329168711681',
      mentions: ['notFromShrek', 'ericmbudd'] });
    expect(rows.get('867472736871866368')?.['text']).toContain('G) 140 chars & replies.');
    expect(rows.get('887453193294282752')).toMatchObject({ latitude: 40.01736548, longitude: -105.27786886,
      place: 'Boulder, CO', country: 'US', author_followers: '1', lang: 'en' });
    expect(rows.get('872836479608733696')).toMatchObject({ quote_of_id: '872836379595620353', hashtags: ['QuoteTweet', 'hashtags'] });
    expect(rows.get('867833721579122688')?.['media']).toHaveLength(2);
  });

  test('the id as text wins over the number, which a tool has rounded', async () => {
    const rounded = lines('tweet_parser/broken/public_api_sample.json').find((line) => line.includes('"872836479608733696"')) ?? '';
    expect(rounded).toContain('"id":872836479608733700');
    expect((await projected('x.v1', [rounded]))[0]).toMatchObject({ post_id: '872836479608733696' });
    const [row] = await projected('x.v1', ['{"id":872836479608733697,"text":"a","created_at":"Thu Jun 08 15:23:27 +0000 2017"}']);
    expect(row).toMatchObject({ post_id: '872836479608733697' });
  });

  test('extended mode, alt-text media, a quote without quoted_status_id', async () => {
    const rows = await projected('x.v1', ['extended_tweet_in_extended_mode', 'get_status_ext_alt', 'status_quoted_tweet']
      .map((name) => read(`python-twitter/${name}.json`)));
    expect(rows[0]).toMatchObject({ media: ['https://pbs.twimg.com/media/CtzX2fnXEAAMAjK.jpg'],
      text: 'has more details about these changes.  Thanks for making more expressive!writing requirements to python_twitt '
        + 'python_twitter.egg-info/SOURCE https://t.co/JWSPztfoyt' });
    expect(rows[1]).toMatchObject({ post_id: '724441953534877696', media: ['https://pbs.twimg.com/media/Cg28HdUWYAAvmwn.jpg'] });
    expect(rows[2]).toMatchObject({ post_id: '849424628401541121', quote_of_id: '849412806835351552' });
  });

  test('geo alone is latitude first', async () => {
    const [row] = await projected('x.v1', ['{"id_str":"1223664533451026434","text":"a","geo":{"type":"Point","coordinates":[40.5,-105.25]}}']);
    expect(row).toMatchObject({ latitude: 40.5, longitude: -105.25 });
    const [far] = await projected('x.v1', ['{"id_str":"1223664533451026434","text":"a","geo":{"coordinates":[140.5,-105.25]}}']);
    expect(far).toMatchObject({ latitude: null, longitude: -105.25 });
  });

  test('posts that tools have broken keep what they have', async () => {
    const names = ['additional_field', 'missing_field', 'missing_quotetweet_field', 'missing_user'];
    const rows = await projected('x.v1', names.map((name) => read(`tweet_parser/broken/original_format_${name}.json`)));
    expect(rows.map((row) => row['post_id'])).toEqual(
      ['867834809732677634', '867468138991964160', '867479301360205824', '867833721579122688']);
    expect(rows.map((row) => row['created_at'] !== null)).toEqual([true, true, true, true]);
    expect(rows[3]).toMatchObject({ author_id: null, author_handle: null, uri: 'https://x.com/i/web/status/867833721579122688' });
  });
});
