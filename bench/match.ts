/**
 * Matching: posts per second on one core, and how many bytes of JSON the quick look passes over a second. Texts are those of
 * real crises (`test/vectors`), mixed with made-up ones in other scripts; rules have five to forty terms.
 * `node bench/match.ts [events] [rounds]` prints a line of JSON per round.
 */
import { cpus } from 'node:os';
import { compileRules } from '../core/match/matcher.ts';
import { seededRandom } from '../core/clock.ts';

const eventCount = Number(process.argv[2] ?? 50);
const rounds = Number(process.argv[3] ?? 5);
const random = seededRandom(1);
const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // never empty here
const syllables = ['ka', 'ro', 'mi', 'ten', 'bur', 'el', 'so', 'van', 'dri', 'que', 'pol', 'is', 'ha', 'gra', 'th', 'ou'];
const word = (): string => Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(syllables)).join('');
const common = Array.from({ length: 4000 }, word);
const crisis = ['flood', 'earthquake', 'evacuate', 'wildfire', 'boulder', '"flash flood"', '#boulderflood', '#qcquake', 'terremoto', '地震', 'น้ำท่วม', '지진',
  '🔥', 'shelter', 'zelzele', 'наводнение', 'zagreb', '"road closed"', 'covid-19', 'inundação'];
const events = Array.from({ length: eventCount }, (_, index) => ({
  id: `event-${index}`,
  rule: {
    any: [...new Set([pick(crisis), pick(crisis), ...Array.from({ length: 3 + Math.floor(random() * 36) }, () => `${word()}${word()}${index}`)])],
    ...(index % 5 === 0 ? { none: ['giveaway', 'promo'] } : {}),
    ...(index % 7 === 0 ? { languages: ['en', 'es'] } : {}),
  },
}));
const scripts = ['昨日の夜はとても静かだった。', 'สวัสดีวันนี้อากาศดีมาก', 'Сегодня хорошая погода', '오늘 날씨가 좋네요', 'صباح الخير', 'é tão bom ❤️', '👍🏽🎉'];
const text = (): string => {
  const words = Array.from({ length: 8 + Math.floor(random() * 26) }, () => pick(common));
  if (random() < 0.3) words.splice(3, 0, pick(scripts));
  if (random() < 0.2) words.push(`#${word()}`);
  if (random() < 0.05) words.splice(2, 0, pick(crisis).replaceAll('"', ''));
  return words.join(' ');
};
const posts = Array.from({ length: 50_000 }, () => ({
  texts: [text()], languages: ['en'], authorId: 'did:plc:x', urls: random() < 0.3 ? [`https://example.org/${word()}/${word()}-${word()}.html`] : [],
}));
const frames = posts.map((post) => JSON.stringify({ did: 'did:plc:abcdefghijklmnopqrstuvwx', time_us: 1, kind: 'commit', commit: {
  rev: '3mmoojpaqkn2z', operation: 'create', collection: 'app.bsky.feed.post', rkey: '3mmoojp4cd223', record: { $type: 'app.bsky.feed.post',
    createdAt: '2026-05-25T14:23:28.757Z', langs: ['en'], text: post.texts[0], cid: 'bafyreicl7rzkxdrm4zz2ehbx52kuk3mvfow6p3gzfys72r5grvskxoswy4' } } }));

const begun = performance.now();
const matcher = compileRules(events);
const compileMs = performance.now() - begun;
for (let round = 0; round < rounds; round++) {
  let matches = 0;
  const cpu = process.cpuUsage();
  for (const post of posts) matches += matcher.match(post).length;
  const matchSeconds = secondsSince(cpu);
  let passed = 0;
  const cpuQuick = process.cpuUsage();
  for (const frame of frames) if (matcher.mayMatch(frame, 'did:plc:x')) passed++;
  const quickSeconds = secondsSince(cpuQuick);
  console.log(JSON.stringify({
    bench: 'match', round, events: eventCount, terms: events.reduce((sum, event) => sum + event.rule.any.length, 0), posts: posts.length,
    matches, compileMs: Number(compileMs.toFixed(1)), postsPerCoreSecond: Math.round(posts.length / matchSeconds),
    framesLookedAtPerCoreSecond: Math.round(frames.length / quickSeconds), framesToParse: passed,
    cores: cpus().length, cpu: cpus()[0]?.model, node: process.version,
  }));
}

function secondsSince(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1e6;
}
