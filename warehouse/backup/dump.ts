import type { Database, Sql } from '#core/database/database.ts';
import { WatershedError } from '#core/errors.ts';
import { partBytesMax, type Member } from './archive.ts';

// Tables travel as the text form of their rows, which every version of PostgreSQL reads and which loses nothing: that
// makes a backup the way across a major version of the embedded server too.

export interface DatabaseAbout {
  /** Number of the newest migration that the rows are shaped by. */
  readonly migration: number;
  readonly serverVersion: number;
  /** In an order in which no row comes before one it points to. */
  readonly tables: readonly { readonly name: string; readonly rows: number }[];
  readonly sequences: readonly { readonly name: string; readonly value: string }[];
  /** Slices of the log, parents first. */
  readonly partitions: readonly { readonly name: string; readonly parent: string; readonly bound: string; readonly key: string | null }[];
}

/** Made anew by the next start, or meaning nothing elsewhere. */
const leftOut = new Set(['watershed.migration', 'watershed.lease', 'watershed.session', 'watershed.login_code']);
const catalogTables = ['public.iceberg_tables', 'public.iceberg_namespace_properties'];
const rowsPerFetch = 64;

/** The rows of all tables as the transaction of `sql` sees them, which must be of one snapshot. */
export async function* dumpDatabase(sql: Sql, done: (about: DatabaseAbout) => void): AsyncGenerator<Member> {
  const tables: { name: string; rows: number }[] = [];
  for (const [number, name] of (await tablesInOrder(sql)).entries()) {
    let rows = 0;
    let part = 0;
    for await (const lines of rowsOf(sql, name)) {
      rows += lines.length;
      part += 1;
      yield { name: memberName(number, name, part), bytes: Buffer.from(JSON.stringify(lines)) };
    }
    tables.push({ name, rows });
  }
  const [server] = await sql.query<{ version: number; migration: number }>(
    `select current_setting('server_version_num')::int as version, max(number) as migration from watershed.migration`);
  const sequences = await sql.query<{ name: string; value: string }>(
    `select schemaname || '.' || sequencename as name, last_value::text as value from pg_sequences
     where schemaname = 'watershed' and last_value is not null order by 1`);
  const partitions = await sql.query<DatabaseAbout['partitions'][number]>(
    `select child.relname as name, parent.relname as parent, pg_get_expr(child.relpartbound, child.oid) as bound,
            pg_get_partkeydef(child.oid) as key
       from pg_partition_tree('watershed.log_batch') tree
       join pg_class child on child.oid = tree.relid join pg_class parent on parent.oid = tree.parentrelid
      where tree.level > 0 order by tree.level, child.relname`);
  done({ migration: server?.migration ?? 0, serverVersion: server?.version ?? 0, tables, sequences, partitions });
}

const memberName = (number: number, table: string, part: number): string =>
  `database/${String(number).padStart(3, '0')}-${table}-${String(part).padStart(6, '0')}.json`;

/** The table that a member holds rows of, or undefined where it holds something else. */
export function tableOf(member: string): string | undefined {
  return /^database\/\d+-([a-z_]+\.[a-z0-9_]+)-\d+\.json$/.exec(member)?.[1];
}

async function tablesInOrder(sql: Sql): Promise<string[]> {
  const found = await sql.query<{ name: string }>(
    `select n.nspname || '.' || c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'watershed' and c.relkind in ('r', 'p') and not c.relispartition order by 1`);
  const names = [...catalogTables, ...found.map(({ name }) => name).filter((name) => !leftOut.has(name))];
  const links = await sql.query<{ child: string; parent: string }>(
    `select distinct cn.nspname || '.' || c.relname as child, pn.nspname || '.' || p.relname as parent
       from pg_constraint k
       join pg_class c on c.oid = k.conrelid join pg_namespace cn on cn.oid = c.relnamespace
       join pg_class p on p.oid = k.confrelid join pg_namespace pn on pn.oid = p.relnamespace
      where k.contype = 'f' and k.conrelid <> k.confrelid`);
  const order: string[] = [];
  while (order.length < names.length) {
    const next = names.find((name) => !order.includes(name) && links.every((link) =>
      link.child !== name || order.includes(link.parent) || !names.includes(link.parent)));
    if (next === undefined) throw new WatershedError('internal', 'the tables of the database point to each other in a circle');
    order.push(next);
  }
  return order;
}

