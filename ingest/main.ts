import { fileURLToPath } from 'node:url';
import type { Feeds } from '#core/events/feed.ts';
import type { Registry } from '#core/events/registry.ts';
import type { Foundation } from '#core/main.ts';
import type { Service } from '#core/service.ts';
import { receivedMessages } from './batch.ts';
import { createCollector } from './collector.ts';
import { databaseCursors } from './cursor.ts';
import { blueskySource } from './sources/bluesky/bluesky.ts';
import { askForHandles } from './sources/bluesky/handles.ts';
import { replaySource } from './sources/replay.ts';
import { readSampleEvents, type SampleEvent } from './sources/samples.ts';
import type { Source } from './sources/source.ts';
import { xSource } from './sources/x/x.ts';

const samplesFolder = fileURLToPath(new URL('../samples', import.meta.url));

/** Where handles in rules are looked up: Bluesky's public API, which needs no account. */
const blueskyApi = 'https://public.api.bsky.app';

/** The sample events of the repository. */
export function samples(): Promise<SampleEvent[]> {
  return readSampleEvents(samplesFolder);
}

/**
 * Makes the sample events where the lake has never had an event: then the replay plays them. A lake that has or had
 * events is left as it is.
 */
export async function createSamples({ config, database }: Foundation, registry: Registry): Promise<void> {
  if (config.WATERSHED_SAMPLE === 'off') return;
  const [ever] = await database.query<{ n: bigint }>('select count(*) as n from watershed.event');
  if (ever?.n !== 0n) return;
  for (const { id, name, description, keywords, start, end } of await samples()) {
    await registry.create({ name, description, sources: ['replay'], rule: { any: [...keywords] }, start, end }, 'watershed', id);
  }
}

/** One collector per source that is configured; of several processes one reads each source, by lease. */
export async function ingestProgram(foundation: Foundation, feeds: Feeds): Promise<Service[]> {
  const { config, database, log, clock, random, metrics, logger, holder } = foundation;
  const sources: Source[] = [];
  const dropped = (source: string) => (reason: string, count = 1): void =>
    receivedMessages(metrics).add(count, { source, fate: 'dropped', reason });
  if (config.WATERSHED_SAMPLE === 'on') {
    const speed = config.WATERSHED_SAMPLE_SPEED === 'max' ? 'max' : Number(config.WATERSHED_SAMPLE_SPEED);
    sources.push(replaySource({ samples: await samples(), speed, clock }));
  }
  sources.push(blueskySource({
    urls: config.WATERSHED_BLUESKY_URL.split(',').map((url) => url.trim()), resolveHandle: askForHandles(blueskyApi), clock, random,
    onDropped: dropped('bluesky'),
  }));
  if (config.WATERSHED_X_BEARER_TOKEN !== undefined) {
    sources.push(xSource({
      url: config.WATERSHED_X_URL, token: config.WATERSHED_X_BEARER_TOKEN, clock,
      postsPerMonth: config.WATERSHED_X_POSTS_PER_MONTH,
      onDropped: dropped('x'),
    }));
  }
  return sources.map((source) => createCollector({
    source, account: '', feed: feeds.of(source.name), log, database, cursors: databaseCursors(database), holder, clock, metrics,
    logger: logger.child(`collector ${source.name}`),
  }));
}
