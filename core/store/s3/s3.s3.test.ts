import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '../../clock.ts';
import { storeSuite } from '../store.suite.ts';
import { startS3 } from '#test/services/s3.ts';
import { openS3Store } from './s3.ts';

storeSuite('an S3 bucket', async () => {
  const s3 = await startS3();
  const folder = await mkdtemp(join(tmpdir(), 'watershed-s3-cache-'));
  let handles = 0;
  const open = () => openS3Store({
    uri: `s3://${s3.bucket}/some/prefix`, region: s3.region, endpoint: s3.endpoint, pathStyle: true,
    keys: { accessKey: s3.accessKey, secretKey: s3.secretKey },
    cache: { folder: join(folder, String(++handles)), bytesMax: 1e9 }, clock: systemClock,
  });
  const stores = [await open()];
  return {
    store: stores[0] ?? (await open()),
    async another() {
      const store = await open();
      stores.push(store);
      return store;
    },
    async dispose() {
      for (const store of stores) await store[Symbol.asyncDispose]();
      await s3.stop();
      await rm(folder, { recursive: true });
    },
  };
});
