import { seededRandom, systemClock } from '#core/clock.ts';
import { createFakeBluesky } from './bluesky.ts';

/** The event that follows the made-up crisis. Its name says what it is, wherever it is shown. */
export const demoEvent = {
  name: 'SIMULATED flood of Larkwater', description: 'A made-up crisis on a fake network: no post of it is real.',
  sources: ['bluesky' as const], rule: { any: ['#larkwater', 'larkwater', '"high water"'] },
};

const sentences = [
  'Larkwater bridge is closed, water over the road #larkwater', 'Anyone in Larkwater with a boat? My grandmother is on the second floor',
  'Shelter open at the Larkwater school, cots and food for 200', 'High water on Mill Street, do not drive through it',
  'Power is out east of Larkwater since noon', 'Praying for everyone in #larkwater tonight', 'Donate blankets for Larkwater at the town hall',
  'River gauge at Larkwater: 5.2 m and rising', 'Evacuation order for the lower Larkwater valley #larkwater', 'Crews rescued a family from a roof in Larkwater',
];
const noise = ['Lovely morning', 'New record out today', 'Who won the match?', 'Trains are late again', 'My cat has opinions'];

/** Starts the fake network and lets its people post, more and more as the water rises, until the signal is aborted. */
export async function startDemo(signal: AbortSignal): Promise<{ url: string; running: Promise<void> }> {
  const random = seededRandom(7);
  const network = createFakeBluesky({ seed: 7 });
  const host = await network.host();
  const people = Array.from({ length: 40 }, () => network.makeDid());
  const running = (async () => {
    for (let minute = 0; !signal.aborted; minute++) {
      const wanted = 2 + 6 * (1 + Math.sin(minute / 40));
      for (let index = 0; index < wanted; index++) {
        const list = random() < 0.6 ? sentences : noise;
        const post = network.post({ text: list[Math.floor(random() * list.length)] ?? '', did: people[Math.floor(random() * people.length)] ?? '' });
        if (random() < 0.03) network.delete(post.id);
        await systemClock.sleep(1_000 / wanted, signal).catch(() => undefined);
      }
    }
    await host[Symbol.asyncDispose]();
  })();
  return { url: host.url, running };
}
