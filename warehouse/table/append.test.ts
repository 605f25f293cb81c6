import fc from 'fast-check';
import { seededRandom } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import { memoryLake, noteFile, notes, notesRef } from '#test/lake.ts';
import type { TestLake } from '#test/lake.ts';
import type { Catalog, CommitRequest, TableRef } from '../catalog/catalog.ts';
import { commitAppend } from './append.ts';
import type { TableAppend } from './append.ts';
import { changeMetadata, ensureTable } from './ensure.ts';
import { createTableCache, loadManifest, loadManifestList } from './files.ts';
import { currentSnapshot } from './metadata.ts';

const code = (wanted: string): unknown => expect.objectContaining({ code: wanted });

function append(lake: TestLake, table: Partial<TableAppend>, catalog: Catalog = lake.catalog, mergeAt = 50) {
  return commitAppend({ ...lake, catalog, tables: [{ ref: notesRef, files: [], ...table }], ledger: [], mergeAt });
}

/** The catalog with something that happens before or instead of a commit. */
function disturbed(lake: TestLake, disturb: (request: CommitRequest, commit: () => Promise<void>) => Promise<void>): Catalog {
  const { catalog } = lake;
  return { ...catalog, commit: (request) => disturb(request, () => catalog.commit(request)) };
}

const lost = (): WatershedError => new WatershedError('commit_unknown', 'the connection broke');

async function manifestsOf(lake: TestLake) {
  return loadManifestList(lake.store, createTableCache(), currentSnapshot(await lake.current()));
}

test('an append makes a snapshot with its files, the offsets in summary and properties, and exact totals', async () => {
  const lake = await memoryLake();
  await append(lake, { files: [noteFile('a', { rows: 3 }), noteFile('b', { rows: 4 })], properties: { 'offset.0': '7' }, summary: { why: 'test' } });
  await append(lake, { files: [noteFile('c', { rows: 5 })], properties: { 'offset.0': '12' }, expectProperties: { 'offset.0': '7' } });
  const metadata = await lake.current();
  const [first, second] = metadata.snapshots;
  expect(first?.summary).toEqual({
    'offset.0': '7', why: 'test', operation: 'append', 'added-data-files': '2', 'added-records': '7', 'added-files-size': '700',
    'changed-partition-count': '1', 'total-data-files': '2', 'total-records': '7', 'total-files-size': '700',
    'total-delete-files': '0', 'total-position-deletes': '0', 'total-equality-deletes': '0',
  });
  expect(second?.summary).toMatchObject({ 'offset.0': '12', 'total-data-files': '3', 'total-records': '12', 'total-files-size': '1200' });
  expect(second).toMatchObject({ 'sequence-number': 2, 'parent-snapshot-id': first?.['snapshot-id'], 'schema-id': 0 });
  expect(first).not.toHaveProperty('parent-snapshot-id');
  expect(metadata.properties['offset.0']).toBe('12');
  expect(metadata['snapshot-log'].map((entry) => entry['snapshot-id'])).toEqual(metadata.snapshots.map((each) => each['snapshot-id']));
  expect(metadata.refs).toEqual({ main: { type: 'branch', 'snapshot-id': second?.['snapshot-id'] } });
  expect(metadata['metadata-log']).toHaveLength(2);
  expect(await lake.catalog.load(notesRef)).toMatch(/\/metadata\/00002-[0-9a-f-]{36}\.metadata\.json$/);
  const [manifest, older] = await manifestsOf(lake);
  expect(manifest).toMatchObject({ specId: 0, sequenceNumber: 2, minSequenceNumber: 2, addedFiles: 1, addedRows: 5, partitions: [] });
  expect(older).toMatchObject({ sequenceNumber: 1, addedFiles: 2, addedRows: 7 });
});

test('an append without files only says how far the landing is', async () => {
  const lake = await memoryLake();
  await append(lake, { files: [noteFile('a')] });
  await append(lake, { properties: { 'offset.0': '9' } });
  expect(await lake.livePaths()).toHaveLength(1);
  expect((await lake.current()).properties['offset.0']).toBe('9');
  expect(currentSnapshot(await lake.current())?.summary).toMatchObject({ operation: 'append', 'total-records': '10' });
});

