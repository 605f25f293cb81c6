import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { openDatabase } from '#core/database/database.ts';
import { openS3Store } from '#core/store/s3/s3.ts';
import { openLake } from '#test/backup-lake.ts';
import { startPostgres } from '#test/services/postgres.ts';
import { startS3 } from '#test/services/s3.ts';
import { backUp } from './backup.ts';
import { restore } from './restore.ts';

test('a lake in a folder is restored into a bucket, and goes on there', async () => {
  const postgres = await startPostgres();
  await using s3 = await startS3();
  const work = await mkdtemp(join(tmpdir(), 'watershed-s3-backup-'));
  try {
    const file = join(work, 'lake.tar.zst');
    await using lake = await openLake(await postgres.createDatabase());
    await lake.append(0, 100);
    await lake.land();
    await backUp(file, { database: lake.foundation.database, store: lake.foundation.store, clock: systemClock });
    const url = await postgres.createDatabase();
    const uri = `s3://${s3.bucket}/lake`;
    {
      await using database = openDatabase(url, { max: 4 });
      await using store = await openS3Store({
        uri, region: s3.region, endpoint: s3.endpoint, pathStyle: true, keys: { accessKey: s3.accessKey, secretKey: s3.secretKey },
        cache: { folder: join(work, 'cache'), bytesMax: 1e9 }, clock: systemClock,
      });
      await restore(file, { database, store, staging: join(work, 'staging') });
    }
    await using copy = await openLake(url, {
      WAREHOUSE_URI: uri, WAREHOUSE_S3_ENDPOINT: s3.endpoint, WAREHOUSE_S3_PATH_STYLE: 'on',
      WAREHOUSE_S3_ACCESS_KEY: s3.accessKey, WAREHOUSE_S3_SECRET_KEY: s3.secretKey,
    });
    expect((await lake.rows('posts')).length).toBeGreaterThan(150);
    expect(await copy.rows('posts')).toEqual(await lake.rows('posts'));
    for (const each of [lake, copy]) {
      await each.append(200, 50);
      await each.land();
    }
    expect(await copy.rows('posts')).toHaveLength((await lake.rows('posts')).length);
  } finally {
    await postgres.stop();
    await rm(work, { recursive: true, force: true });
  }
}, 180_000);
