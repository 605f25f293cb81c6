import { encodeEnvelope } from '#core/contract/envelope.ts';

const words = ('the river is rising near our bridge please stay away from water road closed shelter open at school flood help needed for '
  + 'families on main street police say rescue boats arrive tonight power out in the north side volunteers bring food blankets and dry clothes '
  + 'mayor speaks at noon rain will go on until friday evacuation ordered low ground dam holds for now thanks to all who came').split(' ');
const perBatch = 1_000;

/**
 * Records of topic `posts` as the filtered stream of X sends them, of about 1.1 KB, ids and times growing, in batches of a thousand. Each
 * partition gets others.
 */
export function* tweets(count: number, partition: number): Generator<readonly Uint8Array[]> {
  let state = partition * 7919 + 1;
  const chance = (below: number): number => {
    state = (state * 48_271) % 2_147_483_647; // Lehmer's generator: quick, and the same in every run
    return state % below;
  };
  for (let from = 0; from < count; from += perBatch) {
    yield Array.from({ length: Math.min(perBatch, count - from) }, (_, index) => tweet(from + index, partition, chance));
  }
}

function tweet(index: number, partition: number, chance: (below: number) => number): Uint8Array {
  const at = 1_646_000_000_000 + index * 4;
  const id = (BigInt(at - 1_288_834_974_657) << 22n) + BigInt(partition) * 4096n + BigInt(chance(4096));
  const author = 10_000_000 + chance(200_000);
  const tag = `flood${chance(40)}`;
  const text = `${Array.from({ length: 18 + chance(20) }, () => words[chance(words.length)]).join(' ')} #${tag} https://t.co/${chance(1e9).toString(36)}`;
  const post = {
    data: {
      id: String(id), text, created_at: new Date(at).toISOString(), author_id: String(author), lang: 'en', conversation_id: String(id),
      edit_history_tweet_ids: [String(id)],
      entities: {
        hashtags: [{ start: text.length - 40, end: text.length - 30, tag }],
        urls: [{ start: text.length - 22, end: text.length, url: text.slice(-20), expanded_url: `https://example.org/news/${chance(1e6)}`, display_url: 'example.org/news' }],
      },
      public_metrics: { retweet_count: chance(50), reply_count: chance(9), like_count: chance(200), quote_count: chance(5) },
    },
    includes: { users: [{
      id: String(author), username: `user_${author}`, name: `Name ${author}`, location: 'Riverside', verified: chance(50) === 0, created_at: '2011-03-04T05:06:07.000Z',
      public_metrics: { followers_count: chance(5000), following_count: chance(900), tweet_count: chance(90_000), listed_count: chance(20) },
    }] },
    matching_rules: [{ id: '1500000000000000001', tag: 'flood' }],
  };
  return encodeEnvelope({
    source: 'x', format: 'x.v2', events: [{ id: `event-${chance(5)}`, matched: ['flood'] }], receivedAt: new Date(at + 800).toISOString(), account: '',
  }, Buffer.from(JSON.stringify(post)));
}
