import fc from 'fast-check';
import { addDeletes, filedNote, memoryLake, noteFile, notesRef } from '#test/lake.ts';
import type { TestLake } from '#test/lake.ts';
import type { MemoryCatalog } from '../catalog/memory.ts';
import { commitAppend } from './append.ts';
import { createTableCache, loadManifest, loadManifestList } from './files.ts';
import { status } from './manifest.ts';
import { currentSnapshot } from './metadata.ts';
import { commitReplace } from './replace.ts';
import type { ReplaceRequest } from './replace.ts';
import { planScan } from './scan.ts';

const refused = expect.objectContaining({ code: 'conflict', retryable: false });
const pathOf = (name: string): string => `file:///lake/store/notes/data/${name}.parquet`;

async function append(lake: TestLake, ...files: Parameters<typeof commitAppend>[0]['tables'][number]['files']): Promise<void> {
  await commitAppend({ ...lake, tables: [{ ref: notesRef, files }], ledger: [] });
}

async function replace(lake: TestLake, more: Partial<ReplaceRequest>) {
  const metadata = await lake.current();
  return commitReplace({
    ...lake, ref: notesRef, remove: [], add: [], readAtSequenceNumber: metadata['last-sequence-number'], ...more,
  });
}

async function entriesOf(lake: TestLake) {
  const manifests = await loadManifestList(lake.store, createTableCache(), currentSnapshot(await lake.current()));
  return Promise.all(manifests.map(async (manifest) => ({ manifest, entries: await loadManifest(lake.store, manifest) })));
}

test('filing moves rows from hot files to spec 1: added, kept and deleted entries stand as the specification wants', async () => {
  const lake = await memoryLake();
  await append(lake, noteFile('hot1', { rows: 5 }), noteFile('hot2', { rows: 7 }));
  await append(lake, noteFile('hot3', { rows: 2 }));
  await replace(lake, {
    remove: [pathOf('hot1')], add: [filedNote('filed', { event: 'flood', day: 15_876, rows: 5 })], properties: { mark: '1' },
  });
  expect(await lake.livePaths()).toEqual([pathOf('filed'), pathOf('hot2'), pathOf('hot3')]);
  const snapshot = currentSnapshot(await lake.current());
  const id = snapshot?.['snapshot-id'];
  expect(snapshot?.summary).toEqual({
    operation: 'replace', mark: '1', 'added-data-files': '1', 'added-records': '5', 'added-files-size': '500',
    'deleted-data-files': '1', 'deleted-records': '5', 'removed-files-size': '500', 'changed-partition-count': '2',
    'total-data-files': '3', 'total-records': '14', 'total-files-size': '1400', 'total-delete-files': '0',
    'total-position-deletes': '0', 'total-equality-deletes': '0',
  });
  const manifests = await entriesOf(lake);
  const told = manifests.map(({ manifest, entries }) => [manifest.specId, manifest.sequenceNumber, manifest.minSequenceNumber, entries.map((entry) => [
    entry.file.path.replace(/.*\/(.*)\.parquet/, '$1'), entry.status, entry.snapshotId === id, entry.sequenceNumber, entry.fileSequenceNumber,
  ])]);
  expect(told).toEqual([
    [1, 3, 3, [['filed', status.added, true, 3, 3]]],
    [0, 2, 2, [['hot3', status.added, false, 2, 2]]],
    [0, 3, 1, [['hot1', status.deleted, true, 1, 1], ['hot2', status.existing, false, 1, 1]]],
  ]);
  expect(manifests[0]?.manifest.partitions?.map(({ containsNull, lower }) => [containsNull, Buffer.from(lower ?? []).toString('hex')]))
    .toEqual([[false, Buffer.from('flood').toString('hex')], [false, '043e0000']]);
});

test('what was deleted is told once, and a manifest with nothing live goes in the commit after', async () => {
  const lake = await memoryLake();
  await append(lake, noteFile('a'));
  await replace(lake, { remove: [pathOf('a')], add: [noteFile('b')] });
  expect((await entriesOf(lake)).map(({ entries }) => entries.map((entry) => entry.status))).toEqual([[status.added], [status.deleted]]);
  await append(lake, noteFile('c'));
  expect((await entriesOf(lake)).map(({ entries }) => entries.map((entry) => entry.status))).toEqual([[status.added], [status.added]]);
});

test('appends that come between are kept', async () => {
  const lake = await memoryLake();
  await append(lake, noteFile('a'), noteFile('b'));
  let races = 2;
  const catalog: MemoryCatalog = { ...lake.catalog, commit: async (request) => {
    if (races-- > 0) await append(lake, noteFile(`between${races}`));
    await lake.catalog.commit(request);
  } };
  const committed = await replace({ ...lake, catalog }, { remove: [pathOf('a'), pathOf('b')], add: [noteFile('ab')] });
  expect(committed.attempts).toBe(3);
  expect(await lake.livePaths()).toEqual(['ab', 'between0', 'between1'].map(pathOf));
});

