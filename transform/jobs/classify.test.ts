import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { seededRandom, systemClock } from '#core/clock.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import { createMetrics } from '#core/metrics.ts';
import { openFileStore } from '#core/store/file.ts';
import type { Store } from '#core/store/store.ts';
import { createMemoryCatalog, type MemoryCatalog } from '#warehouse/catalog/memory.ts';
import { literal, openDuck, rowsOf, type Duck } from '#warehouse/duck.ts';
import { encodeParquet } from '#warehouse/encode.ts';
import { selectRows } from '#warehouse/select.ts';
import { commitAppend } from '#warehouse/table/append.ts';
import { dataFileFromStats } from '#warehouse/table/datafile.ts';
import { createTableCache, loadMetadata } from '#warehouse/table/files.ts';
import { planScan } from '#warehouse/table/scan.ts';
import { ensureTables } from '#warehouse/tables.ts';
import { createMemoryClassifier } from '../classifiers/memory.ts';
import type { Classifier } from '../classifiers/classifier.ts';
import { classifyJob } from './classify.ts';

const identity = 'log-1';

interface Lake extends AsyncDisposable {
  readonly store: Store;
  readonly catalog: MemoryCatalog;
  readonly duck: Duck;
  /** Lands posts as the writer does: rows, and the offset after them. */
  land(partition: number, from: number, posts: readonly { event: string; id: string; text: string }[]): Promise<void>;
  run(classifier: Classifier, crashAt?: string): Promise<void>;
  labels(): Promise<Readonly<Record<string, unknown>>[]>;
  properties(): Promise<Readonly<Record<string, string>>>;
}

