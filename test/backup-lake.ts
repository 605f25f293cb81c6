import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '#core/clock.ts';
import { readConfig } from '#core/config.ts';
import { encodeEnvelope } from '#core/contract/envelope.ts';
import { storeNamespace } from '#core/contract/tables.ts';
import { openFoundation, type Foundation } from '#core/main.ts';
import type { Store } from '#core/store/store.ts';
import { openDuck, literal, rowsOf } from '#warehouse/duck.ts';
import { openWarehouse, warehouseProgram } from '#warehouse/main.ts';
import { createTableCache, loadMetadata, storeKey } from '#warehouse/table/files.ts';
import { planScan } from '#warehouse/table/scan.ts';

/** A lake of real parts in a temporary folder, on a database of the test; `more` are further variables. */
export interface BackupLake extends AsyncDisposable {
  readonly folder: string;
  readonly foundation: Foundation;
  /** Runs the writer until `posts` has landed everything, then stops it. */
  land(): Promise<void>;
  append(from: number, count: number): Promise<void>;
  /** Rows of a table as text, sorted, read by DuckDB from the files that the metadata names. */
  rows(table: string): Promise<string[]>;
}

export async function openLake(databaseUrl: string, more: Readonly<Record<string, string>> = {}): Promise<BackupLake> {
  const folder = await mkdtemp(join(tmpdir(), 'watershed-backup-'));
  await chmod(folder, 0o711);
  const foundation = await openFoundation(readConfig({
    WATERSHED_DATA_DIR: folder, DATABASE_URL: databaseUrl, WATERSHED_COMMIT_INTERVAL_MS: '50', WATERSHED_LOG_PARTITIONS: '2', ...more,
  }));
  const warehouse = await openWarehouse(foundation);
  return {
    folder,
    foundation,
    async land() {
      const stop = new AbortController();
      const running = warehouseProgram(foundation, warehouse, { onCommit: () => undefined }).run(stop.signal);
      try {
        while (!(await isLanded(foundation))) await systemClock.sleep(20);
      } finally {
        stop.abort(new Error('landed'));
        await running;
      }
    },
    async append(from, count) {
      for (const partition of [0, 1]) {
        await foundation.log.append('posts', partition, Array.from({ length: count }, (_, index) => record(from + 2 * index + partition)));
      }
    },
    async rows(table) {
      const location = await warehouse.catalog.load({ namespace: storeNamespace, name: table });
      const metadata = await loadMetadata(foundation.store, createTableCache(), location ?? '');
      const { files } = await planScan({ store: foundation.store, metadata });
      return readFiles(foundation.store, folder, files.map(({ path }) => path));
    },
    async [Symbol.asyncDispose]() {
      await foundation[Symbol.asyncDispose]();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function readFiles(store: Store, folder: string, paths: readonly string[]): Promise<string[]> {
  if (paths.length === 0) return [];
  await using duck = await openDuck({ staging: join(folder, 'reading'), memoryBytes: 2 ** 28, threads: 1 });
  const local = await Promise.all(paths.map((path) => store.localPath(storeKey(store, path))));
  const rows = await rowsOf(await duck.connect(), `select t::varchar as line from read_parquet([${local.map(literal).join(', ')}]) t order by 1`);
  return rows.map((row) => String(Object.values(row)[0]));
}

async function isLanded({ log, database }: Foundation): Promise<boolean> {
  const identity = await log.identity('posts');
  for (const landing of ['posts', 'raw']) {
    for (const partition of [0, 1]) {
      const { next } = await log.bounds('posts', partition);
      const [row] = await database.query<{ ended: bigint | null }>(
        'select max(to_offset) as ended from watershed.ledger where landing = $1 and log_identity = $2 and partition = $3', [landing, identity, partition]);
      if ((row?.ended ?? 0n) < next) return false;
    }
  }
  return true;
}

/** The post of that number; every seventh record is none. */
function record(number: number): Buffer {
  if (number % 7 === 3) return Buffer.from('no envelope');
  const id = String(1_400_000_000_000_000_000n + BigInt(number) * 4_194_304n);
  return encodeEnvelope(
    { source: 'x', format: 'crisislex', events: [{ id: number % 2 === 0 ? 'flood' : 'fire', matched: [] }], receivedAt: '2026-01-01T00:00:00.000Z', account: '' },
    Buffer.from(JSON.stringify({ id, text: `post ${number} 🌊` })));
}
