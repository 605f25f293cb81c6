import { messageOf, WatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import { manyPosts, openUpkeepLake, timelessLimits, type UpkeepLake } from '#test/upkeep-lake.ts';
import type { Catalog } from '../catalog/catalog.ts';
import { createTableCache, loadManifest, loadManifestList } from '../table/files.ts';
import { isLive } from '../table/manifest.ts';
import { keepTable, type UpkeepOptions } from './upkeep.ts';

const limits = { ...timelessLimits, mergeFilesMin: 4, hotBytesMax: 60_000, partitionBytesMin: 10_000, packFilesMin: 3 };

/** As `object`, until `isDead`: from then on no call has an effect, as if the process were killed. */
function mortal<Part extends object>(object: Part, isDead: () => boolean): Part {
  return new Proxy(object, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name);
      if (typeof value !== 'function') return value;
      return (...given: unknown[]): unknown => {
        if (isDead()) throw new WatershedError('internal', 'killed');
        return Reflect.apply(value, target, given);
      };
    },
  });
}

/** Runs upkeep and kills it at the `nth` time that it reaches `point`; true if it got there. */
async function killAt(lake: UpkeepLake, point: string, nth: number): Promise<boolean> {
  let reached = 0;
  let dead = false;
  const store: Store = mortal(lake.context.store, () => dead);
  const catalog: Catalog = mortal<Catalog>(lake.context.catalog, () => dead);
  const options: UpkeepOptions = { ...lake.options, limits, context: {
    ...lake.context, store, catalog, cache: createTableCache(),
    crashPoint(name) {
      if (name === point && ++reached === nth) dead = true;
      if (dead) throw new WatershedError('internal', `killed at ${name}`);
    },
  } };
  await keepTable(options, 'posts').catch((error: unknown) => {
    if (!/killed/.test(messageOf(error))) throw error;
  });
  return dead;
}

/** Reads every file of every snapshot, as invariant 4 wants it. */
async function expectAllThere({ context, current }: UpkeepLake): Promise<void> {
  for (const snapshot of (await current()).snapshots) {
    for (const manifest of await loadManifestList(context.store, createTableCache(), snapshot)) {
      for (const { file, ...entry } of await loadManifest(context.store, manifest)) {
        if (isLive({ file, ...entry })) expect(await context.store.size(file.path.replace(`${context.store.uri}/`, ''))).toBe(file.bytes);
      }
    }
  }
}

const points = ['placed', 'manifest-written', 'manifest-list-written', 'metadata-written', 'committed', 'deleted'];

test.each(points)('killed at %s, first or later: nothing is lost or doubled, and the next run does the rest', async (point) => {
  await using lake = await openUpkeepLake();
  let kills = 0;
  for (const [round, nth] of [1, 2, 1].entries()) {
    for (let index = 0; index < 6; index++) await lake.append(manyPosts(300, { from: round * 10_000 + index * 300, events: 2, days: 1 }));
    lake.clock.nowMs += 400_000;
    for (let index = 0; index < 6; index++) await lake.append(manyPosts(5, { from: 100_000 + round * 10_000 + index * 5 }));
    if (await killAt(lake, point, nth)) kills++;
    expect(await lake.differences()).toEqual({ missing: 0, extra: 0 });
    await expectAllThere(lake);
  }
  expect(kills).toBeGreaterThanOrEqual(2);
  await keepTable({ ...lake.options, limits }, 'posts');
  expect(await lake.differences()).toEqual({ missing: 0, extra: 0 });
  expect((await lake.plan()).files.length).toBeLessThan(12);
}, 60_000);
