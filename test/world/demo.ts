import { seededRandom, systemClock } from '#core/clock.ts';
import { createFakeBluesky } from './bluesky.ts';
import { startFakeX } from './x.ts';

/** The event that follows the made-up crisis. Its name says what it is, wherever it is shown. */
export const demoEvent = {
  name: 'SIMULATED flood of Larkwater', description: 'A made-up crisis on fake networks: no post of it is real.',
  sources: ['bluesky' as const, 'x' as const], rule: { any: ['#larkwater', 'larkwater', '"high water"'] },
};

const sentences = [
  'Larkwater bridge is closed, water over the road #larkwater', 'Anyone in Larkwater with a boat? My grandmother is on the second floor',
  'Shelter open at the Larkwater school, cots and food for 200', 'High water on Mill Street, do not drive through it',
  'Power is out east of Larkwater since noon', 'Praying for everyone in #larkwater tonight', 'Donate blankets for Larkwater at the town hall',
  'River gauge at Larkwater: 5.2 m and rising', 'Evacuation order for the lower Larkwater valley #larkwater', 'Crews rescued a family from a roof in Larkwater',
];
/** In every text, so that no export, chart or picture can be taken for something that people wrote. */
const label = '[simulated]';
const noise = ['Lovely morning', 'New record out today', 'Who won the match?', 'Trains are late again', 'My cat has opinions'];

const snowflakeEpochMs = 1_288_834_974_657;

export interface Demo {
  readonly blueskyUrl: string;
  readonly x: { readonly url: string; readonly token: string };
  readonly running: Promise<void>;
}

/** Starts fake networks and lets their people post, more and more as the water rises, until the signal is aborted. */
export async function startDemo(signal: AbortSignal): Promise<Demo> {
  const random = seededRandom(7);
  const network = createFakeBluesky({ seed: 7 });
  const host = await network.host();
  // As X makes ids of the time (snowflakes): a second start on the same data folder has other ones.
  const x = await startFakeX({ seed: 7, firstId: BigInt(systemClock.now() - snowflakeEpochMs) << 22n });
  const people = Array.from({ length: 40 }, () => network.makeDid());
  const running = (async () => {
    for (let second = 0; !signal.aborted; second++) {
      const wanted = 2 + 6 * (1 + Math.sin(second / 40));
      x.keepAlive();
      for (let index = 0; index < wanted; index++) {
        const list = random() < 0.6 ? sentences : noise;
        const text = `${list[Math.floor(random() * list.length)] ?? ''} ${label}`;
        if (random() < 0.2) x.publish(x.makePost(text));
        else {
          const post = network.post({ text, did: people[Math.floor(random() * people.length)] ?? '' });
          if (random() < 0.03) network.delete(post.id);
        }
        await systemClock.sleep(1_000 / wanted, signal).catch(() => undefined);
      }
    }
    await host[Symbol.asyncDispose]();
    await x[Symbol.asyncDispose]();
  })();
  return { blueskyUrl: host.url, x: { url: x.url, token: x.token }, running };
}
