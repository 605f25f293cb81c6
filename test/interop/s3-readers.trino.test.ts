// The table on S3, read through the same catalog by PyIceberg, by DuckDB's iceberg extension, by Trino and by our own
// engine: the same rows, by count and by hash. Issue 10, "Shown by".
import { join } from 'node:path';
import { jest } from '@jest/globals';
import { seededRandom, systemClock } from '#core/clock.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { silentLogger } from '#core/logger.ts';
import { openS3Store } from '#core/store/s3/s3.ts';
import { createDuckEngine } from '#sql/engine/duckdb/engine.ts';
import type { Engine } from '#sql/engine/engine.ts';
import { createTrinoEngine } from '#sql/engine/trino/engine.ts';
import { openPostgresCatalog } from '#warehouse/catalog/postgres.ts';
import { openDuck } from '#warehouse/duck.ts';
import { commitAppend } from '#warehouse/table/append.ts';
import { dataFileFromStats } from '#warehouse/table/datafile.ts';
import { ensureTable } from '#warehouse/table/ensure.ts';
import { createTableCache } from '#warehouse/table/files.ts';
import { digestInPython, digestOf, encodePosts, postRows } from '../posts.ts';
import type { PostRow } from '../posts.ts';
import { startPostgres } from '../services/postgres.ts';
import { removeFolder, temporaryFolder } from '../services/process.ts';
import { python, runPython } from '../services/python.ts';
import { startS3 } from '../services/s3.ts';
import { startTrino } from '../services/trino.ts';
import { ask } from '../sql-lake.ts';

jest.setTimeout(900_000);

const script = `
import sys, glob, os
from datetime import datetime, timedelta, timezone
from pyiceberg.catalog.sql import SqlCatalog
import duckdb, duckdb_extension_avro, duckdb_extension_httpfs, duckdb_extension_iceberg
url, endpoint, region, key, secret = sys.argv[1:6]
catalog = SqlCatalog('watershed', uri=url.replace('postgres://', 'postgresql+psycopg2://'), init_catalog_tables='false',
    **{'s3.endpoint': endpoint, 's3.region': region, 's3.access-key-id': key, 's3.secret-access-key': secret})
table = catalog.load_table(('store', 'posts'))
${digestInPython}
engine = duckdb.connect()
for module, name in ((duckdb_extension_httpfs, 'httpfs'), (duckdb_extension_avro, 'avro'), (duckdb_extension_iceberg, 'iceberg')):
    [path] = glob.glob(os.path.join(os.path.dirname(module.__file__), 'extensions', '*', name + '.duckdb_extension'))
    engine.execute(f"LOAD '{path}'")
engine.execute("SET timezone = 'UTC'")
engine.execute(f"""CREATE SECRET s (TYPE s3, PROVIDER config, KEY_ID '{key}', SECRET '{secret}', REGION '{region}',
    ENDPOINT '{endpoint.split('//')[1]}', URL_STYLE 'path', USE_SSL false)""")
scanned = engine.execute(f"select * from iceberg_scan('{table.metadata_location}')").to_arrow_table()
print(json.dumps({'pyiceberg': digest(table.scan().to_arrow()), 'duckdb': digest(scanned)}))
`;

async function digestThrough(engine: Engine): Promise<{ count: number; hash: string }> {
  const { rows } = await ask(engine, `SELECT event_id, post_id, created_at, text, hashtags, likes, latitude, author_verified, log_offset FROM store.posts`);
  return digestOf(rows.map(([event, post, created, text, hashtags, likes, latitude, verified, offset]): PostRow => ({
    event_id: String(event), post_id: String(post), created_at_us: microsOf(String(created)), text: text === null ? null : String(text),
    hashtags: Array.isArray(hashtags) ? hashtags.map(String) : null, likes: likes === null ? null : Number(likes),
    latitude: latitude === null ? null : Number(latitude), author_verified: verified === true, log_offset: Number(offset),
  })));
}

/** `2013-06-20T00:00:00.123456Z` in microseconds: Date knows milliseconds only. */
function microsOf(instant: string): number {
  return Date.parse(`${instant.slice(0, 19)}Z`) * 1000 + Number(instant.slice(20, 26));
}

test('four readers see the same rows of the table on S3', async () => {
  await python();
  await using stack = new AsyncDisposableStack();
  const s3 = stack.use(await startS3());
  const postgres = await startPostgres();
  stack.defer(() => postgres.stop());
  const folder = await temporaryFolder('s3-readers');
  stack.defer(() => removeFolder(folder));
  const database = stack.use(openDatabase(postgres.url, { max: 4 }));
  await migrate(database);
  const warehouse = `s3://${s3.bucket}/some/lake`;
  const store = stack.use(await openS3Store({
    uri: warehouse, region: s3.region, endpoint: s3.endpoint, pathStyle: true, keys: s3, clock: systemClock,
    cache: { folder: join(folder, 'cache'), bytesMax: 1e9 },
  }));
  const duck = stack.use(await openDuck({ staging: join(folder, 'staging'), memoryBytes: 500e6, threads: 2 }));
  const connection = await duck.connect();
  const catalog = openPostgresCatalog(database, { catalogName: 'watershed' });
  const context = { catalog, store, clock: systemClock, random: seededRandom(4), cache: createTableCache() };
  const ref = { namespace: storeNamespace, name: 'posts' };
  await ensureTable(context, ref, tables.posts);
  for (let batch = 0; batch < 6; batch++) {
    const file = await encodePosts(connection, postRows(batch * 200, 200), duck.staging);
    const key = `store/posts/data/f${batch}.parquet`;
    await store.putFile(key, file.localPath);
    await commitAppend({ ...context, ledger: [], tables: [{ ref, files: [dataFileFromStats(tables.posts, `${store.uri}/${key}`, file.stats)] }], mergeAt: 4 });
  }
  connection.closeSync();
  const wanted = digestOf(postRows(0, 1200));
  expect(await runPython(script, [postgres.url, s3.endpoint, s3.region, s3.accessKey, s3.secretKey])).toEqual({ pyiceberg: wanted, duckdb: wanted });

  const trino = stack.use(await startTrino({ catalogs: { lake: { database: postgres.url, name: 'watershed', warehouse, s3, readOnly: true } } }));
  const schemas = { catalog: 'lake', schema: 'store', schemas: ['lake', 'store'] };
  expect(await digestThrough(stack.use(createTrinoEngine({ url: trino.url, ...schemas, clock: systemClock })))).toEqual(wanted);

  const cold = stack.use(await openS3Store({
    uri: warehouse, region: s3.region, endpoint: s3.endpoint, pathStyle: true, keys: s3, clock: systemClock,
    cache: { folder: join(folder, 'cold'), bytesMax: 1e9 },
  }));
  const engine = stack.use(createDuckEngine({
    catalog, store: cold, cache: createTableCache(), children: 1, memoryBytes: 256 * 2 ** 20, threads: 2, readable: [join(folder, 'cold')],
    tempDir: join(folder, 'temp'), tempBytesMax: 2 ** 30, clock: systemClock, logger: silentLogger,
  }));
  expect(await digestThrough(engine)).toEqual(wanted);
});
