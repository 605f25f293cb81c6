import { can, type Principal } from '#core/auth/access.ts';
import { storeNamespace } from '#core/contract/tables.ts';
import type { TableInfo } from '../engine/engine.ts';

/** The tables that somebody may read. */
export function tablesFor(principal: Principal, tables: readonly TableInfo[]): readonly TableInfo[] {
  return can(principal, 'read_store') ? tables : tables.filter(({ schema }) => schema !== storeNamespace);
}