async function openLake(): Promise<Lake> {
  const folder = await mkdtemp(join(tmpdir(), 'classify-'));
  const store = await openFileStore(join(folder, 'lake'));
  const catalog = createMemoryCatalog();
  const context = { catalog, store, clock: systemClock, random: seededRandom(7), cache: createTableCache() };
  await ensureTables(context);
  const duck = await openDuck({ staging: join(folder, 'staging'), memoryBytes: 512e6, threads: 1 });
  const read = async (name: string) => loadMetadata(store, createTableCache(), await catalog.load({ namespace: storeNamespace, name }) ?? '');
  return {
    store, catalog, duck,
    async land(partition, from, posts) {
      const connection = await duck.connect();
      const path = join(duck.staging, `posts-${partition}-${from}.ndjson`);
      const rows = posts.map(({ event, id, text }, index) => JSON.stringify({
        event_id: event, source: 'x', post_id: id, created_at: '2026-01-02 03:04:05+00', text, log_partition: partition, log_offset: from + index,
      }));
      await writeFile(path, rows.join('\n'));
      const file = await encodeParquet(connection, `select ${tables.posts.columns.map(({ name }) => name).join(', ')} from
        (select * from read_json(${literal(path)}, format = 'newline_delimited', columns = {event_id: 'VARCHAR', source: 'VARCHAR',
          post_id: 'VARCHAR', created_at: 'TIMESTAMPTZ', text: 'VARCHAR', log_partition: 'INTEGER', log_offset: 'BIGINT'})),
        (select ${tables.posts.columns.filter(({ name }) => !['event_id', 'source', 'post_id', 'created_at', 'text', 'log_partition', 'log_offset']
          .includes(name)).map(({ name }) => `null as ${name}`).join(', ')})`, tables.posts, duck.staging);
      connection.closeSync();
      if (file === undefined) throw new Error('no rows');
      const key = `${storeNamespace}/posts/data/${partition}-${from}.parquet`;
      await store.putFile(key, file.localPath);
      await commitAppend({ ...context, ledger: [], tables: [{
        ref: { namespace: storeNamespace, name: 'posts' }, files: [dataFileFromStats(tables.posts, `${store.uri}/${key}`, file.stats)],
        properties: { [`watershed.offset.${identity}.${partition}`]: String(from + posts.length) },
      }] });
    },
    async run(classifier, crashAt) {
      const job = classifyJob({
        ...context, cache: createTableCache(), duck, metrics: createMetrics(), classifier, logIdentity: identity,
        onCommit: () => {
          if (crashAt === 'after the commit') throw new Error(`killed at ${crashAt}`);
        },
        crashPoint: (name) => {
          if (name === crashAt) throw new Error(`killed at ${name}`);
        },
      });
      await job.run({}, { signal: new AbortController().signal, progress: async () => undefined });
    },
    async labels() {
      const connection = await duck.connect();
      const metadata = await read('classifications');
      const plan = await planScan({ store, metadata });
      const names = tables.classifications.columns.map(({ name }) => name).filter((name) => name !== 'classified_at');
      const rows = await rowsOf(connection, `select * from (${await selectRows(store, tables.classifications, plan.files, names)})
        order by log_partition, log_offset, event_id, model_version`);
      connection.closeSync();
      return rows;
    },
    properties: async () => (await read('classifications')).properties,
    async [Symbol.asyncDispose]() {
      await duck[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

const flood = (ids: readonly number[], text = 'water everywhere') => ids.map((id) => ({ event: 'flood', id: String(id), text }));
const view = (rows: readonly Readonly<Record<string, unknown>>[]) =>
  rows.map((row) => `${String(row['event_id'])}/${String(row['post_id'])} ${String(row['label'])} ${Number(row['score']).toFixed(4)} ${String(row['model_version'])}`);

test('labels what landed, once, in the order of the log, and remembers how far it came', async () => {
  await using lake = await openLake();
  const classifier = createMemoryClassifier(['water']);
  await lake.land(0, 0, [...flood([1, 2]), { event: 'quake', id: '3', text: 'nothing' }]);
  await lake.land(1, 0, flood([4]));
  await lake.run(classifier);
  await lake.run(classifier);
  expect(view(await lake.labels())).toEqual([
    'flood/1 relevant 0.5000 memory-1', 'flood/2 relevant 0.6667 memory-1', 'quake/3 not_relevant 0.5000 memory-1', 'flood/4 relevant 0.7500 memory-1',
  ]);
  await lake.land(0, 3, flood([5]));
  await lake.run(classifier);
  expect(view(await lake.labels())).toContain('flood/5 relevant 0.8000 memory-1');
  expect((await lake.properties())[`watershed.classified.memory-1.${identity}.0`]).toBe('4');
});

const crashPoints = ['read', 'classified', 'encoded', 'placed', 'manifest-written', 'manifest-list-written', 'metadata-written', 'after the commit'];

test.each(crashPoints)('killed at %s, it ends with the same labels as if it had not been', async (crashAt) => {
  await using lake = await openLake();
  const classifier = createMemoryClassifier(['water']);
  await lake.land(0, 0, flood([1, 2, 3]));
  await lake.run(classifier);
  await lake.land(0, 3, flood([4, 5]));
  await expect(lake.run(classifier, crashAt)).rejects.toThrow(`killed at ${crashAt}`);
  await lake.run(classifier);
  expect(view(await lake.labels())).toEqual([
    'flood/1 relevant 0.5000 memory-1', 'flood/2 relevant 0.6667 memory-1', 'flood/3 relevant 0.7500 memory-1',
    'flood/4 relevant 0.8000 memory-1', 'flood/5 relevant 0.8333 memory-1',
  ]);
});

test('a new model takes new posts first and then does the old ones again', async () => {
  await using lake = await openLake();
  await lake.land(0, 0, flood([1, 2]));
  await lake.run(createMemoryClassifier(['water']));
  await lake.land(0, 2, flood([3]));
  await lake.run(createMemoryClassifier(['everywhere'], 'memory-2'));
  expect(view(await lake.labels())).toEqual([
    'flood/1 relevant 0.5000 memory-1', 'flood/1 relevant 0.6667 memory-2',
    'flood/2 relevant 0.6667 memory-1', 'flood/2 relevant 0.7500 memory-2', 'flood/3 relevant 0.5000 memory-2',
  ]);
});

test('two at once label every post once', async () => {
  await using lake = await openLake();
  const classifier = createMemoryClassifier(['water']);
  await lake.land(0, 0, flood(Array.from({ length: 50 }, (_, index) => index)));
  await Promise.all([lake.run(classifier), lake.run(classifier)]);
  expect((await lake.labels()).map((row) => row['post_id'])).toHaveLength(50);
});
