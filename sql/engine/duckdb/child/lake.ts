import { statSync } from 'node:fs';
import type { DuckDBConnection } from '@duckdb/node-api';
import { WatershedError } from '#core/errors.ts';
import { helpers, lakeViews } from '../../views.ts';
import type { Reads, SentColumn, SentFile, SentLake, SentTable } from '../protocol.ts';
import { quoteName } from './judge.ts';

/** What the child's database shows: views over the files of each table, made anew only when those change. */
export interface ShownLake {
  /** Makes what the statement may see. */
  show(lake: SentLake): Promise<void>;
}

/**
 * Files in folder `root` are called by their names in there, with it as the working folder: plans and errors that people
 * see then tell nothing of where the lake lies.
 */
export function createShownLake(connection: DuckDBConnection, root: string | undefined): ShownLake {
  const shown = new Map<string, string>();
  const withIds = new Set<string>();
  /** Makes something unless it stands under that key already. */
  const once = async (name: string, key: string, make: () => Promise<void>): Promise<void> => {
    if (shown.get(name) === key) return;
    shown.delete(name); // where making fails, the old one is not the new one
    await make();
    shown.set(name, key);
  };
  return {
    async show(sent) {
      const lake = root !== undefined && workIn(root) ? underRoot(sent, `${root}/`) : sent;
      for (const table of lake.tables) {
        await once(`store.${table.name}`, table.key, async () => {
          await requireFieldIds(connection, table.content?.files ?? [], withIds);
          await run(connection, storeView(table));
        });
      }
      for (const { name, key, reads } of lake.helpers) {
        await once(`helper.${name}`, key, async () => {
          const { sql, columns } = helpers[name];
          await run(connection, `CREATE OR REPLACE TABLE helper.${name}_rows AS ${reading(sql, reads)}`);
          const found = await connection.runAndReadAll(`SELECT 1 FROM helper.${name}_rows LIMIT 1`);
          // The optimizer drops an anti join against what it can see to be empty; a table without rows it cannot see
          // through.
          const nothing = columns.map((column) => `NULL::VARCHAR AS ${column}`).join(', ');
          await run(
            connection,
            `CREATE OR REPLACE VIEW helper.${name} AS ` +
              (found.currentRowCount === 0 ? `SELECT ${nothing} WHERE false` : `SELECT * FROM helper.${name}_rows`),
          );
        });
      }
      for (const { name, of, key, reads } of lake.views) {
        await once(
          `lake.${name}`,
          key,
          async () =>
            await run(
              connection,
              `CREATE OR REPLACE VIEW lake.${quoteName(name)} AS ${reading(lakeViews[of].sql, reads)}`,
            ),
        );
      }
    },
  };
}

/** False where there is no such folder (yet). One that was removed and made anew is entered again. */
function workIn(root: string): boolean {
  try {
    const [there, here] = [statSync(root), statSync('.', { throwIfNoEntry: false })];
    if (there.ino !== here?.ino || there.dev !== here.dev) process.chdir(root);
    return true;
  } catch {
    return false; // then files go by their whole names
  }
}

function underRoot(lake: SentLake, prefix: string): SentLake {
  const short = (path: string): string => (path.startsWith(prefix) ? path.slice(prefix.length) : path);
  const file = ({ path, deletes }: SentFile): SentFile => ({
    path: short(path),
    ...(deletes === undefined ? {} : { deletes: { ...deletes, files: deletes.files.map(short) } }),
  });
  return {
    ...lake,
    tables: lake.tables.map((table) =>
      table.content === undefined
        ? table
        : { ...table, content: { ...table.content, files: table.content.files.map(file) } },
    ),
  };
}

/** Files whose ids were seen; more are not remembered, which only costs time. */
const checkedFilesMax = 200_000;

/**
 * Refuses files without field ids: columns are found by id, so all of theirs would come out as null. Ours have them;
 * other engines may have added files as they were (`add_files`). Each file is looked at once: files never change.
 */