test('an append that started from other offsets than the table has is fenced, and leaves nothing behind', async () => {
  const lake = await memoryLake();
  await append(lake, { properties: { 'offset.0': '5' } });
  const before = [...lake.store.keys];
  await expect(append(lake, { files: [noteFile('a')], expectProperties: { 'offset.0': '4' } })).rejects.toEqual(code('fenced'));
  await expect(append(lake, { files: [noteFile('a')], expectProperties: { 'offset.0': undefined } })).rejects.toEqual(code('fenced'));
  expect([...lake.store.keys]).toEqual(before);
});

test('a lost race is run again on what the winner left, with the same manifest', async () => {
  const lake = await memoryLake();
  const manifests: number[] = [];
  let races = 3;
  const catalog = disturbed(lake, async (_request, commit) => {
    manifests.push([...lake.store.keys].filter((key) => key.endsWith('-a0.avro')).length);
    if (races-- > 0) await append(lake, { files: [noteFile(`winner${races}`)] });
    await commit();
  });
  const [committed] = await append(lake, { files: [noteFile('mine')] }, catalog);
  expect(committed?.attempts).toBe(4);
  expect(manifests).toEqual([1, 2, 3, 4]);
  expect(await lake.livePaths()).toHaveLength(4);
  expect([...lake.store.keys].filter((key) => key.includes('/snap-'))).toHaveLength(4);
});

test('a race lost for ever ends with conflict, and what was written is gone', async () => {
  const lake = await memoryLake();
  const before = lake.store.keys.size;
  const catalog = disturbed(lake, async () => { throw new WatershedError('conflict', 'again'); });
  await expect(append(lake, { files: [noteFile('a')] }, catalog)).rejects.toEqual(code('conflict'));
  expect(lake.store.keys.size).toBe(before);
});

test.each([
  ['came true', true, 0], ['came true and others wrote on', true, 3], ['did not', false, 0], ['did not and others wrote on', false, 3],
])('a commit without an answer that %s is there once', async (_what, comesTrue, others) => {
  const lake = await memoryLake();
  let calls = 0;
  const catalog = disturbed(lake, async (_request, commit) => {
    calls += 1;
    if (calls > 1) return commit();
    if (comesTrue) await commit();
    for (let other = 0; other < others; other += 1) await append(lake, { files: [noteFile(`other${other}`)] });
    throw lost();
  });
  await append(lake, { files: [noteFile('mine')] }, catalog);
  expect(await lake.livePaths()).toHaveLength(others + 1);
  const { snapshots } = await lake.current();
  expect(snapshots).toHaveLength(others + 1);
  for (const snapshot of snapshots) expect(lake.store.keys.has(snapshot['manifest-list'].replace('file:///lake/', ''))).toBe(true);
});

test('a commit in doubt that comes true late, after the next attempt was staged, is there once', async () => {
  const lake = await memoryLake();
  let late: (() => Promise<void>) | undefined;
  const catalog = disturbed(lake, async (_request, commit) => {
    if (late === undefined) {
      late = commit;
      throw lost();
    }
    const first = late;
    late = async () => undefined;
    await first();
    await commit();
  });
  await append(lake, { files: [noteFile('mine')] }, catalog);
  expect(await lake.livePaths()).toHaveLength(1);
  expect((await lake.current()).snapshots).toHaveLength(1);
});

test('as long as nobody says what became of a commit, nothing is deleted', async () => {
  const lake = await memoryLake();
  const written = new Set<string>();
  const { catalog } = lake;
  let asked = 0;
  const mute: Catalog = {
    ...catalog,
    commit: async () => { for (const key of lake.store.keys) written.add(key); throw lost(); },
    loadAll: async (refs: readonly TableRef[]) => {
      if (asked++ === 0) return catalog.loadAll(refs);
      throw new WatershedError('unavailable', 'no answer');
    },
  };
  await expect(append(lake, { files: [noteFile('mine')] }, mute)).rejects.toEqual(code('commit_unknown'));
  expect(asked).toBeGreaterThan(5);
  expect([...lake.store.keys].sort()).toEqual([...written].sort());
});

test('whatever fails while a commit is in doubt, the caller hears of the doubt and nothing is deleted', async () => {
  const lake = await memoryLake();
  let keys: string[] = [];
  const catalog = disturbed(lake, async () => {
    keys = [...lake.store.keys];
    throw lost();
  });
  const store = { ...lake.store, put: async (key: string, bytes: Uint8Array) => {
    if (keys.length > 0) throw new WatershedError('disk', 'full');
    await lake.store.put(key, bytes);
  } };
  await expect(append({ ...lake, store }, { files: [noteFile('mine')] }, catalog)).rejects.toEqual(code('commit_unknown'));
  expect(keys.filter((key) => !lake.store.keys.has(key))).toEqual([]);
});

