import { createHash, createHmac, pbkdf2Sync } from 'node:crypto';
import { isWatershedError, systemCode, WatershedError } from '#core/errors.ts';
import pg from 'pg';
import type { TableInfo } from '../engine/engine.ts';
import { oids, pgTypeOf } from './types.ts';

/** Name of the database that holds the empty shadow of the lake, and of the role that asks it. */
export const shadowDatabase = 'lake';
export const shadowRole = 'watershed_catalogue';

// The comment that says a database `lake` is ours, with the fingerprint of the tables in it behind.
const mark = 'What the Postgres wire door of Watershed shows of the lake; made anew when its tables change. ';

// Functions without side effects that PostgreSQL yet calls volatile, and that tools ask.
const harmless = [
  'clock_timestamp',
  'random',
  'pg_advisory_unlock_all',
  'pg_is_in_recovery',
  'pg_table_size',
  'pg_total_relation_size',
  'pg_relation_size',
  'pg_indexes_size',
  'pg_database_size',
  'pg_tablespace_size',
  'pg_is_other_temp_schema',
  'pg_is_wal_replay_paused',
  'timeofday',
  'pg_stat_get_snapshot_timestamp',
  'pg_encoding_max_length',
  'pg_postmaster_start_time',
  'pg_conf_load_time',
  'pg_lock_status',
  // psql 18 asks the first for every table it describes.
  'pg_partition_ancestors',
  'pg_partition_tree',
  'pg_collation_actual_version',
  'pg_database_collation_actual_version',
  'pg_blocking_pids',
  'pg_safe_snapshot_blocking_pids',
  'pg_sequence_last_value',
  'pg_prepared_xact',
  'pg_last_wal_receive_lsn',
  'pg_last_wal_replay_lsn',
  'pg_last_xact_replay_timestamp',
  'pg_current_wal_lsn',
  'pg_get_wal_replay_pause_state',
  'pg_get_wait_events',
  'pg_jit_available',
  'pg_notification_queue_usage',
  'pg_stat_get_io',
  'pg_stat_get_recovery_prefetch',
  'gen_random_uuid',
];
// Counters of the role's own transaction: all of this name are alike.
const harmlessCounters = '^pg_stat_get_xact_';
// Made for exhausting memory, or a way to run SQL that nobody has looked at.
const dangerous = [
  'repeat',
  'lpad',
  'rpad',
  'array_fill',
  'query_to_xml',
  'query_to_xmlschema',
  'query_to_xml_and_xmlschema',
  'table_to_xml',
  'table_to_xmlschema',
  'table_to_xml_and_xmlschema',
  'schema_to_xml',
  'schema_to_xmlschema',
  'schema_to_xml_and_xmlschema',
  'database_to_xml',
  'database_to_xmlschema',
  'database_to_xml_and_xmlschema',
  'cursor_to_xml',
  'cursor_to_xmlschema',
  'ts_stat',
  'ts_rewrite',
  'regexp_split_to_table',
  'set_config',
];

/** The password of the role: the same for every program that knows the administrator's address, and kept nowhere. */
export function shadowPassword(adminUrl: string): string {
  return createHmac('sha256', new pg.Client({ connectionString: adminUrl }).password ?? '')
    .update('watershed catalogue role')
    .digest('hex');
}

/**
 * Makes the database, the role and its limits. Returns the functions that may not be called. Throws `conflict` where a
 * database `lake` is not ours, `forbidden` where the administrator may not create databases and roles.
 */
export async function prepareShadow(adminUrl: string, timeoutMs: number): Promise<ReadonlySet<string>> {
  try {
    await withClient(adminUrl, undefined, (client) => createDatabase(client, adminUrl));
    return await withClient(adminUrl, shadowDatabase, async (client) => {
      await createRole(client, shadowPassword(adminUrl), timeoutMs);
      return await fenceFunctions(client);
    });
  } catch (error) {
    if (systemCode(error) !== '42501') throw error;
    throw new WatershedError(
      'forbidden',
      'the database user may not create the database and role for catalogue questions',
      { cause: error, hint: 'grant CREATEDB and CREATEROLE, or create database lake for this user' },
    );
  }
}