test('a file that another replaced meanwhile is a conflict, and nothing is left behind', async () => {
  const lake = await memoryLake();
  await append(lake, noteFile('a'), noteFile('b'));
  let raced = false;
  const catalog: MemoryCatalog = { ...lake.catalog, commit: async (request) => {
    if (!raced) await replace(lake, { remove: [pathOf('b')], add: [noteFile('theirs')] });
    raced = true;
    await lake.catalog.commit(request);
  } };
  await expect(replace({ ...lake, catalog }, { remove: [pathOf('a'), pathOf('b')], add: [noteFile('ab')] })).rejects.toEqual(refused);
  expect(await lake.livePaths()).toEqual(['a', 'theirs'].map(pathOf));
  const { snapshots } = await lake.current();
  const lists = [...lake.store.keys].filter((key) => key.includes('/snap-')).map((key) => `file:///lake/${key}`);
  expect(lists.toSorted()).toEqual(snapshots.map((snapshot) => snapshot['manifest-list']).toSorted());
});

test('rows deleted after the reading are a conflict, those deleted before or elsewhere are not', async () => {
  const lake = await memoryLake();
  await append(lake, noteFile('a'), noteFile('b'));
  await addDeletes(lake, 0, [{ path: 'file:///lake/d1.parquet', referencedDataFile: pathOf('a') }]);
  const readAtSequenceNumber = (await lake.current())['last-sequence-number'];
  await addDeletes(lake, 0, [{ path: 'file:///lake/d2.parquet', referencedDataFile: pathOf('b') }]);
  await expect(replace(lake, { remove: [pathOf('b')], add: [noteFile('b2')], readAtSequenceNumber })).rejects.toEqual(refused);
  await replace(lake, { remove: [pathOf('a'), 'file:///lake/d1.parquet'], add: [noteFile('a2')], readAtSequenceNumber });
  const plan = await planScan({ store: lake.store, metadata: await lake.current() });
  expect(plan.files.map(({ path, deletes }) => [path, deletes])).toEqual([
    [pathOf('a2'), []], [pathOf('b'), ['file:///lake/d2.parquet']],
  ]);
  expect(currentSnapshot(await lake.current())?.summary).toMatchObject({ 'removed-delete-files': '1', 'total-delete-files': '1' });
});

test('rows are removed by an overwrite, and whole files by a delete', async () => {
  const lake = await memoryLake();
  await append(lake, noteFile('a', { rows: 5 }), noteFile('b', { rows: 3 }));
  await replace(lake, { operation: 'overwrite', remove: [pathOf('a')], add: [noteFile('a2', { rows: 4 })] });
  await replace(lake, { operation: 'delete', remove: [pathOf('b')] });
  expect((await lake.current()).snapshots.map(({ summary }) => [summary['operation'], summary['total-records']]))
    .toEqual([['append', '8'], ['overwrite', '7'], ['delete', '4']]);
});

test('paths that engines spell differently are the same file', async () => {
  const lake = await memoryLake();
  await append(lake, { ...noteFile('a'), path: 'file:/lake/store/notes/data/a.parquet' });
  await replace(lake, { remove: [pathOf('a')], add: [noteFile('b')] });
  expect(await lake.livePaths()).toEqual([pathOf('b')]);
});

test('a filed file without all of its partition values is refused', async () => {
  const lake = await memoryLake();
  await expect(replace(lake, { add: [{ ...noteFile('a'), specId: 1, partition: { '1000': 'x' } }] }))
    .rejects.toEqual(expect.objectContaining({ code: 'internal' }));
});

test('appends, filings and merges in any order keep every row', async () => {
  await fc.assert(fc.asyncProperty(fc.integer(), fc.array(fc.nat(3), { minLength: 3, maxLength: 12 }), async (seed, steps) => {
    const lake = await memoryLake(seed);
    let rows = 0;
    // Several of these run at once; each reads, thinks, and commits what it can.
    await Promise.all(steps.map(async (step, index) => {
      for (let turn = 0; turn < step; turn += 1) await new Promise((resolve) => setImmediate(resolve));
      if (index % 3 !== 2) {
        rows += index + 1;
        return append(lake, noteFile(`hot${index}`, { rows: index + 1 }));
      }
      const plan = await planScan({ store: lake.store, metadata: await lake.current() });
      const inputs = plan.files.slice(0, 1 + step);
      const sum = inputs.reduce((total, { recordCount }) => total + recordCount, 0);
      if (sum === 0) return undefined;
      try {
        await commitReplace({
          ...lake, ref: notesRef, readAtSequenceNumber: plan.sequenceNumber, remove: inputs.map(({ path }) => path),
          add: [filedNote(`filed${index}`, { event: 'flood', day: 15_876, rows: sum })],
        });
      } catch (error) {
        expect(error).toEqual(refused);
      }
      return undefined;
    }));
    const plan = await planScan({ store: lake.store, metadata: await lake.current() });
    expect(plan.files.reduce((total, { recordCount }) => total + recordCount, 0)).toBe(rows);
    expect(currentSnapshot(await lake.current())?.summary['total-records']).toBe(String(rows));
  }), { numRuns: 60 });
});
