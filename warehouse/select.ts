import type { TableSpec } from '#core/contract/tables.ts';
import type { Store } from '#core/store/store.ts';
import { identifier, literal } from './duck.ts';
import { duckType } from './encode.ts';
import { storeKey } from './table/files.ts';
import type { PlannedFile } from './table/scan.ts';

/**
 * A SELECT of the named columns of a table from planned files, for DuckDB. Columns are found by field id, and rows
 * that another engine deleted are left out. The files must stay where they are while the statement runs.
 */
export async function selectRows(
  store: Store,
  spec: TableSpec,
  files: readonly PlannedFile[],
  names: readonly string[],
): Promise<string> {
  const columns = spec.columns.filter(({ name }) => names.includes(name));
  const list = columns.map(({ name }) => identifier(name));
  if (files.length === 0) {
    return `select ${columns.map(({ name, type }) => `null::${duckType(type)} as ${identifier(name)}`).join(', ')} where false`;
  }
  const schema = columns
    .map(
      ({ id, name, type }) => `${id}: {name: ${literal(name)}, type: ${literal(duckType(type))}, default_value: NULL}`,
    )
    .join(', ');
  const local = await Promise.all(
    files.map(async ({ path, deletes }) => ({
      stored: path,
      path: await localPath(store, path),
      deletes: await Promise.all(deletes.map((file) => localPath(store, file))),
    })),
  );
  const reader = (some: readonly { path: string }[], options = ''): string =>
    `read_parquet([${some.map(({ path }) => literal(path)).join(', ')}], schema = MAP {${schema}}${options})`;
  const whole = local.filter(({ deletes }) => deletes.length === 0);
  const holed = local.filter(({ deletes }) => deletes.length > 0);
  const parts: string[] = [];
  if (whole.length > 0) parts.push(`select ${list.join(', ')} from ${reader(whole)}`);
  if (holed.length > 0) {
    const deleteFiles = [...new Set(holed.flatMap(({ deletes }) => deletes))].map(literal).join(', ');
    const pairs = holed
      .flatMap(({ stored, path, deletes }) =>
        deletes.map((file) => `(${literal(stored)}, ${literal(file)}, ${literal(path)})`),
      )
      .join(', ');
    parts.push(`select ${list.map((name) => `d.${name}`).join(', ')}
      from ${reader(holed, ', filename = true, file_row_number = true')} as d anti join (
        select a.local_path, x.pos from read_parquet([${deleteFiles}], filename = true) as x
        join (values ${pairs}) as a(stored_path, delete_file, local_path)
          on x.file_path = a.stored_path and x.filename = a.delete_file
      ) as gone on d.filename = gone.local_path and d.file_row_number = gone.pos`);
  }
  return parts.join(' union all ');
}

function localPath(store: Store, path: string): Promise<string> {
  return store.localPath(storeKey(store, path));
}
