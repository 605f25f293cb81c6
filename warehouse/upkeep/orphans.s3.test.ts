import { seededRandom, systemClock } from '#core/clock.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import type { Store } from '#core/store/store.ts';
import { openS3Store } from '#core/store/s3/s3.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { startS3 } from '#test/services/s3.ts';
import { createMemoryCatalog } from '../catalog/memory.ts';
import { ensureTable } from '../table/ensure.ts';
import { createTableCache } from '../table/files.ts';
import { deleteOrphans, findOrphans } from './orphans.ts';

const dayMs = 86_400_000;

test('in a bucket, too, what nobody names and is old goes by the clock of the store; what is young, hidden, named or elsewhere stays', async () => {
  const folder = await temporaryFolder('orphans-s3');
  try {
    await using s3 = await startS3();
    await using bucket = await openS3Store({
      uri: `s3://${s3.bucket}/lake`, region: s3.region, endpoint: s3.endpoint, pathStyle: true, keys: { accessKey: s3.accessKey, secretKey: s3.secretKey },
      cache: { folder, bytesMax: 1e9 }, clock: systemClock,
    });
    // Objects called old-… and all of the table's own were made three days ago, as far as the listing tells.
    const store: Store = { ...bucket, list: async function* list(prefix) {
      for await (const found of bucket.list(prefix)) {
        const aged = found.key.includes('old-') || found.key.endsWith('.metadata.json');
        yield aged ? { ...found, modifiedAtMs: found.modifiedAtMs - 3 * dayMs } : found;
      }
    } };
    // A clock of ours that is wrong by days does not matter.
    const clock = { ...systemClock, now: () => systemClock.now() + 30 * dayMs };
    const context = { catalog: createMemoryCatalog(), store, clock, random: seededRandom(1), cache: createTableCache() };
    const ref = { namespace: storeNamespace, name: 'posts' };
    await ensureTable(context, ref, tables.posts);
    const named = await context.catalog.load(ref);
    const stays = ['store/posts/data/young.parquet', 'store/posts/data/_old-hidden', 'store/raw/data/old-of-another.parquet', 'old-beside.txt'];
    const goes = ['store/posts/data/old-1.parquet', 'store/posts/data/old-2.parquet', 'store/posts/metadata/old-3.avro'];
    for (const key of [...stays, ...goes]) await store.put(key, Buffer.from('x'));
    const options = { context, minAgeMs: dayMs, signal: new AbortController().signal };
    const plan = await findOrphans(options, 'posts');
    expect(plan.orphans.map(({ key }) => key).toSorted()).toEqual(goes.toSorted());
    expect(await Promise.all(goes.map((key) => bucket.size(key)))).toEqual([1, 1, 1]); // a look changes nothing
    expect(await deleteOrphans(options, plan)).toBe(goes.length);
    expect(await Promise.all(goes.map((key) => bucket.size(key)))).toEqual([undefined, undefined, undefined]);
    expect(await Promise.all(stays.map((key) => bucket.size(key)))).toEqual([1, 1, 1, 1]);
    expect(named).toMatch(/\.metadata\.json$/);
    expect((await findOrphans(options, 'posts')).orphans).toEqual([]);
  } finally {
    await removeFolder(folder);
  }
}, 180_000);
