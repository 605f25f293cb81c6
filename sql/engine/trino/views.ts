import { randomUUID } from 'node:crypto';
import type { Clock } from '#core/clock.ts';
import { lakeSchema, storeNamespace, tables } from '#core/contract/tables.ts';
import type { ColumnType, TableName } from '#core/contract/tables.ts';
import type { Database } from '#core/database/database.ts';
import { keyOf } from '#core/store/store.ts';
import type { Store } from '#core/store/store.ts';
import { helpers, lakeViews } from '../views.ts';
import type { HelperName } from '../views.ts';

export interface TrinoViewsOptions {
  readonly database: Database;
  readonly store: Store;
  readonly clock: Clock;
  /** `catalog_name` in the Iceberg catalog. */
  readonly catalogName: string;
  /** Trino's name of that catalog. */
  readonly trinoCatalog: string;
  /** The Trino user whose rights the views read the tables with; he needs GRANT SELECT on them. */
  readonly owner: string;
}

/**
 * Writes the views of schema `lake` into the Iceberg catalog, as Iceberg view metadata (specification "View Spec",
 * version 1) in Trino's dialect, from the definitions that the DuckDB engine uses. A view that is as it should be is
 * left alone. Returns the names of those that were written.
 */
export async function writeTrinoViews(options: TrinoViewsOptions): Promise<TableName[]> {
  const { database, catalogName } = options;
  for (const namespace of [lakeSchema, storeNamespace]) {
    // A namespace without such a row vanishes with its last table or view.
    await database.execute(
      `insert into public.iceberg_namespace_properties (catalog_name, namespace, property_key, property_value)
       values ($1, $2, 'exists', 'true') on conflict do nothing`,
      [catalogName, namespace],
    );
  }
  const rows = await database.query<{ table_name: string; metadata_location: string }>(
    'select table_name, metadata_location from public.iceberg_tables where catalog_name = $1 and table_namespace = $2',
    [catalogName, lakeSchema],
  );
  const current = new Map(rows.map((row) => [row.table_name, row.metadata_location]));
  const written: TableName[] = [];
  for (const name of viewNames) {
    if (await writeView(options, name, current.get(name))) written.push(name);
  }
  return written;
}

// The keys of the contract are the names of the tables; Object.keys has lost that.
const viewNames = Object.keys(lakeViews).filter((name): name is TableName => Object.hasOwn(tables, name));

async function writeView(options: TrinoViewsOptions, name: TableName, current: string | undefined): Promise<boolean> {
  const { database, store, catalogName } = options;
  const wanted = describeView(options, name);
  if (current !== undefined && (await storedDescription(store, current)) === JSON.stringify(wanted)) return false;
  const folder = `${lakeSchema}/${name}-${randomUUID().replaceAll('-', '')}`;
  const key = `${folder}/metadata/00000-${randomUUID()}.metadata.json`;
  await store.put(key, Buffer.from(JSON.stringify(viewMetadata(options, `${store.uri}/${folder}`, wanted))));
  const location = `${store.uri}/${key}`;
  // Of two programs that write at once one wins; both write the same view.
  await database.execute(
    `insert into public.iceberg_tables (catalog_name, table_namespace, table_name, metadata_location, iceberg_type)
     values ($1, $2, $3, $4, 'VIEW')
     on conflict (catalog_name, table_namespace, table_name) do update
       set metadata_location = excluded.metadata_location, previous_metadata_location = iceberg_tables.metadata_location
       where iceberg_tables.iceberg_type = 'VIEW'`,
    [catalogName, lakeSchema, name, location],
  );
  return true;
}

/** What makes a view what it is: compared with what is stored, to see whether it must be written. */
interface ViewDescription {
  readonly fields: readonly object[];
  readonly sql: string;
  readonly properties: Readonly<Record<string, string>>;
  readonly defaultCatalog: string;
}

function describeView({ owner, trinoCatalog }: TrinoViewsOptions, name: TableName): ViewDescription {
  const table = tables[name];
  return {
    fields: table.columns.map(({ id, name: column, type, doc }) => ({
      id,
      name: column,
      required: false,
      type: icebergType(type),
      doc,
    })),
    sql: trinoSql(name),
    properties: { comment: table.comment, 'trino.run-as-owner': owner },
    defaultCatalog: trinoCatalog,
  };
}

/** The view's definition with the helper relations put in as subqueries. */
function trinoSql(name: TableName): string {
  return lakeViews[name].sql.replaceAll(/\bhelper\.(\w+)/g, (whole, helper: string) =>
    isHelper(helper) ? `(${helpers[helper].sql})` : whole,
  );
}

function isHelper(name: string): name is HelperName {
  return Object.hasOwn(helpers, name);
}

function icebergType(type: ColumnType): unknown {
  if (typeof type === 'string') return type;
  return { type: 'list', 'element-id': type.elementId, element: type.list, 'element-required': false };
}

function viewMetadata({ clock }: TrinoViewsOptions, location: string, wanted: ViewDescription): object {
  const now = clock.now();
  return {
    'view-uuid': randomUUID(),
    'format-version': 1,
    location,
    schemas: [{ 'schema-id': 0, type: 'struct', fields: wanted.fields }],
    'current-version-id': 1,
    versions: [
      {
        'version-id': 1,
        'timestamp-ms': now,
        'schema-id': 0,
        summary: { 'engine-name': 'watershed' },
        'default-catalog': wanted.defaultCatalog,
        'default-namespace': [storeNamespace],
        representations: [{ type: 'sql', sql: wanted.sql, dialect: 'trino' }],
      },
    ],
    'version-log': [{ 'timestamp-ms': now, 'version-id': 1 }],
    properties: wanted.properties,
  };
}

/** The description of a stored view, or undefined where it is not of our making (compressed, other layout, missing). */
async function storedDescription(store: Store, location: string): Promise<string | undefined> {
  const key = keyOf(store, location);
  if (key === undefined || (await store.size(key)) === undefined) return undefined;
  const bytes = Buffer.from(await store.get(key));
  if (bytes[0] !== 0x7b) return undefined;
  const parsed: StoredView = JSON.parse(bytes.toString('utf8'));
  const version = parsed.versions?.find((one) => one['version-id'] === parsed['current-version-id']);
  return JSON.stringify({
    fields: parsed.schemas?.find((schema) => schema['schema-id'] === version?.['schema-id'])?.fields,
    sql: version?.representations?.[0]?.sql,
    properties: parsed.properties,
    defaultCatalog: version?.['default-catalog'],
  });
}

interface StoredView {
  readonly 'current-version-id'?: number;
  readonly schemas?: readonly { readonly 'schema-id'?: number; readonly fields?: unknown }[];
  readonly versions?: readonly {
    readonly 'version-id'?: number;
    readonly 'schema-id'?: number;
    readonly 'default-catalog'?: string;
    readonly representations?: readonly { readonly sql?: string }[];
  }[];
  readonly properties?: unknown;
}
