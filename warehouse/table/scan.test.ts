import fc from 'fast-check';
import { addDeletes, filedNote, memoryLake, noteFile, notesRef } from '#test/lake.ts';
import type { TestLake } from '#test/lake.ts';
import { commitAppend } from './append.ts';
import type { AddedFile } from './datafile.ts';
import { changeMetadata } from './ensure.ts';
import { createTableCache } from './files.ts';
import type { DataFile } from './manifest.ts';
import { planScan, schemaFor } from './scan.ts';
import type { Filter } from './scan.ts';
import { encodeValue } from './values.ts';

const code = (wanted: string): unknown => expect.objectContaining({ code: wanted });
const compare = (column: string, op: '=' | '<' | '<=' | '>' | '>=', value: string | number | bigint | boolean): Filter =>
  ({ kind: 'compare', column, op, value });

async function lakeOf(...commits: readonly (readonly AddedFile[])[]): Promise<TestLake> {
  const lake = await memoryLake();
  for (const files of commits) await commitAppend({ ...lake, tables: [{ ref: notesRef, files }], ledger: [] });
  return lake;
}

async function namesFor(lake: TestLake, filter?: Filter): Promise<string[]> {
  const plan = await planScan({ store: lake.store, metadata: await lake.current(), ...(filter ? { filter } : {}) });
  return plan.files.map(({ path }) => path.replace(/.*\/(.*)\.parquet/, '$1')).sort();
}

const june20 = 15_876; // 2013-06-20, days since 1970

const mixed = () => lakeOf(
  [noteFile('hot-flood', { event: 'flood', day: june20, ids: ['100', '199'] })],
  [noteFile('hot-fire', { event: 'fire', day: june20 + 1, ids: ['200', '299'] })],
  [filedNote('filed-flood', { event: 'flood', day: june20, ids: ['300', '399'] }),
    filedNote('filed-fire', { event: 'fire', day: june20 + 1, ids: ['400', '499'] })],
);

test.each<[string, Filter, string[]]>([
  ['an event', compare('event_id', '=', 'flood'), ['filed-flood', 'hot-flood']],
  ['an id', compare('post_id', '=', '250'), ['hot-fire']],
  ['ids from the last on', compare('post_id', '>', '399'), ['filed-fire']],
  ['ids from the last on, it included', compare('post_id', '>=', '399'), ['filed-fire', 'filed-flood']],
  ['ids to the first', compare('post_id', '<', '100'), []],
  ['a day', { kind: 'and', of: [compare('created_at', '>=', '2013-06-21'), compare('created_at', '<', '2013-06-22T00:00:00Z')] },
    ['filed-fire', 'hot-fire']],
  ['an instant in microseconds', compare('created_at', '<', BigInt(june20 + 1) * 86_400_000_000n), ['filed-flood', 'hot-flood']],
  ['one of several', { kind: 'in', column: 'post_id', values: ['150', '450'] }, ['filed-fire', 'hot-flood']],
  ['either', { kind: 'or', of: [compare('post_id', '=', '150'), compare('event_id', '=', 'fire')] }, ['filed-fire', 'hot-fire', 'hot-flood']],
  ['no id', { kind: 'null', column: 'post_id' }, []],
  ['likes, which are all null', { kind: 'not-null', column: 'likes' }, []],
  ['a comparison with what is all null', compare('likes', '>', 5), []],
  ['nothing', { kind: 'or', of: [] }, []],
])('a filter on %s leaves the files that can match', async (_what, filter, names) => {
  expect(await namesFor(await mixed(), filter)).toEqual(names);
});

test.each<[string, Filter]>([
  ['an unknown column', compare('nobody', '=', 'x')],
  ['a constant of another type', compare('post_id', '=', 5)],
  ['an instant that is none', compare('created_at', '>', 'soon')],
  ['a list', { kind: 'null', column: 'tags' }],
  ['everything', { kind: 'and', of: [] }],
])('a filter on %s keeps every file', async (_what, filter) => {
  expect(await namesFor(await mixed(), filter)).toHaveLength(4);
});

test('whole manifests are passed over by what their list says of partitions', async () => {
  const lake = await lakeOf([filedNote('a', { event: 'flood', day: 1 }), filedNote('b', { event: 'flood', day: 2 })],
    [filedNote('c', { event: 'quake', day: 9 })]);
  for (const manifest of lake.store.keys) if (manifest.endsWith('-a1.avro')) await lake.store.put(manifest, new Uint8Array());
  const metadata = await lake.current();
  const plan = (filter: Filter) => planScan({ store: lake.store, metadata, filter });
  expect(await plan(compare('event_id', '=', 'zoo'))).toMatchObject({ files: [], prunedManifests: 2 });
  expect(await plan(compare('created_at', '>=', '1970-01-11'))).toMatchObject({ files: [], prunedManifests: 2 });
  await expect(plan(compare('event_id', '=', 'quake'))).rejects.toEqual(code('corrupt'));
});