/** Brings the shadow tables up to what the engine has. Does nothing where they are so already. */
export async function syncShadow(adminUrl: string, tables: readonly TableInfo[]): Promise<void> {
  const statements = tables.flatMap(tableStatements);
  const schemas = ['lake', ...new Set(tables.map((table) => table.schema).filter((schema) => schema !== 'lake'))];
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([schemas, statements]))
    .digest('hex')
    .slice(0, 16);
  await withClient(adminUrl, shadowDatabase, async (client) => {
    await client.query('begin');
    // Two programs that start together must not drop each other's half.
    await client.query('select pg_advisory_xact_lock(7355608)');
    if ((await databaseComment(client, shadowDatabase)) === mark + fingerprint)
      return void (await client.query('rollback'));
    const { rows } = await client.query<{ nspname: string }>(
      `select nspname from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema'`,
    );
    for (const { nspname } of rows) await client.query(`drop schema ${pg.escapeIdentifier(nspname)} cascade`);
    for (const schema of schemas) {
      await client.query(`create schema ${pg.escapeIdentifier(schema)}`);
      await client.query(`grant usage on schema ${pg.escapeIdentifier(schema)} to ${shadowRole}`);
    }
    for (const statement of statements) await client.query(statement);
    await client.query(`comment on database ${shadowDatabase} is ${pg.escapeLiteral(mark + fingerprint)}`);
    await client.query('commit');
  });
}

async function withClient<T>(
  adminUrl: string,
  database: string | undefined,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const client = clientFor(adminUrl, database);
  client.on('error', () => undefined);
  try {
    await client.connect();
    return await work(client);
  } catch (error) {
    if (isWatershedError(error) || /^[0-9A-Z]{5}$/.test(systemCode(error) ?? '')) throw error;
    throw new WatershedError('unavailable', 'the database for catalogue questions does not answer', { cause: error });
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** A client for the administrator's address, with another database than the address names where one is given. */
function clientFor(adminUrl: string, database: string | undefined): pg.Client {
  const named = new pg.Client({ connectionString: adminUrl });
  if (database === undefined) return named;
  const { host, port, user, password, ssl } = named;
  return new pg.Client({
    host,
    port,
    ssl,
    database,
    ...(user === undefined ? {} : { user }),
    ...(typeof password === 'string' ? { password } : {}),
  });
}

async function databaseComment(client: pg.Client, name: string): Promise<string | undefined> {
  const { rows } = await client.query<{ comment: string | null }>(
    `select shobj_description(oid, 'pg_database') as comment from pg_database where datname = $1`,
    [name],
  );
  return rows[0] === undefined ? undefined : (rows[0].comment ?? '');
}

async function createDatabase(client: pg.Client, adminUrl: string): Promise<void> {
  let comment = await databaseComment(client, shadowDatabase);
  if (comment === undefined) {
    try {
      await client.query(`create database ${shadowDatabase} template template0 encoding 'UTF8'`);
      await client.query(`comment on database ${shadowDatabase} is ${pg.escapeLiteral(mark)}`);
    } catch (error) {
      // Another program was first.
      if (!['42P04', '23505'].includes(systemCode(error) ?? '')) throw error;
    }
    comment = mark;
  }
  if (!comment.startsWith(mark) && !(await isUntouched(adminUrl))) {
    throw new WatershedError('conflict', `the server already has a database ${shadowDatabase} that is not ours`, {
      hint: 'use another server for DATABASE_URL, or rename that database',
    });
  }
}

// Between creating the database and its comment a program may have died.
async function isUntouched(adminUrl: string): Promise<boolean> {
  return await withClient(adminUrl, shadowDatabase, async (client) => {
    const { rows } = await client.query<{ count: string }>('select count(*) from pg_class where oid >= 16384');
    return rows[0]?.count === '0';
  });
}

async function createRole(client: pg.Client, password: string, timeoutMs: number): Promise<void> {
  await client.query(`create role ${shadowRole} login`).catch((error: unknown) => {
    if (!['42710', '23505'].includes(systemCode(error) ?? '')) throw error;
  });
  const settings: readonly string[] = [
    `password ${pg.escapeLiteral(verifierText(password))} connection limit 32 noinherit`,
    ...[
      `statement_timeout = ${timeoutMs}`,
      'default_transaction_read_only = on',
      'row_security = off',
      'search_path = lake',
      `timezone = 'UTC'`,
      `datestyle = 'ISO, MDY'`,
      `work_mem = '4MB'`,
      'max_parallel_workers_per_gather = 0',
      'lock_timeout = 1000',
    ].map((text) => `set ${text}`),
  ];
  for (const setting of settings) await retried(() => client.query(`alter role ${shadowRole} ${setting}`));
  if (!(await isSuperuser(client))) return;
  // Statements of one analyst are not shown to another, and no sort may fill the disk.
  for (const setting of ['track_activities = off', `temp_file_limit = '64MB'`]) {
    await retried(() => client.query(`alter role ${shadowRole} set ${setting}`));
  }
}

// Two programs that alter the role at the same moment: the later one is told to try again.
async function retried(work: () => Promise<unknown>): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    try {
      await work();
      return;
    } catch (error) {
      if (systemCode(error) !== 'XX000' || attempt === 20) throw error;
    }
  }
}

