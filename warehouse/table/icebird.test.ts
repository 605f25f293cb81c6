import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { icebergRead } from 'icebird';
import { seededRandom, systemClock } from '#core/clock.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import { createMemoryStore } from '#core/store/memory.ts';
import { digestOf, encodePosts, postRows } from '#test/posts.ts';
import type { PostRow } from '#test/posts.ts';
import { removeFolder, temporaryFolder } from '#test/services/process.ts';
import { createMemoryCatalog } from '../catalog/memory.ts';
import { openDuck } from '../duck.ts';
import { commitAppend } from './append.ts';
import { dataFileFromStats } from './datafile.ts';
import { ensureTable } from './ensure.ts';
import { createTableCache, loadMetadata } from './files.ts';
import { commitReplace } from './replace.ts';
import { planScan } from './scan.ts';
import type { CommitContext } from './transaction.ts';

const ref = { namespace: storeNamespace, name: 'posts' };

/** icebird reads over HTTP only: the store's objects, at the address that the table's paths name. */
async function serveStore() {
  const server = createServer((request, response) => {
    const [, start, end] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    const range = start === undefined ? undefined : { start: Number(start), end: Number(end) + 1 };
    store.get(String(request.url).slice(1), range).then(
      (bytes) => response.writeHead(range ? 206 : 200, { 'content-length': bytes.length }).end(bytes),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const store = createMemoryStore(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
  const close = (): Promise<void> => new Promise((resolve) => {
    server.closeAllConnections();
    server.close(() => resolve());
  });
  return { store, close };
}

test('icebird reads hot and filed files of several commits', async () => {
  const { store, close } = await serveStore();
  const folder = await temporaryFolder('icebird');
  const duck = await openDuck({ staging: folder, memoryBytes: 500e6, threads: 2 });
  const connection = await duck.connect();
  try {
    const catalog = createMemoryCatalog();
    const context: CommitContext = { catalog, store, clock: systemClock, random: seededRandom(5) };
    await ensureTable(context, ref, tables.posts);
    const place = async (rows: readonly PostRow[], name: string, partition?: Parameters<typeof dataFileFromStats>[3]) => {
      const file = await encodePosts(connection, rows, folder);
      await store.putFile(`store/posts/data/${name}.parquet`, file.localPath);
      return dataFileFromStats(tables.posts, `${store.uri}/store/posts/data/${name}.parquet`, file.stats, partition);
    };
    for (const from of [0, 100, 200]) {
      const files = [await place(postRows(from, 100), `hot${from}`)];
      await commitAppend({ ...context, tables: [{ ref, files }], ledger: [], mergeAt: 2 });
    }
    const rows = [...postRows(0, 100), ...postRows(100, 100), ...postRows(200, 100)];
    const current = async () => loadMetadata(store, createTableCache(), await catalog.load(ref) ?? '');
    const plan = await planScan({ store, metadata: await current() });
    const first = plan.files.find(({ path }) => path.endsWith('hot0.parquet'));
    const groups = Map.groupBy(postRows(0, 100), (row) => `${row.event_id}/${Math.floor(row.created_at_us / 86_400_000_000)}`);
    const filed = await Promise.all([...groups].map(([key, some], index) => {
      const [event = '', day = ''] = key.split('/');
      return place(some, `filed${index}`, { specId: 1, values: { '1000': event, '1001': Number(day) } });
    }));
    await commitReplace({ ...context, ref, remove: [first?.path ?? ''], add: filed, readAtSequenceNumber: plan.sequenceNumber });
    const location = await catalog.load(ref) ?? '';
    const read = await icebergRead({
      tableUrl: `${store.uri}/store/posts`, metadataFileName: location.replace(/.*\//, ''),
    });
    const back = read.map((row): PostRow => ({
      event_id: row['event_id'], post_id: row['post_id'], created_at_us: row['created_at'].getTime() * 1000, text: row['text'] ?? null,
      hashtags: row['hashtags'] ?? null, likes: row['likes'] === undefined || row['likes'] === null ? null : Number(row['likes']),
      latitude: row['latitude'] ?? null, author_verified: row['author_verified'], log_offset: Number(row['log_offset']),
    }));
    // icebird has milliseconds only, and cuts towards zero also before 1970.
    const toMs = (row: PostRow): PostRow => ({ ...row, created_at_us: Math.trunc(row.created_at_us / 1000) * 1000 });
    expect(digestOf(back.map(toMs))).toEqual(digestOf(rows.map(toMs)));
  } finally {
    connection.closeSync();
    await duck[Symbol.asyncDispose]();
    await close();
    await removeFolder(folder);
  }
}, 30_000);
