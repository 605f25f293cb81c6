/**
 * Statements over files in S3: through our cache of local copies, and by DuckDB's httpfs extension (which no registry of Node packages
 * has; it comes from PyPI with test/services/python.ts): `node bench/s3-reading.ts`. The store is on this machine: a real one
 * answers later, which costs httpfs more, for it asks several times a file. Appends to bench/results/s3-reading.jsonl.
 */
import { appendFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import { globSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import type { DuckDBConnection } from '@duckdb/node-api';
import { systemClock } from '#core/clock.ts';
import { openS3Store } from '#core/store/s3/s3.ts';
import type { Store } from '#core/store/store.ts';
import { python } from '#test/services/python.ts';
import { startS3 } from '#test/services/s3.ts';

const files = 60;
const rowsEach = 20_000;
const folder = await mkdtemp(join(tmpdir(), 'watershed-bench-'));
const [extension = ''] = globSync(join(dirname(await python()), '../lib/*/site-packages/duckdb_extension_httpfs/extensions/*/httpfs.duckdb_extension'));
await using s3 = await startS3();
let caches = 0;
const open = (): Promise<Store & AsyncDisposable> => openS3Store({
  uri: `s3://${s3.bucket}/lake`, region: s3.region, endpoint: s3.endpoint, pathStyle: true, keys: s3, clock: systemClock,
  cache: { folder: join(folder, `cache-${++caches}`), bytesMax: 20 * 2 ** 30 },
});
const statements: Readonly<Record<string, string>> = {
  'one column of all files': 'select event_id, count(*) from FILES group by all',
  'text of all files': "select count(*) from FILES where text ilike '%bridge 77%'",
  'one file in sixty': "select count(*), sum(likes) from FILES where id between 200000 and 219999",
};

await fill();
const keys = Array.from({ length: files }, (_, index) => `data/${index}.parquet`);
const lines: object[] = [];
for (const [what, sql] of Object.entries(statements)) {
  await using store = await open();
  // Our own planner leaves out files by their bounds before any is fetched; httpfs reads each one's footer.
  const wanted = what.startsWith('one file') ? keys.slice(10, 11) : keys;
  const local = async (): Promise<string[]> => Promise.all(wanted.map((key) => store.localPath(key)));
  const remote = async (): Promise<string[]> => wanted.map((key) => `s3://${s3.bucket}/lake/${key}`);
  for (const [way, paths] of [['local copies', local], ['httpfs', remote]] as const) {
    const instance = await DuckDBInstance.create(':memory:', { threads: '2', allow_unsigned_extensions: 'false' });
    const connection = await instance.connect();
    if (way === 'httpfs') await prepare(connection);
    for (const turn of ['first', 'second']) {
      const [wall, cpu] = [performance.now(), process.cpuUsage()];
      const list = (await paths()).map((path) => `'${path}'`).join(', ');
      await connection.runAndReadAll(sql.replace('FILES', `read_parquet([${list}])`));
      const used = process.cpuUsage(cpu);
      const line = { bench: 's3-reading', what, way, turn, ms: Math.round(performance.now() - wall), cpuMs: Math.round((used.user + used.system) / 1000) };
      console.log(JSON.stringify(line));
      lines.push({ ...line, at: new Date().toISOString(), node: process.version, cpu: cpus()[0]?.model, files, rowsEach });
    }
    connection.closeSync();
    instance.closeSync();
  }
}
const results = join(import.meta.dirname, 'results');
await mkdir(results, { recursive: true });
await appendFile(join(results, 's3-reading.jsonl'), lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
await rm(folder, { recursive: true, force: true });

async function fill(): Promise<void> {
  await using store = await open();
  const instance = await DuckDBInstance.create(':memory:');
  const connection = await instance.connect();
  for (let file = 0; file < files; file++) {
    const path = join(folder, `${file}.parquet`);
    await connection.run(`copy (select i as id, 'event-' || (i % 7) as event_id, i % 90 as likes,
      'water rises near bridge ' || (i % 100) || ' on street ' || md5(i::varchar) || ' and ' || md5((i * 7)::varchar) as text
      from range(${file * rowsEach}, ${(file + 1) * rowsEach}) as t(i)) to '${path}' (format parquet, compression zstd)`);
    await store.putFile(`data/${file}.parquet`, path);
  }
  connection.closeSync();
  instance.closeSync();
}

async function prepare(connection: DuckDBConnection): Promise<void> {
  await connection.run(`load '${extension}'`);
  await connection.run(`create secret s (type s3, provider config, key_id '${s3.accessKey}', secret '${s3.secretKey}', region '${s3.region}',
    endpoint '${s3.endpoint.split('//')[1]}', url_style 'path', use_ssl false)`);
  await connection.run('set enable_http_metadata_cache = true');
}