async function isSuperuser(client: pg.Client): Promise<boolean> {
  const { rows } = await client.query<{ rolsuper: boolean }>(
    'select rolsuper from pg_roles where rolname = current_user',
  );
  return rows[0]?.rolsuper === true;
}

// The stored form, so that no log of the server ever sees the password (PostgreSQL, pg_authid.rolpassword).
function verifierText(password: string): string {
  const salt = createHmac('sha256', password).update('salt').digest().subarray(0, 16);
  const salted = pbkdf2Sync(password, salt, 4096, 32, 'sha256');
  const hmac = (text: string): Buffer => createHmac('sha256', salted).update(text).digest();
  const stored = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$4096:${salt.toString('base64')}$${stored}:${hmac('Server Key').toString('base64')}`;
}

/** Takes the right to call what has side effects away, and names it. */
async function fenceFunctions(client: pg.Client): Promise<ReadonlySet<string>> {
  await client.query(`revoke all on database ${shadowDatabase} from public`);
  await client.query(`grant connect on database ${shadowDatabase} to ${shadowRole}`);
  const { rows } = await client.query<{ name: string; signature: string }>(
    `select proname as name, oid::regprocedure::text as signature from pg_proc
     where pronamespace = 'pg_catalog'::regnamespace and prokind = 'f'
       and ((provolatile = 'v' and not proname = any($1) and proname !~ $3) or proname = any($2) or proname ~ '^lo_')`,
    [harmless, dangerous, harmlessCounters],
  );
  if (await isSuperuser(client)) {
    const list = rows.map(({ signature }) => signature).join(', ');
    await retried(() => client.query(`revoke execute on function ${list} from public`));
    await restoreHarmless(client);
  }
  return new Set(rows.map(({ name }) => name));
}

/** A version before this one may have taken away what is harmless: the database stays, the list grows. */
async function restoreHarmless(client: pg.Client): Promise<void> {
  const { rows } = await client.query<{ signature: string }>(
    `select oid::regprocedure::text as signature from pg_proc
     where pronamespace = 'pg_catalog'::regnamespace and prokind = 'f' and (proname = any($1) or proname ~ $2)
       and not has_function_privilege($3, oid, 'execute')`,
    [harmless, harmlessCounters, shadowRole],
  );
  if (rows.length === 0) return;
  const list = rows.map(({ signature }) => signature).join(', ');
  await retried(() => client.query(`grant execute on function ${list} to ${shadowRole}`));
}

const typeNames: ReadonlyMap<number, string> = new Map(Object.entries(oids).map(([name, oid]) => [oid, name]));

function sqlType(engineType: string): string {
  const { oid, typmod } = pgTypeOf(engineType);
  const plain = typeNames.get(oid);
  if (plain !== undefined)
    return plain === 'numeric' && typmod >= 0 ? `numeric(${(typmod - 4) >> 16}, ${(typmod - 4) & 0xffff})` : plain;
  return `${sqlType(engineType.replace(/\[\d*\]$/, ''))}[]`;
}

/**
 * One empty table. The role may SELECT by its grants, as tools ask before they show a table; but row security is on
 * and the role's `row_security` is off, so that reading fails ("would be affected by row-level security policy",
 * 42501): an answer about the lake from here would be a wrong one, silently empty.
 */
function tableStatements({ schema, name, comment, columns }: TableInfo): string[] {
  const table = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(name)}`;
  const list = columns.map((column) => `${pg.escapeIdentifier(column.name)} ${sqlType(column.type)}`).join(', ');
  return [
    `create table ${table} (${list})`,
    `alter table ${table} enable row level security`,
    `grant select, references on ${table} to ${shadowRole}`,
    ...(comment === '' ? [] : [`comment on table ${table} is ${pg.escapeLiteral(comment)}`]),
    ...columns
      .filter((column) => column.comment !== '')
      .map(
        (column) =>
          `comment on column ${table}.${pg.escapeIdentifier(column.name)} is ${pg.escapeLiteral(column.comment)}`,
      ),
  ];
}