test('no file with a matching row is ever left out', async () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'é', '\uFFFF', '😀'), maxLength: 3 });
  const row = fc.record({ event_id: fc.option(text), post_id: text, created_at: fc.integer({ min: -3, max: 3 }).map((half) => half * 43_200_000_000) });
  type Row = { event_id: string | null; post_id: string; created_at: number };
  const order = (left: string | number, right: string | number): number =>
    typeof left === 'number' ? left - Number(right) : Buffer.compare(Buffer.from(left), Buffer.from(String(right)));
  const holds = (filter: Filter, of: Row): boolean => {
    if (filter.kind === 'and') return filter.of.every((part) => holds(part, of));
    if (filter.kind === 'or') return filter.of.some((part) => holds(part, of));
    const value = of[filter.column as keyof Row];
    if (filter.kind === 'null' || filter.kind === 'not-null') return (value === null) === (filter.kind === 'null');
    if (value === null) return false;
    if (filter.kind === 'in') return filter.values.some((one) => one === value);
    const sign = order(value, filter.value as string | number);
    return { '=': sign === 0, '<': sign < 0, '<=': sign <= 0, '>': sign > 0, '>=': sign >= 0 }[filter.op];
  };
  const constant = row.chain((of) => fc.constantFrom<[string, string | number]>(
    ['event_id', of.event_id ?? 'a'], ['post_id', of.post_id], ['created_at', of.created_at]));
  const leaf = constant.chain(([column, value]) => fc.constantFrom<Filter>(
    compare(column, '=', value), compare(column, '<', value), compare(column, '<=', value), compare(column, '>', value),
    compare(column, '>=', value), { kind: 'in', column, values: [value] }, { kind: 'null', column }, { kind: 'not-null', column }));
  const filters = fc.letrec<{ tree: Filter }>((tie) => ({
    tree: fc.oneof({ depthSize: 'small' }, leaf, fc.record({ kind: fc.constantFrom('and' as const, 'or' as const), of: fc.array(tie('tree'), { maxLength: 3 }) })),
  })).tree;
  await fc.assert(fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 6 }), fc.boolean(), filters, async (rows, filed, filter) => {
    // One event and day to a file where it is filed, as the specification wants.
    const groups = filed ? Map.groupBy(rows, (of) => `${of.event_id}/${Math.floor(of.created_at / 86_400_000_000)}`) : new Map([['all', rows]]);
    const files = [...groups.values()].map((some, index) => fileOf(`f${index}`, some, filed));
    const lake = await lakeOf(files);
    const names = await namesFor(lake, filter);
    [...groups.values()].forEach((some, index) => {
      if (some.some((of) => holds(filter, of))) expect(names).toContain(`f${index}`);
    });
  }), { numRuns: 300 });

  function fileOf(name: string, rows: readonly Row[], filed: boolean): AddedFile {
    const lower = new Map<number, Uint8Array>();
    const upper = new Map<number, Uint8Array>();
    const columns = [['event_id', 1, 'string'], ['post_id', 2, 'string'], ['created_at', 3, 'timestamptz']] as const;
    const nullCounts = new Map<number, number>();
    for (const [column, id, type] of columns) {
      const values = rows.flatMap((of) => of[column] ?? []).toSorted(order);
      nullCounts.set(id, rows.length - values.length);
      const [least] = values;
      const most = values.at(-1);
      if (least === undefined || most === undefined) continue;
      lower.set(id, encodeValue(type, least));
      upper.set(id, encodeValue(type, most));
    }
    const day = Math.floor((rows[0]?.created_at ?? 0) / 86_400_000_000);
    return {
      ...noteFile(name, { rows: rows.length }), nullCounts, lowerBounds: lower, upperBounds: upper,
      ...(filed ? { specId: 1, partition: { '1000': rows[0]?.event_id ?? null, '1001': day } } : {}),
    };
  }
});

