/**
 * `npm run services [-- kafka s3 redis postgres trino]`: starts real services for a person, all of them or those that are
 * named, and prints the variables to paste. Ctrl-C stops them; nothing is left behind.
 */
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { startKafka } from './kafka.ts';
import { startPostgres } from './postgres.ts';
import { startRedis } from './redis.ts';
import { startS3 } from './s3.ts';
import type { S3Service } from './s3.ts';
import { startTrino } from './trino.ts';

const names = ['postgres', 'kafka', 's3', 'redis', 'trino'];
const wanted = process.argv.slice(2).length === 0 ? names : process.argv.slice(2);
const unknown = wanted.filter((name) => !names.includes(name));
if (unknown.length > 0) {
  process.stderr.write(`there is no service ${unknown.join(', ')}; there are ${names.join(', ')}\n`);
  process.exit(2);
}

const variables: [name: string, value: string][] = [];
const stops: (() => Promise<void>)[] = [];
let stopping = false;

async function begin<T extends { stop(): Promise<void> }>(name: string, start: () => Promise<T>): Promise<T> {
  process.stderr.write(`starting ${name} …\n`);
  const service = await start();
  stops.push(() => service.stop());
  return service;
}

async function stopAll(): Promise<void> {
  if (stopping) return;
  stopping = true;
  process.stderr.write('stopping …\n');
  for (const stop of stops.toReversed()) await stop();
}

async function startAll(): Promise<void> {
  const needsPostgres = wanted.includes('postgres') || wanted.includes('trino');
  const postgres = needsPostgres ? await begin('postgres', startPostgres) : undefined;
  if (postgres !== undefined) variables.push(['DATABASE_URL', postgres.url]);
  if (wanted.includes('kafka')) variables.push(['KAFKA_BROKERS', (await begin('kafka', () => startKafka())).brokers]);
  const s3 = wanted.includes('s3') || wanted.includes('trino') ? await begin('s3', startS3) : undefined;
  if (s3 !== undefined) variables.push(...s3Variables(s3));
  if (wanted.includes('redis')) variables.push(['REDIS_URL', (await begin('redis', () => startRedis())).url]);
  if (postgres === undefined || s3 === undefined || !wanted.includes('trino')) return;
  // Trino looks for the catalog's tables at once.
  await using database = openDatabase(postgres.url, { max: 2 });
  await migrate(database);
  const lake = { database: postgres.url, name: 'watershed', warehouse: `s3://${s3.bucket}/lake`, s3, readOnly: true };
  const { url } = await begin('trino', () => startTrino({ catalogs: { lake } }));
  variables.push(['TRINO_URL', url.replace('//', '//watershed@')]);
}

function s3Variables(s3: S3Service): [string, string][] {
  return [
    ['WAREHOUSE_URI', `s3://${s3.bucket}/lake`], ['WAREHOUSE_S3_ENDPOINT', s3.endpoint], ['WAREHOUSE_S3_REGION', s3.region],
    ['WAREHOUSE_S3_PATH_STYLE', 'on'], ['WAREHOUSE_S3_ACCESS_KEY', s3.accessKey], ['WAREHOUSE_S3_SECRET_KEY', s3.secretKey],
  ];
}

const interrupted = new Promise<void>((resolve) => {
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
});
try {
  await Promise.race([startAll(), interrupted]);
  process.stdout.write(`${variables.map(([name, value]) => `export ${name}='${value}'`).join('\n')}\n`);
  process.stderr.write('up; Ctrl-C stops them\n');
  // A promise alone does not keep the process alive.
  const alive = setInterval(() => undefined, 60_000);
  await interrupted;
  clearInterval(alive);
} finally {
  await stopAll();
}
