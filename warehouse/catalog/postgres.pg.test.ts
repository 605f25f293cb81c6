import { createServer, connect } from 'node:net';
import type { AddressInfo, Socket } from 'node:net';
import { seededRandom } from '#core/clock.ts';
import { openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { hurriedClock, watchedStore, noteFile, notes, notesRef } from '#test/lake.ts';
import { startPostgres } from '#test/services/postgres.ts';
import type { TestPostgres } from '#test/services/postgres.ts';
import { commitAppend } from '../table/append.ts';
import { ensureTable } from '../table/ensure.ts';
import { createTableCache, loadMetadata } from '../table/files.ts';
import type { CommitContext } from '../table/transaction.ts';
import { catalogSuite } from './catalog.suite.ts';
import { openPostgresCatalog } from './postgres.ts';

let server: TestPostgres;
beforeAll(async () => { server = await startPostgres(); }, 30_000);
afterAll(() => server.stop());

async function freshDatabase(): Promise<string> {
  const url = await server.createDatabase();
  await using database = openDatabase(url, { max: 1 });
  await migrate(database);
  return url;
}

catalogSuite('postgres', async () => {
  const database = openDatabase(await freshDatabase(), { max: 8 });
  return {
    catalog: openPostgresCatalog(database, { catalogName: 'watershed' }),
    async setEpoch(lease, epoch) {
      await database.execute(
        `insert into watershed.lease (name, holder, epoch, expires_at) values ($1, 'test', $2, now() + interval '1 minute')
         on conflict (name) do update set epoch = excluded.epoch`, [lease, epoch]);
    },
    dispose: async () => { await database[Symbol.asyncDispose](); },
  };
});

test('rows are those of the JDBC catalog, version V1, and those of other catalogs in the same database are not ours', async () => {
  await using database = openDatabase(await freshDatabase(), { max: 2 });
  const catalog = openPostgresCatalog(database, { catalogName: 'watershed' });
  const posts = { namespace: 'store', name: 'posts' };
  await catalog.create(posts, 'file:///a', 'table');
  await catalog.commit({ swaps: [{ table: posts, expected: 'file:///a', next: 'file:///b' }], ledger: [] });
  await database.execute(`insert into public.iceberg_tables values ('other', 'store', 'posts', 'file:///z', null, 'TABLE')`);
  // A row of version V0, as Iceberg for Java makes it when not told otherwise, has no type.
  await database.execute(`insert into public.iceberg_tables values ('watershed', 'store', 'theirs', 'file:///t', null, null)`);
  const rows = await database.query(`select * from public.iceberg_tables where catalog_name = 'watershed' and table_name = 'posts'`);
  expect(rows).toEqual([{
    catalog_name: 'watershed', table_namespace: 'store', table_name: 'posts', metadata_location: 'file:///b',
    previous_metadata_location: 'file:///a', iceberg_type: 'TABLE',
  }]);
  expect(await database.query('select * from public.iceberg_namespace_properties')).toEqual([
    { catalog_name: 'watershed', namespace: 'store', property_key: 'exists', property_value: 'true' },
  ]);
  expect(await catalog.list('store')).toEqual([{ name: 'posts', kind: 'table' }, { name: 'theirs', kind: 'table' }]);
  expect(await catalog.load({ namespace: 'store', name: 'theirs' })).toBe('file:///t');
});

/** Stands between us and the server, and cuts the connection at the next COMMIT: before it arrives, or before its answer does. */
async function cuttingProxy(url: string) {
  const target = new URL(url);
  const port = Number(target.port);
  const sockets = new Set<Socket>();
  let cut: 'before' | 'after' | undefined;
  let cuts = 0;
  const proxy = createServer((client) => {
    const upstream = connect(port, target.hostname);
    let swallow = false;
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => { client.destroy(); upstream.destroy(); });
    }
    client.on('data', (bytes) => {
      if (cut !== undefined && bytes.includes('commit\0')) {
        const how = cut;
        cut = undefined;
        cuts += 1;
        if (how === 'before') return void client.destroy();
        swallow = true;
      }
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => (swallow ? client.destroy() : client.write(bytes)));
  });
  await new Promise<void>((resolve) => proxy.listen(0, '127.0.0.1', resolve));
  target.port = String((proxy.address() as AddressInfo).port);
  return {
    url: target.href,
    cutNext: (how: 'before' | 'after') => { cut = how; },
    cuts: () => cuts,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => proxy.close(resolve));
    },
  };
}

