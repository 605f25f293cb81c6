import type { Catalog, CommitRequest, LedgerRow, TableRef } from './catalog.ts';

/** What the suite needs of an adapter: an empty catalog, and a hand on the lease. */
export interface CatalogSubject {
  readonly catalog: Catalog;
  /** Gives the lease that epoch, as the process that took it would. */
  setEpoch(lease: string, epoch: bigint): Promise<void>;
  dispose(): Promise<void>;
}

const table = (name: string): TableRef => ({ namespace: 'store', name });
const at = (name: string, version: number): string => `file:///lake/store/${name}/metadata/${version}.metadata.json`;
const swap = (name: string, from: number): CommitRequest['swaps'][number] =>
  ({ table: table(name), expected: at(name, from), next: at(name, from + 1) });

function landed(from: number, to: number, more: Partial<LedgerRow> = {}): LedgerRow {
  return {
    landing: 'posts', logIdentity: 'log-1', topic: 'posts', partition: 0, from: BigInt(from), to: BigInt(to),
    kept: to - from, duplicate: 0, dead: 0, ...more,
  };
}

const code = (wanted: string): unknown => expect.objectContaining({ code: wanted });

/** The contract of catalog.ts. */
export function catalogSuite(name: string, open: () => Promise<CatalogSubject>): void {
  describe(`catalog ${name}`, () => {
    let subject: CatalogSubject;
    let catalog: Catalog;

    beforeEach(async () => {
      subject = await open();
      catalog = subject.catalog;
      for (const each of ['posts', 'quarantine']) await catalog.create(table(each), at(each, 0), 'table');
    });

    afterEach(() => subject.dispose());

    test('a table is where it was created', async () => {
      expect(await catalog.load(table('posts'))).toBe(at('posts', 0));
      expect(await catalog.load(table('nobody'))).toBeUndefined();
      expect(await catalog.load({ namespace: 'lake', name: 'posts' })).toBeUndefined();
      expect(await catalog.loadAll([table('quarantine'), table('nobody'), table('posts')]))
        .toEqual([at('quarantine', 0), undefined, at('posts', 0)]);
    });

    test('tables and views are listed by name, and a view is no table', async () => {
      await catalog.create(table('a_view'), at('a_view', 0), 'view');
      expect(await catalog.list('store')).toEqual([
        { name: 'a_view', kind: 'view' }, { name: 'posts', kind: 'table' }, { name: 'quarantine', kind: 'table' },
      ]);
      expect(await catalog.list('lake')).toEqual([]);
      expect(await catalog.load(table('a_view'))).toBeUndefined();
    });

    test('a name is given once', async () => {
      await expect(catalog.create(table('posts'), at('posts', 9), 'table')).rejects.toEqual(code('already_exists'));
      await expect(catalog.create(table('posts'), at('posts', 9), 'view')).rejects.toEqual(code('already_exists'));
      expect(await catalog.load(table('posts'))).toBe(at('posts', 0));
    });

    test('a commit swaps all of its pointers', async () => {
      await catalog.commit({ swaps: [swap('posts', 0), swap('quarantine', 0)], ledger: [] });
      expect(await catalog.loadAll([table('posts'), table('quarantine')])).toEqual([at('posts', 1), at('quarantine', 1)]);
    });

    test('a commit on what is no longer there changes nothing at all', async () => {
      await catalog.commit({ swaps: [swap('quarantine', 0)], ledger: [] });
      await expect(catalog.commit({ swaps: [swap('posts', 0), swap('quarantine', 0)], ledger: [landed(0, 5)] }))
        .rejects.toEqual(code('conflict'));
      expect(await catalog.loadAll([table('posts'), table('quarantine')])).toEqual([at('posts', 0), at('quarantine', 1)]);
      expect(await catalog.landed('posts', 'log-1')).toEqual(new Map());
    });

    test('of many commits on one version exactly one wins', async () => {
      const results = await Promise.allSettled(Array.from({ length: 8 }, (_, writer) => catalog.commit({
        swaps: [{ ...swap('posts', 0), next: at('posts', 100 + writer) }, { ...swap('quarantine', 0), next: at('quarantine', 100 + writer) }]
          .toSorted(() => (writer % 2 === 0 ? 1 : -1)),
        ledger: [landed(0, 5)],
      })));
      expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
      for (const result of results) if (result.status === 'rejected') expect(result.reason).toEqual(code('conflict'));
      const [posts, quarantine] = await catalog.loadAll([table('posts'), table('quarantine')]);
      expect(posts?.replace('posts', '')).toBe(quarantine?.replace('quarantine', ''));
      expect(await catalog.landed('posts', 'log-1')).toEqual(new Map([[0, 5n]]));
    });

    test('the ledger is a chain for each landing, log and partition', async () => {
      await catalog.commit({ swaps: [swap('posts', 0)], ledger: [landed(10, 15), landed(0, 3, { partition: 1 })] });
      await catalog.commit({ swaps: [swap('posts', 1)], ledger: [landed(15, 16), landed(16, 20)] });
      await catalog.commit({ swaps: [swap('posts', 2)], ledger: [landed(0, 2, { landing: 'raw' }), landed(7, 8, { logIdentity: 'log-2' })] });
      expect(await catalog.landed('posts', 'log-1')).toEqual(new Map([[0, 20n], [1, 3n]]));
      expect(await catalog.landed('raw', 'log-1')).toEqual(new Map([[0, 2n]]));
      expect(await catalog.landed('posts', 'log-2')).toEqual(new Map([[0, 8n]]));
      expect(await catalog.landed('posts', 'log-3')).toEqual(new Map());
    });

    test.each([
      ['a gap', landed(6, 9)], ['an overlap', landed(3, 9)], ['the same again', landed(0, 5)],
      ['something before', landed(-2, 0)], ['nothing', landed(5, 5)], ['a step back', landed(5, 4)],
    ])('%s in the ledger is refused, and with it the swap', async (_what, row) => {
      await catalog.commit({ swaps: [swap('posts', 0)], ledger: [landed(0, 5)] });
      await expect(catalog.commit({ swaps: [swap('posts', 1)], ledger: [row] })).rejects.toEqual(code('corrupt'));
      expect(await catalog.load(table('posts'))).toBe(at('posts', 1));
      expect(await catalog.landed('posts', 'log-1')).toEqual(new Map([[0, 5n]]));
    });

    test('offsets beyond 2^53 are exact', async () => {
      const from = 2n ** 60n + 1n;
      await catalog.commit({ swaps: [swap('posts', 0)], ledger: [{ ...landed(0, 1), from, to: from + 2n }] });
      expect(await catalog.landed('posts', 'log-1')).toEqual(new Map([[0, from + 2n]]));
    });

    test('who lost the lease cannot commit, who holds it can, and who needs none is not asked', async () => {
      await subject.setEpoch('writer', 1n);
      const epoch = (number: bigint) => ({ epoch: { lease: 'writer', epoch: number } });
      await catalog.commit({ swaps: [swap('posts', 0)], ledger: [landed(0, 5)], ...epoch(1n) });
      await subject.setEpoch('writer', 2n);
      await expect(catalog.commit({ swaps: [swap('posts', 1)], ledger: [landed(5, 6)], ...epoch(1n) })).rejects.toEqual(code('fenced'));
      await expect(catalog.commit({ swaps: [swap('posts', 1)], ledger: [], epoch: { lease: 'nobody', epoch: 2n } }))
        .rejects.toEqual(code('fenced'));
      await catalog.commit({ swaps: [swap('posts', 1)], ledger: [landed(5, 6)], ...epoch(2n) });
      await catalog.commit({ swaps: [swap('posts', 2)], ledger: [] });
      expect(await catalog.load(table('posts'))).toBe(at('posts', 3));
    });
  });
}