test('tables are committed together or not at all', async () => {
  const lake = await memoryLake();
  const otherRef: TableRef = { namespace: 'store', name: 'other' };
  await ensureTable(lake, otherRef, { ...notes, name: 'other' });
  const both = (files: string) => commitAppend({
    ...lake,
    tables: [{ ref: notesRef, files: [noteFile(files)], expectProperties: { fence: undefined } }, { ref: otherRef, files: [noteFile(`${files}-o`)] }],
    ledger: [],
  });
  await both('a');
  await append(lake, { properties: { fence: 'up' } });
  await expect(both('b')).rejects.toEqual(code('fenced'));
  expect([(await lake.livePaths()).length, (await lake.livePaths(otherRef)).length]).toEqual([1, 1]);
});

test('the unpartitioned spec is found by having no fields, and added back where it is gone', async () => {
  const lake = await memoryLake();
  await changeMetadata(lake, notesRef, (base) => ({
    ...base, 'partition-specs': base['partition-specs'].filter((spec) => spec['spec-id'] === 1),
  }));
  await append(lake, { files: [noteFile('a')] });
  expect((await lake.current())['partition-specs'].map((spec) => [spec['spec-id'], spec.fields.length])).toEqual([[0, 0], [1, 2]]);
  // Number 0 taken by another spec: the empty one gets the next.
  await changeMetadata(lake, notesRef, (base) => ({
    ...base, 'partition-specs': base['partition-specs'].filter((spec) => spec['spec-id'] === 1).map((spec) => ({ ...spec, 'spec-id': 0 })),
    'default-spec-id': 0, snapshots: [], refs: {}, 'current-snapshot-id': -1n, 'snapshot-log': [],
  }));
  await append(lake, { files: [noteFile('b')] });
  expect((await lake.current())['partition-specs'].map((spec) => [spec['spec-id'], spec.fields.length])).toEqual([[1, 0], [0, 2]]);
  expect((await manifestsOf(lake)).map(({ specId }) => specId)).toEqual([1]);
});

test('an append brings the columns that the table lacks', async () => {
  const lake = await memoryLake();
  const wider = { ...notes, columns: [...notes.columns, { id: 6, name: 'lang', type: 'string' as const, doc: '' }] };
  await append(lake, { files: [noteFile('a')], spec: wider });
  const metadata = await lake.current();
  expect(metadata['current-schema-id']).toBe(1);
  expect(currentSnapshot(metadata)?.['schema-id']).toBe(1);
});

test('what other engines put into the metadata is carried', async () => {
  const lake = await memoryLake();
  await append(lake, { files: [noteFile('a')] });
  const statistics = [{ 'snapshot-id': currentSnapshot(await lake.current())?.['snapshot-id'] ?? 0n, 'statistics-path': 'file:///lake/x.puffin' }];
  await changeMetadata(lake, notesRef, (base) => ({ ...base, statistics, 'x-engine': { a: 1 } }));
  await append(lake, { files: [noteFile('b')] });
  expect(await lake.current()).toMatchObject({ statistics, 'x-engine': { a: 1 } });
});

test('old metadata files go with the commit that forgets them, where the table says so', async () => {
  const lake = await memoryLake();
  await changeMetadata(lake, notesRef, (base) => ({ ...base, properties: { ...base.properties, 'write.metadata.previous-versions-max': '3' } }));
  for (let index = 0; index < 10; index += 1) await append(lake, { files: [noteFile(`f${index}`)] });
  const files = [...lake.store.keys].filter((key) => key.endsWith('.metadata.json')).map((key) => `file:///lake/${key}`);
  const metadata = await lake.current();
  expect(files.toSorted()).toEqual([...metadata['metadata-log'].map((entry) => entry['metadata-file']), await lake.catalog.load(notesRef) ?? ''].toSorted());
  expect(files).toHaveLength(4);
});