test.each(['before', 'after'] as const)('an append whose commit is cut off %s it took effect is there once', async (how) => {
  const url = await freshDatabase();
  await using proxy = await cuttingProxy(url);
  await using database = openDatabase(proxy.url, { max: 2 });
  const catalog = openPostgresCatalog(database, { catalogName: 'watershed' });
  const store = watchedStore();
  const context: CommitContext = { catalog, store, clock: hurriedClock(), random: seededRandom(3) };
  await ensureTable(context, notesRef, notes);
  const append = (from: number) => commitAppend({
    ...context,
    tables: [{
      ref: notesRef, files: [noteFile(`f${from}`)], properties: { 'watershed.offset': String(from + 10) },
      expectProperties: { 'watershed.offset': from === 0 ? undefined : String(from) },
    }],
    ledger: [{
      landing: 'posts', logIdentity: 'l', topic: 'posts', partition: 0, from: BigInt(from), to: BigInt(from + 10), kept: 10,
      duplicate: 0, dead: 0,
    }],
  });
  proxy.cutNext(how);
  await expect(catalog.commit({ swaps: [], ledger: [] })).rejects.toMatchObject({ code: 'commit_unknown' });
  proxy.cutNext(how);
  const [committed] = await append(0);
  expect(proxy.cuts()).toBe(2);
  await append(10);
  const location = await catalog.load(notesRef);
  const metadata = await loadMetadata(store, createTableCache(), location ?? '');
  expect(metadata.snapshots).toHaveLength(2);
  expect(metadata.snapshots[0]?.summary['total-records']).toBe('10');
  expect(metadata.snapshots[1]?.summary['total-records']).toBe('20');
  expect(await catalog.landed('posts', 'l')).toEqual(new Map([[0, 20n]]));
  expect(committed?.leftovers).toEqual([]);
  // Two manifests and lists, and three metadata files (the empty one too): what the lost attempt wrote is gone.
  expect([...store.keys].filter((key) => key.includes('/snap-'))).toHaveLength(2);
  expect([...store.keys].filter((key) => key.endsWith('.metadata.json'))).toHaveLength(3);
});

test('writers that race over one database lose nothing, and each landing keeps its chain', async () => {
  const url = await freshDatabase();
  const store = watchedStore();
  await using first = openDatabase(url, { max: 1 });
  await ensureTable({ catalog: openPostgresCatalog(first, { catalogName: 'watershed' }), store, clock: hurriedClock(), random: seededRandom(1) },
    notesRef, notes);
  const commits = 8;
  await Promise.all([1, 2, 3].map(async (writer) => {
    await using database = openDatabase(url, { max: 1 });
    const catalog = openPostgresCatalog(database, { catalogName: 'watershed' });
    for (let index = 0; index < commits; index += 1) {
      await commitAppend({
        catalog, store, clock: hurriedClock(), random: seededRandom(writer * 100 + index), mergeAt: 4,
        tables: [{
          ref: notesRef, files: [noteFile(`${writer}-${index}`)], properties: { [`offset.${writer}`]: String(index + 1) },
          expectProperties: { [`offset.${writer}`]: index === 0 ? undefined : String(index) },
        }],
        ledger: [{
          landing: `l${writer}`, logIdentity: 'l', topic: 'posts', partition: 0, from: BigInt(index), to: BigInt(index + 1), kept: 1,
          duplicate: 0, dead: 0,
        }],
      });
    }
  }));
  const catalog = openPostgresCatalog(first, { catalogName: 'watershed' });
  const metadata = await loadMetadata(store, createTableCache(), await catalog.load(notesRef) ?? '');
  expect(metadata.snapshots.at(-1)?.summary).toMatchObject({ 'total-data-files': '24', 'total-records': '240' });
  expect(await Promise.all([1, 2, 3].map((writer) => catalog.landed(`l${writer}`, 'l')))).toEqual([1, 2, 3].map(() => new Map([[0, 8n]])));
});
