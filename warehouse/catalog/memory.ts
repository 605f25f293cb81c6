import { WatershedError } from '#core/errors.ts';
import type { Catalog, CommitRequest, LedgerRow, TableRef } from './catalog.ts';
import { chainError, conflictError } from './errors.ts';

/**
 * A catalog that lives as long as the process: for tests. The epoch of a lease is set by whoever plays the other
 * process.
 */
export interface MemoryCatalog extends Catalog {
  setEpoch(lease: string, epoch: bigint): void;
  readonly ledger: readonly LedgerRow[];
}

export function createMemoryCatalog(): MemoryCatalog {
  const tables = new Map<string, { ref: TableRef; location: string; kind: 'table' | 'view' }>();
  const epochs = new Map<string, bigint>();
  const ledger: LedgerRow[] = [];
  const nameOf = ({ namespace, name }: TableRef): string => `${namespace}.${name}`;
  const load = (table: TableRef): string | undefined => {
    const entry = tables.get(nameOf(table));
    return entry?.kind === 'table' ? entry.location : undefined;
  };
  const landed = (landing: string, logIdentity: string): Map<number, bigint> =>
    new Map(ledger.filter((row) => row.landing === landing && row.logIdentity === logIdentity)
      .map((row) => [row.partition, row.to]));
  return {
    ledger,
    setEpoch: (lease, epoch) => void epochs.set(lease, epoch),
    load: async (table) => load(table),
    loadAll: async (refs) => refs.map(load),
    list: async (namespace) => [...tables.values()]
      .filter(({ ref }) => ref.namespace === namespace)
      .map(({ ref, kind }) => ({ name: ref.name, kind }))
      .sort((a, b) => (a.name < b.name ? -1 : 1)),
    async create(ref, location, kind) {
      const name = nameOf(ref);
      if (tables.has(name)) throw new WatershedError('already_exists', `there is a table or view ${name} already`);
      tables.set(name, { ref, location, kind });
    },
    async commit(request: CommitRequest) {
      const { swaps, epoch } = request;
      if (epoch !== undefined && epochs.get(epoch.lease) !== epoch.epoch) {
        throw new WatershedError('fenced', `lease ${epoch.lease} is no longer at epoch ${epoch.epoch}`);
      }
      for (const { table, expected } of swaps) {
        if (load(table) !== expected) throw conflictError(table, expected);
      }
      const ends = new Map<string, bigint>();
      for (const row of request.ledger) {
        const key = JSON.stringify([row.landing, row.logIdentity, row.partition]);
        const end = ends.get(key) ?? landed(row.landing, row.logIdentity).get(row.partition);
        if (row.to <= row.from || (end !== undefined && end !== row.from)) throw chainError(row);
        ends.set(key, row.to);
      }
      for (const { table, next } of swaps) tables.set(nameOf(table), { ref: table, location: next, kind: 'table' });
      ledger.push(...request.ledger);
    },
    landed: async (landing, logIdentity) => landed(landing, logIdentity),
  };
}