test('manifests of like size are merged, so that a long run does not slow down', async () => {
  const lake = await memoryLake();
  for (let index = 0; index < 130; index += 1) await append(lake, { files: [noteFile(`f${index}`, { rows: index + 1 })] }, lake.catalog, 5);
  const manifests = await manifestsOf(lake);
  // 130 in base 5 is 1010: at most four of each of the four levels.
  expect(manifests.length).toBeLessThanOrEqual(16);
  expect(await lake.livePaths()).toHaveLength(130);
  const entries = (await Promise.all(manifests.map((manifest) => loadManifest(lake.store, manifest)))).flat();
  for (const { file, sequenceNumber, fileSequenceNumber } of entries) {
    expect([sequenceNumber, fileSequenceNumber]).toEqual([file.recordCount, file.recordCount]);
  }
  for (const manifest of manifests) {
    // What was merged is EXISTING: an engine that reads increments would else see it as new.
    expect([manifest.addedFiles, manifest.existingFiles]).toContain(0);
    expect(manifest.addedFiles).toBeLessThanOrEqual(1);
    expect(manifest.minSequenceNumber).toBe(Math.min(...(await loadManifest(lake.store, manifest)).map((entry) => entry.sequenceNumber)));
  }
  expect(currentSnapshot(await lake.current())?.summary).toMatchObject({ 'total-records': String((130 * 131) / 2), 'total-data-files': '130' });
});

/**
 * Writers that race, each in its own process as far as it knows: every one appends numbered files under an offset of its own,
 * with commits that are delayed, lost, or answered by silence after or before they took effect.
 */
test('under any interleaving nothing is lost, nothing comes twice, and offsets only grow', async () => {
  const trouble = fc.constantFrom('none', 'yield', 'silent-before', 'silent-after');
  await fc.assert(fc.asyncProperty(
    fc.integer(), fc.integer({ min: 1, max: 4 }), fc.infiniteStream(trouble), fc.integer({ min: 2, max: 5 }),
    async (seed, writers, troubles, mergeAt) => {
      const lake = await memoryLake(seed);
      const bases = new Map<string, number>();
      const rough = disturbed(lake, async (request, commit) => {
        const { value } = troubles.next();
        if (value === 'yield') await new Promise((resolve) => setImmediate(resolve));
        if (value === 'silent-before') throw lost();
        await commit();
        for (const { expected } of request.swaps) bases.set(expected, (bases.get(expected) ?? 0) + 1);
        if (value === 'silent-after') throw lost();
      });
      const perWriter = 4;
      await Promise.all(Array.from({ length: writers }, async (_, writer) => {
        const own = { ...lake, catalog: rough, random: seededRandom(seed + writer + 1) };
        for (let index = 0; index < perWriter; index += 1) {
          await commitAppend({
            ...own, ledger: [], mergeAt,
            tables: [{
              ref: notesRef, files: [noteFile(`${writer}-${index}`)],
              properties: { [`offset.${writer}`]: String(index + 1) },
              expectProperties: { [`offset.${writer}`]: index === 0 ? undefined : String(index) },
            }],
          });
        }
      }));
      const metadata = await lake.current();
      const names = (await lake.livePaths()).map((path) => path.replace(/.*\//, ''));
      expect(names).toEqual(Array.from({ length: writers }, (_, writer) =>
        Array.from({ length: perWriter }, (__, index) => `${writer}-${index}.parquet`)).flat().toSorted());
      expect(metadata.snapshots).toHaveLength(writers * perWriter);
      expect(metadata['last-sequence-number']).toBe(writers * perWriter);
      expect([...bases.values()].every((winners) => winners === 1)).toBe(true);
      for (let writer = 0; writer < writers; writer += 1) {
        const offsets = metadata.snapshots.flatMap(({ summary }) => summary[`offset.${writer}`] ?? []);
        expect(offsets).toEqual(['1', '2', '3', '4']);
      }
      // Every file that a snapshot names exists, and no other manifest or list does.
      const reached = new Set<string>();
      for (const snapshot of metadata.snapshots) {
        reached.add(snapshot['manifest-list']);
        for (const manifest of await loadManifestList(lake.store, createTableCache(), snapshot)) reached.add(manifest.path);
      }
      const stored = [...lake.store.keys].filter((key) => key.endsWith('.avro')).map((key) => `file:///lake/${key}`);
      expect(stored.toSorted()).toEqual([...reached].toSorted());
    }), { numRuns: 40 });
}, 60_000);
