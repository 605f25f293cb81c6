import { type TableName, tables } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import { canonicalPath, keyOf, type Store } from '#core/store/store.ts';
import type { Catalog } from '#warehouse/catalog/catalog.ts';
import { loadMetadata, type TableCache } from '#warehouse/table/files.ts';
import { createLru } from '#warehouse/table/lru.ts';
import type { TableMetadata } from '#warehouse/table/metadata.ts';
import { type Filter, planScan, schemaFor, type SnapshotChoice } from '#warehouse/table/scan.ts';
import { type HelperName, helpers, lakeViews } from '../views.ts';
import { duckType } from './duck-types.ts';
import type { AskedTable, Reads, SentColumn, SentFile, SentLake, SentTable } from './protocol.ts';

/** Finds out which files hold what a statement asks: one snapshot per table, all of one instant. */
export interface Planner {
  plan(asked: readonly AskedTable[], introspects: boolean): Promise<SentLake>;
  /** The columns of a table as it stands. */
  columns(table: TableName): Promise<readonly SentColumn[]>;
}

/** Files in all plans that are kept. */
const plannedFilesMax = 100_000;

/** A view of schema store to be made. */
interface Wanted {
  readonly table: TableName;
  readonly at: SnapshotChoice;
  /** One per place where the statement asks the table; undefined where it wants all rows. */
  readonly filters: (Filter | undefined)[];
  /** False where only the columns are asked for. */
  rows: boolean;
}

export function createPlanner(deps: { catalog: Catalog; store: Store; cache: TableCache; namespace: string }): Planner {
  const { catalog, store, cache, namespace } = deps;
  const plans = createLru<NonNullable<SentTable['content']>>(plannedFilesMax);
  const metadataAt = async (location: string | undefined): Promise<TableMetadata | undefined> =>
    location === undefined ? undefined : await loadMetadata(store, cache, location);
  return {
    async plan(asked, introspects) {
      const want = collect(asked, introspects);
      const names = [...new Set([...want.store.values()].map(({ table }) => table))];
      const refs = names.map((name) => ({ namespace, name }));
      const locations = refs.length === 0 ? [] : await catalog.loadAll(refs);
      const locationOf = new Map(names.map((name, index) => [name, locations[index]]));
      const planned = [...want.store].map(
        async ([name, wanted]): Promise<SentTable & Required<Pick<SentTable, 'content'>>> => {
          const location = locationOf.get(wanted.table);
          const filter = merged(wanted.filters);
          const key = JSON.stringify([
            location ?? `no ${wanted.table}`,
            choiceKey(wanted.at),
            wanted.rows,
            filter ?? null,
          ]);
          let content = plans.get(key);
          if (content === undefined) {
            content = await contentOf(store, cache, await metadataAt(location), wanted, filter);
            plans.set(key, content, content.files.length + 1);
          }
          return { name, key, content };
        },
      );
      const sent = await Promise.all(planned);
      const bridges = bridgesOf(sent, want.store);
      const keyOfView = new Map(sent.map(({ name, key }) => [name, key]));
      return {
        tables: [...sent, ...bridges.values()],
        helpers: [...want.helpers].map((name) => {
          const { uses } = helpers[name];
          const key = JSON.stringify(uses.map((table) => keyOfView.get(table)));
          return { name, key, reads: bridged(uses, {}, bridges) };
        }),
        views: [...want.views].map(([name, { of, reads: own }]) => {
          const reads = bridged(lakeViews[of].uses, own, bridges);
          return { name, of, reads, key: JSON.stringify(reads) };
        }),
      };
    },
    async columns(table) {
      const [location] = await catalog.loadAll([{ namespace, name: table }]);
      return columnsOf(table, await metadataAt(location), {});
    },
  };
}

/**
 * Tables of which another engine has renamed columns of ours, once more with our names: the views of schema lake
 * are written
 * with those. By name of the store view.
 */
function bridgesOf(
  sent: readonly (SentTable & Required<Pick<SentTable, 'content'>>)[],
  wanted: ReadonlyMap<string, Wanted>,
): Map<string, SentTable> {
  const bridges = new Map<string, SentTable>();
  for (const { name, key, content } of sent) {
    const table = wanted.get(name)?.table;
    if (table === undefined) continue;
    const names = new Map<number, string>(tables[table].columns.map((column) => [column.id, column.name]));
    const ours = ({ id }: SentColumn): string | undefined => names.get(id >= absentIds ? id - absentIds : id);
    if (content.columns.every((column) => (ours(column) ?? column.name) === column.name)) continue;
    const taken = new Set(names.values());
    const columns = content.columns
      .filter((column) => ours(column) !== undefined || !taken.has(column.name))
      .map((column) => ({ ...column, name: ours(column) ?? column.name }));
    bridges.set(name, { name: `${name}@lake`, key: `${key}@lake`, content: { ...content, columns } });
  }
  return bridges;
}

/** Which store views stand for the tables that a view or helper reads. */
function bridged(uses: readonly string[], reads: Reads, bridges: ReadonlyMap<string, SentTable>): Reads {
  const found: Record<string, string> = {};
  for (const table of uses) {
    const name = reads[table] ?? table;
    found[table] = bridges.get(name)?.name ?? name;
  }
  return found;
}

