import type { Clock, Random } from '#core/clock.ts';
import { storeNamespace, tables, type TableName } from '#core/contract/tables.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog } from './catalog/catalog.ts';
import { createMetadata } from './table/create.ts';
import { nextMetadataPath, storeKey, uuidFrom } from './table/files.ts';
import { serialiseMetadata } from './table/metadata.ts';

/** Creates the tables of the lake that are not there yet. Safe to call at every start and from several processes. */
export async function ensureTables(
  { catalog, store, clock, random }: { catalog: Catalog; store: Store; clock: Clock; random: Random },
): Promise<void> {
  const names = Object.keys(tables).filter((name): name is TableName => Object.hasOwn(tables, name));
  const locations = await catalog.loadAll(names.map((name) => ({ namespace: storeNamespace, name })));
  for (const [index, name] of names.entries()) {
    if (locations[index] !== undefined) continue;
    const metadata = createMetadata(tables[name], `${store.uri}/${storeNamespace}/${name}`, uuidFrom(random), clock.now());
    const path = nextMetadataPath(metadata, undefined, random);
    await store.putIfAbsent(storeKey(store, path), serialiseMetadata(metadata));
    await catalog.create({ namespace: storeNamespace, name }, path, 'table').catch((error: unknown) => {
      if (!isWatershedError(error, 'already_exists')) throw error;
    });
  }
}
