/**
 * Source `bluesky` on one core: messages of the network per CPU second, WebSocket to items, with 50 events. The network runs in a
 * process of its own and sends as fast as it is read; nine of ten messages are posts, one in fifty of them matches.
 * `node bench/jetstream.ts [messages] [events]` prints a line of JSON.
 */
import { fork } from 'node:child_process';
import { cpus } from 'node:os';
import { WebSocketServer } from 'ws';
import { seededRandom, systemClock } from '../core/clock.ts';
import type { CrisisEvent } from '../core/contract/event.ts';
import { blueskySource } from '../ingest/sources/bluesky/bluesky.ts';
import { createFakeBluesky } from '../test/world/bluesky.ts';

const role = process.argv[2];
if (role === 'network') await serve();
else await measure(Number(role ?? 300_000), Number(process.argv[3] ?? 50));

async function serve(): Promise<void> {
  const random = seededRandom(2);
  const network = createFakeBluesky({ seed: 2 });
  const syllables = ['ka', 'ro', 'mi', 'ten', 'bur', 'el', 'so', 'van', 'dri', 'que', 'pol', 'is', 'ha', 'gra', 'th', 'ou'];
  const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T; // never empty here
  const word = (): string => Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(syllables)).join('');
  const extras = ['昨日の夜はとても静かだった。', 'สวัสดีวันนี้อากาศดีมาก', 'Сегодня хорошая погода', '오늘 날씨가 좋네요', '❤️', '👍🏽🎉', 'naïve café'];
  const authors = Array.from({ length: 1000 }, () => network.makeDid());
  for (let index = 0; index < 20_000; index++) {
    const words = Array.from({ length: 8 + Math.floor(random() * 26) }, word);
    if (random() < 0.3) words.splice(3, 0, pick(extras));
    if (random() < 0.02) words.splice(2, 0, `crisis${Math.floor(random() * 50)}`);
    const post = network.post({ text: words.join(' '), did: pick(authors),
      record: random() < 0.4 ? { reply: { parent: { uri: `at://${pick(authors)}/app.bsky.feed.post/3mmojbrjwbs26`, cid: 'bafyreiainko5un5pbcdosvxpbisjnjzemojnry6nsgtdftdgslbu37kxai' } } } : {} });
    if (random() < 0.06) network.delete(post.id);
    if (random() < 0.03) network.identity(pick(authors), `${word()}.bsky.social`);
    if (random() < 0.02) network.account(pick(authors), true);
  }
  const frames = network.messages.map(({ bytes }) => bytes);
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', perMessageDeflate: false });
  server.on('connection', (socket) => {
    let at = 0;
    const more = (): void => {
      if (socket.readyState !== socket.OPEN) return;
      for (let sent = 0; sent < 200; sent++) socket.send(frames[at++ % frames.length] ?? '', { binary: false });
      if (socket.bufferedAmount > 4_000_000) setTimeout(more, 1);
      else setImmediate(more);
    };
    more();
  });
  server.on('listening', () => {
    const address = server.address();
    process.send?.(typeof address === 'object' && address !== null ? address.port : 0);
  });
  process.on('disconnect', () => process.exit());
}

async function measure(messages: number, eventCount: number): Promise<void> {
  const child = fork(new URL(import.meta.url), ['network']);
  const port = await new Promise((resolve) => child.once('message', resolve));
  const events = Array.from({ length: eventCount }, (_, index): CrisisEvent => ({
    id: `event-${index}`, name: '', description: '', status: 'active', sources: ['bluesky'], start: null, end: null, version: 1,
    rule: { any: [`crisis${index}`, ...Array.from({ length: 19 }, (__, term) => `keyword${index}x${term}`), `"two words${index}"`] },
    createdAt: '', createdBy: '', updatedAt: '', updatedBy: '',
  }));
  let dropped = 0;
  const source = blueskySource({
    urls: [`ws://127.0.0.1:${String(port)}/subscribe`], clock: systemClock, random: () => 0, resolveHandle: async () => undefined,
    onDropped: (_, count) => void (dropped += count),
  });
  const stop = new AbortController();
  const counts: Record<string, number> = {};
  let begun: { cpu: NodeJS.CpuUsage; at: number; seen: number } | undefined;
  let result: object = {};
  const seen = (): number => dropped + (counts['post'] ?? 0) + (counts['tombstone'] ?? 0);
  const feed = { current: () => events, changed: () => new Promise<void>(() => undefined), during: async () => [] };
  for await (const item of source.read({ cursor: undefined, events: feed, signal: stop.signal })) {
    counts[item.kind] = (counts[item.kind] ?? 0) + 1;
    if (begun === undefined && seen() > messages / 5) begun = { cpu: process.cpuUsage(), at: performance.now(), seen: seen() };
    if (begun === undefined || seen() - begun.seen < messages) continue;
    const { user, system } = process.cpuUsage(begun.cpu);
    const count = seen() - begun.seen;
    result = {
      bench: 'jetstream', messages: count, events: eventCount, cpuSeconds: Number(((user + system) / 1e6).toFixed(2)),
      messagesPerCoreSecond: Math.round(count / ((user + system) / 1e6)), messagesPerSecond: Math.round(count / ((performance.now() - begun.at) / 1000)),
      residentMB: Math.round(process.memoryUsage().rss / 1e6), items: counts, cores: cpus().length, cpu: cpus()[0]?.model, node: process.version,
    };
    break;
  }
  stop.abort();
  console.log(JSON.stringify(result));
  child.disconnect();
}
