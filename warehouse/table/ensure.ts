import type { TableSpec } from '#core/contract/tables.ts';
import { isWatershedError } from '#core/errors.ts';
import type { TableRef } from '../catalog/catalog.ts';
import { createMetadata, evolveSchema } from './create.ts';
import { storeKey } from './files.ts';
import { nextMetadataPath, uuidFrom } from './names.ts';
import { serialiseMetadata } from './metadata.ts';
import type { TableMetadata } from './metadata.ts';
import { commitChanges } from './transaction.ts';
import type { CommitContext } from './transaction.ts';

/**
 * Makes the table where it is not there (in the store under `<namespace>/<name>`), and gives one that is there the
 * columns it lacks. Safe to call from several processes at once. **Errors**: as `commitChanges`; `unsupported` for
 * clashing columns.
 */
export async function ensureTable(context: CommitContext, ref: TableRef, spec: TableSpec): Promise<void> {
  const { catalog, store, clock, random } = context;
  if ((await catalog.load(ref)) === undefined) {
    const location = `${store.uri}/${ref.namespace}/${ref.name}`;
    const metadata = createMetadata(spec, location, uuidFrom(random), clock.now());
    const path = nextMetadataPath(metadata, undefined, random);
    await store.put(storeKey(store, path), serialiseMetadata(metadata));
    try {
      return await catalog.create(ref, path, 'table');
    } catch (error) {
      if (!isWatershedError(error, 'already_exists')) throw error;
      await store.delete(storeKey(store, path));
    }
  }
  await changeMetadata(context, ref, (base) => evolveSchema(base, spec));
}

/** Commits a change of metadata without a snapshot. `change` returns its argument where there is nothing to do. */
export async function changeMetadata(
  context: CommitContext,
  ref: TableRef,
  change: (base: TableMetadata) => TableMetadata,
): Promise<void> {
  const stage = async (base: TableMetadata) => {
    const metadata = change(base);
    if (metadata === base) return { metadata, objects: [] };
    const nowMs = Math.max(context.clock.now(), base['last-updated-ms']);
    return { metadata: { ...metadata, 'last-updated-ms': nowMs }, objects: [] };
  };
  await commitChanges(context, [{ ref, stage }], { ledger: [] });
}
