import { storeNamespace, tables } from '#core/contract/tables.ts';
import { ensureTable } from './table/ensure.ts';
import type { CommitContext } from './table/transaction.ts';

/**
 * Creates the tables of the lake that are not there, and adds columns they lack. Safe at every start, in several
 * processes.
 */
export async function ensureTables(context: CommitContext): Promise<void> {
  await Promise.all(Object.entries(tables).map(([name, spec]) => ensureTable(context, { namespace: storeNamespace, name }, spec)));
}
