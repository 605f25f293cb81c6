import type { Clock } from '#core/clock.ts';
import { storeNamespace } from '#core/contract/tables.ts';
import type { Log } from '#core/log/log.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog } from './catalog/catalog.ts';
import { postsLanding } from './landings/posts.ts';
import { rawLanding } from './landings/raw.ts';
import { rowLandings } from './landings/rows.ts';
import { createTableCache, loadMetadata, storeKey } from './table/files.ts';
import { planScan, type PlannedFile } from './table/scan.ts';
import { resume } from './resume.ts';

interface CheckInput {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly log: Log;
}

export interface TableCheck {
  readonly table: string;
  readonly files: number;
  readonly rows: number;
  /** Paths of files that the current snapshot names and the store does not have, or not in that size. */
  readonly missing: readonly string[];
}

/** Reads metadata and manifests of every table and asks the store for each live file. Throws what reading throws. */
export async function checkTables(input: CheckInput): Promise<TableCheck[]> {
  const { catalog, store } = input;
  const names = (await catalog.list(storeNamespace)).filter(({ kind }) => kind === 'table').map(({ name }) => name);
  const plans: (readonly [string, readonly PlannedFile[]])[] = [];
  for (const name of names) plans.push([name, await liveFiles(input, name)]);
  const sizes = new Map<string, number>();
  for await (const { key, bytes } of store.list('')) sizes.set(key, bytes);
  const checks: TableCheck[] = [];
  for (const [table, files] of plans) {
    const gone = files.filter(({ path, bytes }) => sizes.get(storeKey(store, path)) !== bytes);
    // What upkeep replaced and removed since is not missed by the table any more.
    const live = gone.length === 0 ? new Set<string>() : new Set((await liveFiles(input, table)).map(({ path }) => path));
    checks.push({
      table, files: files.length, rows: files.reduce((sum, { recordCount }) => sum + recordCount, 0),
      missing: gone.map(({ path }) => path).filter((path) => live.has(path)),
    });
  }
  return checks;
}

async function liveFiles({ catalog, store }: CheckInput, name: string): Promise<readonly PlannedFile[]> {
  const cache = createTableCache();
  const location = await catalog.load({ namespace: storeNamespace, name });
  if (location === undefined) return [];
  return (await planScan({ store, cache, metadata: await loadMetadata(store, cache, location) })).files;
}

/** Compares the offsets in each table with the ledger's, as the writer does before it starts. Throws `corrupt`. */
export async function checkOffsets(input: CheckInput & { readonly clock: Clock }): Promise<void> {
  for (const landing of [postsLanding, rawLanding, ...rowLandings]) await resume({ ...input, landing, cache: createTableCache() });
}
