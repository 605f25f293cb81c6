import fc from 'fast-check';
import { memoryLake, noteFile, notesRef } from '#test/lake.ts';
import type { TestLake } from '#test/lake.ts';
import { commitAppend } from './append.ts';
import { changeMetadata } from './ensure.ts';
import { commitExpire, expireSnapshots } from './expire.ts';
import { createTableCache, loadManifest, loadManifestList, storeKey } from './files.ts';
import { isLive } from './manifest.ts';
import type { TableMetadata } from './metadata.ts';
import { commitReplace } from './replace.ts';
import { planScan } from './scan.ts';

const pathOf = (name: string): string => `file:///lake/store/notes/data/${name}.parquet`;
const idsOf = (metadata: TableMetadata): bigint[] => metadata.snapshots.map((snapshot) => snapshot['snapshot-id']);

async function append(lake: TestLake, name: string, mergeAt = 50): Promise<void> {
  await lake.store.put(storeKey(lake.store, pathOf(name)), Buffer.from(name));
  await commitAppend({ ...lake, tables: [{ ref: notesRef, files: [noteFile(name)] }], ledger: [], mergeAt });
}

async function replaceFirst(lake: TestLake, name: string, count: number): Promise<void> {
  const plan = await planScan({ store: lake.store, metadata: await lake.current() });
  const inputs = plan.files.slice(0, count);
  if (inputs.length === 0) return;
  await lake.store.put(storeKey(lake.store, pathOf(name)), Buffer.from(name));
  await commitReplace({
    ...lake, ref: notesRef, readAtSequenceNumber: plan.sequenceNumber, remove: inputs.map(({ path }) => path),
    add: [noteFile(name, { rows: inputs.reduce((sum, { recordCount }) => sum + recordCount, 0) })],
  });
}

/** Every file that a snapshot needs, by reading all of it. */
async function reached(lake: TestLake, metadata: TableMetadata): Promise<Set<string>> {
  const files = new Set<string>();
  for (const snapshot of metadata.snapshots) {
    files.add(snapshot['manifest-list']);
    for (const manifest of await loadManifestList(lake.store, createTableCache(), snapshot)) {
      files.add(manifest.path);
      for (const entry of await loadManifest(lake.store, manifest)) if (isLive(entry)) files.add(entry.file.path);
    }
  }
  return files;
}

test('old snapshots go, the newest stay however old, and the history begins after the gap', async () => {
  const lake = await memoryLake();
  for (const name of ['a', 'b', 'c', 'd']) await append(lake, name);
  const metadata = await lake.current();
  const [, , third, fourth] = metadata.snapshots;
  expect(idsOf(expireSnapshots(metadata, { olderThanMs: Infinity, keep: 2 }))).toEqual(idsOf(metadata).slice(2));
  expect(idsOf(expireSnapshots(metadata, { olderThanMs: Infinity, keep: 0 }))).toEqual([fourth?.['snapshot-id']]);
  expect(idsOf(expireSnapshots(metadata, { olderThanMs: third?.['timestamp-ms'] ?? 0, keep: 1 }))).toEqual(idsOf(metadata).slice(2));
  expect(expireSnapshots(metadata, { olderThanMs: Infinity, keep: 2 })['snapshot-log']).toEqual(metadata['snapshot-log'].slice(2));
  expect(expireSnapshots(metadata, { olderThanMs: 0, keep: 1 })).toBe(metadata);
});

test('what a tag or another branch names stays, and statistics go with their snapshot', async () => {
  const lake = await memoryLake();
  for (const name of ['a', 'b', 'c', 'd']) await append(lake, name);
  const [first = 0n, second = 0n, third = 0n, fourth = 0n] = idsOf(await lake.current());
  await changeMetadata(lake, notesRef, (base) => ({
    ...base,
    refs: { ...base.refs, release: { 'snapshot-id': third, type: 'tag' }, audit: { 'snapshot-id': second, type: 'branch' } },
    statistics: [second, third, fourth].map((id) => ({ 'snapshot-id': id, 'statistics-path': `file:///lake/${id}.puffin` })),
  }));
  const metadata = await lake.current();
  expect(idsOf(expireSnapshots(metadata, { olderThanMs: Infinity, keep: 1 }))).toEqual([first, second, third, fourth]);
  const { audit: _audit, ...refs } = metadata.refs;
  const kept = expireSnapshots({ ...metadata, refs }, { olderThanMs: Infinity, keep: 1 });
  expect(idsOf(kept)).toEqual([third, fourth]);
  expect(kept.statistics?.map((file) => file['snapshot-id'])).toEqual([third, fourth]);
});

test('the files that only expired snapshots reached are told, statistics too', async () => {
  const lake = await memoryLake();
  await append(lake, 'a');
  const [first = 0n] = idsOf(await lake.current());
  await changeMetadata(lake, notesRef, (base) => ({
    ...base, statistics: [{ 'snapshot-id': first, 'statistics-path': 'file:///lake/a.puffin' }],
  }));
  await append(lake, 'b');
  await replaceFirst(lake, 'ab', 2);
  await append(lake, 'c');
  const all = await reached(lake, await lake.current());
  const { snapshots, files } = await commitExpire(lake, notesRef, { olderThanMs: Infinity, keep: 1 });
  expect(snapshots).toBe(3);
  const needed = await reached(lake, await lake.current());
  expect(files.toSorted()).toEqual([...all.difference(needed), 'file:///lake/a.puffin'].toSorted());
  expect(files).toEqual(expect.arrayContaining([pathOf('a'), pathOf('b')]));
  expect(await commitExpire(lake, notesRef, { olderThanMs: Infinity, keep: 1 })).toEqual({ snapshots: 0, files: [] });
});

test('in any history, expiring leaves all that is needed and nothing else', async () => {
  const step = fc.oneof({ weight: 4, arbitrary: fc.constant('append') }, fc.constantFrom('replace', 'expire'));
  await fc.assert(fc.asyncProperty(fc.integer(), fc.array(step, { maxLength: 25 }), fc.integer({ min: 1, max: 4 }), async (seed, steps, keep) => {
    const lake = await memoryLake(seed);
    const expire = async (): Promise<void> => {
      const { files } = await commitExpire(lake, notesRef, { olderThanMs: Infinity, keep });
      for (const path of files) await lake.store.delete(storeKey(lake.store, path));
    };
    for (const [index, what] of steps.entries()) {
      if (what === 'append') await append(lake, `f${index}`, 3);
      else if (what === 'replace') await replaceFirst(lake, `r${index}`, 2);
      else await expire();
    }
    await expire();
    const needed = await reached(lake, await lake.current());
    const stored = [...lake.store.keys].filter((key) => !key.endsWith('.metadata.json')).map((key) => `${lake.store.uri}/${key}`);
    expect(stored.toSorted()).toEqual([...needed].toSorted());
  }), { numRuns: 60 });
});
