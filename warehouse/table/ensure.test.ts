import { seededRandom } from '#core/clock.ts';
import { hurriedClock, memoryLake, noteFile, notes, notesRef, watchedStore } from '#test/lake.ts';
import { createMemoryCatalog } from '../catalog/memory.ts';
import { commitAppend } from './append.ts';
import { ensureTable } from './ensure.ts';
import { createTableCache, loadMetadata } from './files.ts';

test('of several processes that make a table at once one makes it, and nothing else stays', async () => {
  const [store, catalog] = [watchedStore(), createMemoryCatalog()];
  await Promise.all([1, 2, 3, 4].map((seed) =>
    ensureTable({ store, catalog, clock: hurriedClock(), random: seededRandom(seed) }, notesRef, notes)));
  expect([...store.keys].map((key) => `file:///lake/${key}`)).toEqual([await catalog.load(notesRef)]);
  const metadata = await loadMetadata(store, createTableCache(), await catalog.load(notesRef) ?? '');
  expect(metadata).toMatchObject({ location: 'file:///lake/store/notes', 'current-snapshot-id': -1n });
});

test('a table that is there gets the columns it lacks, once, and keeps its rows', async () => {
  const lake = await memoryLake();
  await commitAppend({ ...lake, tables: [{ ref: notesRef, files: [noteFile('a')] }], ledger: [] });
  const wider = { ...notes, columns: [...notes.columns, { id: 6, name: 'lang', type: 'string' as const, doc: '' }] };
  await Promise.all([1, 2, 3].map(() => ensureTable(lake, notesRef, wider)));
  const metadata = await lake.current();
  expect(metadata.schemas.map(({ fields }) => fields.length)).toEqual([5, 6]);
  expect(await lake.livePaths()).toHaveLength(1);
  const location = await lake.catalog.load(notesRef);
  await ensureTable(lake, notesRef, wider);
  expect(await lake.catalog.load(notesRef)).toBe(location);
});