test('an older snapshot is read by its id, or by when it was current', async () => {
  const lake = await lakeOf([noteFile('a')], [noteFile('b')], [noteFile('c')]);
  await changeMetadata(lake, notesRef, (base) => ({
    ...base, schemas: [...base.schemas, { type: 'struct', 'schema-id': 1, fields: [] }], 'current-schema-id': 1,
  }));
  const metadata = await lake.current();
  const [first, second] = metadata.snapshots;
  const files = async (at: { snapshotId?: bigint; asOfMs?: number }) =>
    (await planScan({ store: lake.store, metadata, ...at })).files.length;
  expect(await files({ snapshotId: first?.['snapshot-id'] ?? 0n })).toBe(1);
  expect(await files({ asOfMs: second?.['timestamp-ms'] ?? 0 })).toBe(2);
  expect(await files({ asOfMs: Number.MAX_SAFE_INTEGER })).toBe(3);
  await expect(files({ snapshotId: 1n })).rejects.toEqual(code('not_found'));
  await expect(files({ asOfMs: (first?.['timestamp-ms'] ?? 0) - 1 })).rejects.toEqual(code('not_found'));
  expect(schemaFor(metadata, { snapshotId: first?.['snapshot-id'] ?? 0n })['schema-id']).toBe(0);
  expect(schemaFor(metadata)['schema-id']).toBe(1);
});

test('a table without snapshots has no files', async () => {
  const lake = await memoryLake();
  expect(await planScan({ store: lake.store, metadata: await lake.current() }))
    .toMatchObject({ snapshotId: undefined, files: [], prunedFiles: 0 });
});

const pathId = 2_147_483_546;

test('position deletes are told for the files that they can apply to, and only for those', async () => {
  const lake = await lakeOf([noteFile('hot')], [filedNote('x', { event: 'flood', day: 1 }), filedNote('y', { event: 'flood', day: 1 }),
    filedNote('z', { event: 'fire', day: 1 })]);
  const partition = { '1000': 'flood', '1001': 1 };
  const pathOf = (name: string): string => `file:///lake/store/notes/data/${name}.parquet`;
  const exactly = (name: string) => new Map([[pathId, Buffer.from(pathOf(name))]]);
  await addDeletes(lake, 1, [
    { path: 'file:///lake/any.parquet', partition },
    { path: 'file:///lake/named.parquet', partition, referencedDataFile: pathOf('x') },
    { path: 'file:///lake/bounded.parquet', partition, lowerBounds: exactly('y'), upperBounds: exactly('y') },
  ]);
  await addDeletes(lake, 0, [{ path: 'file:///lake/hot-deletes.parquet' }]);
  await commitAppend({ ...lake, tables: [{ ref: notesRef, files: [noteFile('later'), filedNote('later-x', { event: 'flood', day: 1 })] }], ledger: [] });
  const plan = await planScan({ store: lake.store, metadata: await lake.current() });
  const deletes = Object.fromEntries(plan.files.map((file) => [
    file.path.replace(/.*\/(.*)\.parquet/, '$1'), file.deletes.map((path) => path.replace(/.*\/(.*)\.parquet/, '$1')).sort(),
  ]));
  expect(deletes).toEqual({ hot: ['hot-deletes'], x: ['any', 'named'], y: ['any', 'bounded'], z: [], later: [], 'later-x': [] });
});

test.each<[string, Partial<DataFile>]>([
  ['equality deletes', { content: 2, equalityIds: [1] }],
  ['a deletion vector', { content: 1, format: 'PUFFIN' }],
])('%s is refused loudly', async (_what, file) => {
  const lake = await lakeOf([noteFile('a')]);
  await addDeletes(lake, 0, [file]);
  await expect(planScan({ store: lake.store, metadata: await lake.current() })).rejects.toEqual(code('unsupported'));
});

test('files that are not Parquet and files outside of the store are refused', async () => {
  const lake = await lakeOf([{ ...noteFile('a'), format: 'ORC' }]);
  await expect(planScan({ store: lake.store, metadata: await lake.current() })).rejects.toEqual(code('unsupported'));
  const metadata = await (await lakeOf([noteFile('a')])).current();
  await expect(planScan({ store: { ...lake.store, uri: 's3://other' }, metadata })).rejects.toEqual(code('foreign_lake'));
});

test('what was read once is not read again', async () => {
  const lake = await lakeOf([noteFile('a')], [noteFile('b')]);
  const metadata = await lake.current();
  const cache = createTableCache();
  const once = await planScan({ store: lake.store, cache, metadata });
  for (const key of lake.store.keys) await lake.store.delete(key);
  const again = await planScan({ store: lake.store, cache, metadata, filter: compare('post_id', '=', '5') });
  expect(again.files.map(({ path }) => path)).toEqual(once.files.map(({ path }) => path));
  expect(again.files[0]?.range('post_id')).toEqual({ lower: '1', upper: '9', nulls: 'none' });
});