/** Rows as text in order of the primary key, in lists of at most about `partBytesMax`. */
async function* rowsOf(sql: Sql, table: string): AsyncGenerator<string[]> {
  const keys = await sql.query<{ column: string }>(
    `select quote_ident(attname) as column from pg_index join pg_attribute on attrelid = indrelid and attnum = any (indkey)
      where indrelid = $1::regclass and indisprimary order by array_position(indkey::int2[], attnum)`, [table]);
  const order = keys.length === 0 ? '' : `order by ${keys.map(({ column }) => `t.${column}`).join(', ')}`;
  await sql.execute(`declare backup_rows no scroll cursor for select t::text as line from ${table} t ${order}`);
  let lines: string[] = [];
  let length = 0;
  for (;;) {
    const rows = await sql.query<{ line: string }>(`fetch ${rowsPerFetch} from backup_rows`);
    for (const { line } of rows) {
      if (length + line.length > partBytesMax && lines.length > 0) {
        yield lines;
        [lines, length] = [[], 0];
      }
      lines.push(line);
      length += line.length;
    }
    if (rows.length === 0) break;
  }
  await sql.execute('close backup_rows');
  if (lines.length > 0) yield lines;
}

/** Makes the slices of the log that the rows lie in. */
export async function makePartitions(sql: Sql, { partitions }: DatabaseAbout): Promise<void> {
  for (const { name, parent, bound, key } of partitions) {
    const known = /^log_[a-z0-9_]+$/.test(name) && /^log_[a-z0-9_]+$/.test(parent) && /^FOR VALUES [^;]*$/.test(bound)
      && (key === null || key === 'RANGE (appended_at)');
    if (!known) throw new WatershedError('corrupt', `the backup has a slice of the log that is none: ${name}`);
    await sql.execute(`create table watershed.${name} partition of watershed.${parent} ${bound}`
      + (key === null ? '' : ` partition by ${key}`));
  }
}

export async function loadRows(sql: Sql, about: DatabaseAbout, table: string, lines: readonly string[]): Promise<void> {
  if (!about.tables.some(({ name }) => name === table)) {
    throw new WatershedError('corrupt', `the backup has rows of ${table}, which its index does not name`);
  }
  await sql.execute(
    `insert into ${table} overriding system value select (one.line).* from
       (select given.line::${table} as line from unnest($1::text[]) with ordinality as given (line, n) order by n offset 0) one`,
    [lines]);
}

/** Puts the sequences where they were, and compares the counts. */
export async function finishLoad(sql: Sql, { tables, sequences }: DatabaseAbout): Promise<void> {
  for (const { name, value } of sequences) await sql.query('select setval($1::regclass, $2::bigint)', [name, value]);
  for (const { name, rows } of tables) {
    const [counted] = await sql.query<{ n: bigint }>(`select count(*) as n from ${name}`);
    if (Number(counted?.n) !== rows) {
      throw new WatershedError('corrupt', `the backup holds ${rows} rows of ${name}, but ${counted?.n ?? 0n} were restored`);
    }
  }
}

/** Throws `already_exists` where the database holds a lake or tables of a catalog. */
export async function requireEmptyDatabase(database: Database): Promise<void> {
  for (const table of ['watershed.lake', 'watershed.event', ...catalogTables]) {
    const [there] = await database.query<{ present: boolean }>('select to_regclass($1) is not null as present', [table]);
    if (there?.present !== true) continue;
    const rows = await database.query(`select from ${table} limit 1`);
    if (rows.length === 0) continue;
    throw new WatershedError('already_exists', `the database is not empty: ${table} has rows`, {
      hint: 'restore into a new data folder (WATERSHED_DATA_DIR) or an empty database (DATABASE_URL)',
    });
  }
}