interface Collected {
  readonly store: Map<string, Wanted>;
  readonly helpers: Set<HelperName>;
  readonly views: Map<string, { readonly of: TableName; readonly reads: Reads }>;
}

function isTableName(name: string): name is TableName {
  return Object.hasOwn(tables, name);
}

/** What must be made for the tables a statement asks, and what those lean on. */
function collect(asked: readonly AskedTable[], introspects: boolean): Collected {
  const found: Collected = { store: new Map(), helpers: new Set(), views: new Map() };
  const want = (
    name: string,
    table: TableName,
    at: SnapshotChoice,
    filter: Filter | undefined,
    rows: boolean,
  ): void => {
    const known = found.store.get(name);
    if (known === undefined) return void found.store.set(name, { table, at, filters: [filter], rows });
    known.filters.push(filter);
    known.rows ||= rows;
  };
  const wantView = (
    name: string,
    table: TableName,
    at: SnapshotChoice,
    filter: Filter | undefined,
    rows: boolean,
  ): void => {
    const view = lakeViews[table];
    for (const used of view.uses) {
      if (used === table) want(name, table, at, prunable(filter, view.prunable), rows);
      else want(used, used, {}, undefined, rows);
    }
    for (const helper of view.helpers) {
      found.helpers.add(helper);
      for (const used of helpers[helper].uses) want(used, used, {}, undefined, rows);
    }
    found.views.set(name, { of: table, reads: { [table]: name } });
  };
  for (const table of asked) {
    if (!isTableName(table.name))
      throw new WatershedError('internal', `the guard let ${table.name} pass, which is no table`);
    const name = table.travel === undefined ? table.name : `${table.name}@${table.travel.number}`;
    (table.schema === 'lake' ? wantView : want)(name, table.name, choice(table), table.filter, true);
  }
  if (introspects) {
    for (const table of Object.keys(tables).filter(isTableName)) {
      want(table, table, {}, undefined, false);
      wantView(table, table, {}, undefined, false);
    }
  }
  return found;
}

function choice({ travel }: AskedTable): SnapshotChoice {
  if (travel === undefined) return {};
  return 'asOfMs' in travel ? { asOfMs: travel.asOfMs } : { snapshotId: BigInt(travel.snapshotId) };
}

function choiceKey({ snapshotId, asOfMs }: SnapshotChoice): string {
  return snapshotId === undefined ? String(asOfMs ?? '') : `snapshot ${snapshotId}`;
}

/** The part of a condition that may leave out files under a view. */
function prunable(filter: Filter | undefined, columns: 'all' | readonly string[]): Filter | undefined {
  if (columns === 'all' || filter === undefined || filter.kind !== 'and') return filter;
  const parts = filter.of.filter((part) => 'column' in part && columns.includes(part.column));
  return parts.length === 0 ? undefined : { kind: 'and', of: parts };
}

/** Rows that any of the places wants. */
function merged(filters: readonly (Filter | undefined)[]): Filter | undefined {
  const known = filters.filter((filter) => filter !== undefined);
  if (known.length < filters.length) return undefined;
  return known.length === 1 ? known[0] : { kind: 'or', of: known };
}

async function contentOf(
  store: Store,
  cache: TableCache,
  metadata: TableMetadata | undefined,
  wanted: Wanted,
  filter: Filter | undefined,
): Promise<NonNullable<SentTable['content']>> {
  const columns = columnsOf(wanted.table, metadata, wanted.at);
  if (metadata === undefined || !wanted.rows) return { columns, files: [] };
  const plan = await planScan({ store, metadata, cache, ...wanted.at, ...(filter === undefined ? {} : { filter }) });
  const files = await Promise.all(
    plan.files.map(async ({ path, deletes }): Promise<SentFile> => {
      const local = await localPath(store, path);
      if (deletes.length === 0) return { path: local };
      return {
        path: local,
        deletes: {
          calledBy: path,
          files: await Promise.all(deletes.map(async (each) => await localPath(store, each))),
        },
      };
    }),
  );
  return { columns, files };
}

/** Added to the id of a column that the schema does not have: files may still hold one that was dropped. */
const absentIds = 1_000_000_000;

/** Columns of the table's own schema, and those of the contract that it does not have yet, which are null. */
function columnsOf(table: TableName, metadata: TableMetadata | undefined, at: SnapshotChoice): SentColumn[] {
  const fields = metadata === undefined ? [] : schemaFor(metadata, at).fields;
  const columns = fields.map(({ id, name, type }) => ({ id, name, type: duckType(type) }));
  const ids = new Set(fields.map(({ id }) => id));
  const names = new Set(fields.map(({ name }) => name.toLowerCase()));
  for (const { id, name, type } of tables[table].columns) {
    if (!ids.has(id) && !names.has(name))
      columns.push({
        id: id + absentIds,
        name,
        type: duckType(typeof type === 'string' ? type : { type: 'list', element: type.list }),
      });
  }
  return columns;
}

/** A file of a store on the local disk needs no question; the others are fetched once and kept by the store. */
async function localPath(store: Store, path: string): Promise<string> {
  const key = keyOf(store, path);
  if (key === undefined)
    throw new WatershedError('foreign_lake', `${path} does not lie in this lake's store, ${store.uri}`);
  const canonical = canonicalPath(path);
  return canonical.startsWith('file:///') ? canonical.slice('file://'.length) : await store.localPath(key);
}