async function requireFieldIds(
  connection: DuckDBConnection,
  files: readonly SentFile[],
  seen: Set<string>,
): Promise<void> {
  const unseen = files.map(({ path }) => path).filter((path) => !seen.has(path));
  if (unseen.length === 0) return;
  const result = await connection.runAndReadAll(
    `SELECT file_name FROM parquet_schema([${unseen.map(quoteText).join(', ')}]) GROUP BY file_name HAVING count(field_id) = 0 LIMIT 1`,
  );
  const path = result.getRows()[0]?.[0];
  if (typeof path === 'string') {
    throw new WatershedError('unsupported', `${path} has no field ids, so its columns cannot be told`, {
      hint: 'Let the engine that added the file rewrite it: ALTER TABLE … EXECUTE optimize in Trino, rewrite_data_files in Spark.',
      context: { sqlstate: '0A000' },
    });
  }
  if (seen.size > checkedFilesMax) seen.clear();
  for (const each of unseen) seen.add(each);
}

async function run(connection: DuckDBConnection, sql: string): Promise<void> {
  await connection.run(sql);
}

/** The definition with the store views it is to read. */
function reading(sql: string, reads: Reads): string {
  return sql.replaceAll(/\bstore\.(\w+)\b/g, (_match, table: string) => `store.${quoteName(reads[table] ?? table)}`);
}

function storeView({ name, content }: SentTable): string {
  if (content === undefined)
    throw new WatershedError('internal', `the files of ${name} were not sent, and are not known`);
  return `CREATE OR REPLACE VIEW store.${quoteName(name)} AS ${selectFrom(content.columns, content.files)}`;
}

/**
 * A SELECT of a table's rows from its files. Columns are found by field id, so that renamed and added ones are right.
 */
export function selectFrom(columns: readonly SentColumn[], files: readonly SentFile[]): string {
  if (files.length === 0) {
    return `SELECT ${columns.map(({ name, type }) => `NULL::${type} AS ${quoteName(name)}`).join(', ')} WHERE false`;
  }
  const whole = files.filter(({ deletes }) => deletes === undefined);
  const holed = files.filter(({ deletes }) => deletes !== undefined);
  return [
    ...(whole.length === 0 ? [] : [`SELECT ${namesOf(columns, '')} FROM ${reader(columns, whole, '')}`]),
    ...(holed.length === 0 ? [] : [selectUndeleted(columns, holed)]),
  ].join(' UNION ALL ');
}

function namesOf(columns: readonly SentColumn[], alias: string): string {
  return columns.map(({ name }) => `${alias}${quoteName(name)}`).join(', ');
}

function reader(columns: readonly SentColumn[], files: readonly SentFile[], options: string): string {
  const schema = columns.map(
    ({ id, name, type }) => `${id}: {name: ${quoteText(name)}, type: ${quoteText(type)}, default_value: NULL}`,
  );
  const list = files.map(({ path }) => quoteText(path)).join(', ');
  return `read_parquet([${list}], schema = MAP {${schema.join(', ')}}${options})`;
}

/**
 * Rows of files of which other engines have deleted some. A delete file names data files by the path they are stored
 * under and rows by their number (specification, Position Delete Files); which delete files apply to which data files
 * is the planner's say.
 */
function selectUndeleted(columns: readonly SentColumn[], files: readonly SentFile[]): string {
  const pairs: string[] = [];
  const deleteFiles = new Set<string>();
  for (const { path, deletes } of files) {
    for (const file of deletes?.files ?? []) {
      deleteFiles.add(file);
      pairs.push(`(${quoteText(deletes?.calledBy ?? path)}, ${quoteText(file)}, ${quoteText(path)})`);
    }
  }
  const list = [...deleteFiles].map(quoteText).join(', ');
  return `SELECT ${namesOf(columns, 'd.')} FROM ${reader(columns, files, ', filename = true, file_row_number = true')} AS d
ANTI JOIN (SELECT a.local_path, x.pos FROM read_parquet([${list}], filename = true) AS x
  JOIN (VALUES ${pairs.join(', ')}) AS a(called_by, delete_file, local_path) ON x.file_path = a.called_by AND x.filename = a.delete_file) AS gone
ON d.filename = gone.local_path AND d.file_row_number = gone.pos`;
}

function quoteText(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}
