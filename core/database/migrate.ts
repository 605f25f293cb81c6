import { createHash } from 'node:crypto';
import { readFile, readdir } from 'node:fs/promises';
import { WatershedError, isWatershedError } from '../errors.ts';
import type { Database, Sql } from './database.ts';

const migrationsFolder = new URL('./migrations/', import.meta.url);
const advisoryLock = 5_439_180_001n; // any number, only always the same one
const serverVersionMin = 150_000; // `unique nulls not distinct`

export interface Migration {
  readonly number: number;
  readonly name: string;
  readonly sql: string;
}

/** The migrations that this program brings: `NNNN-name.sql`, in order. */
export async function readMigrations(folder: URL = migrationsFolder): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).toSorted();
  const migrations = await Promise.all(
    names.map(async (file) => {
      const match = /^(\d{4})-([a-z0-9-]+)\.sql$/.exec(file);
      if (match === null) throw new WatershedError('internal', `a migration is called NNNN-name.sql, not ${file}`);
      return { number: Number(match[1]), name: match[2] ?? '', sql: await readFile(new URL(file, folder), 'utf8') };
    }),
  );
  const numbers = new Set(migrations.map(({ number }) => number));
  if (numbers.size !== migrations.length) throw new WatershedError('internal', 'two migrations have the same number');
  return migrations;
}

/**
 * Brings the database to the schema of this program: runs the missing migrations in order of their numbers, all in one
 * transaction and under a lock, so that several programs may start at once. Safe to call at every start.
 *
 * Errors: `foreign_lake` (the schema is newer than this program, or a migration is not the one that was run: nothing
 * was touched), `bad_config` (rights, version or encoding of an outside database), `unavailable`.
 */
export async function migrate(database: Database, migrations?: readonly Migration[]): Promise<{ applied: string[] }> {
  const known = migrations ?? (await readMigrations());
  await requireUsable(database);
  return database.transaction(async (sql) => {
    await sql.query('select pg_advisory_xact_lock($1)', [advisoryLock]);
    const done = await appliedMigrations(sql);
    for (const one of done)
      requireSame(
        one,
        known.find(({ number }) => number === one.number),
      );
    const missing = known.filter(({ number }) => !done.some((one) => one.number === number));
    if (missing.length > 0) await requireRights(sql, done.length === 0);
    for (const migration of missing) await apply(sql, migration);
    return { applied: missing.map(labelOf) };
  });
}

async function apply(sql: Sql, migration: Migration): Promise<void> {
  try {
    await sql.execute(migration.sql);
  } catch (cause) {
    if (isWatershedError(cause, 'unavailable')) throw cause;
    throw new WatershedError('internal', `migration ${labelOf(migration)} failed; the database is as it was before`, {
      cause,
    });
  }
  await sql.query('insert into watershed.migration (number, name, checksum) values ($1, $2, $3)', [
    migration.number,
    migration.name,
    checksumOf(migration),
  ]);
}

interface Applied {
  readonly number: number;
  readonly name: string;
  readonly checksum: string;
}

async function appliedMigrations(sql: Sql): Promise<Applied[]> {
  const [found] = await sql.query<{ present: boolean }>(
    `select to_regclass('watershed.migration') is not null as present`,
  );
  if (found?.present !== true) return [];
  return sql.query<Applied>('select number, name, checksum from watershed.migration order by number');
}

function requireSame(applied: Applied, known: Migration | undefined): void {
  if (known === undefined) {
    throw new WatershedError(
      'foreign_lake',
      `the database has the schema of a newer Watershed (migration ${labelOf(applied)})`,
      {
        hint: 'start the newer version again, or restore a backup that was made with this one',
      },
    );
  }
  if (known.name !== applied.name || checksumOf(known) !== applied.checksum) {
    throw new WatershedError(
      'foreign_lake',
      `migration ${labelOf(applied)} of the database is not the one of this program`,
      {
        hint: 'start the version that made this database; a migration is never changed after its release',
      },
    );
  }
}

async function requireUsable(database: Sql): Promise<void> {
  const [server] = await database.query<{ version: number; encoding: string; standby: boolean }>(
    `select current_setting('server_version_num')::int as version, current_setting('server_encoding') as encoding,
            pg_is_in_recovery() as standby`,
  );
  if (server === undefined) throw new WatershedError('internal', 'the database did not say what it is');
  const refuse = (message: string, hint: string): never => {
    throw new WatershedError('bad_config', message, { hint });
  };
  if (server.version < serverVersionMin) {
    refuse(
      `the database is PostgreSQL ${Math.floor(server.version / 10_000)}; Watershed needs 15 or newer`,
      'upgrade it, or name another one in DATABASE_URL',
    );
  }
  if (server.encoding !== 'UTF8') {
    refuse(
      `the database is encoded in ${server.encoding}; Watershed needs UTF8`,
      'make one with `create database … encoding UTF8 template template0`',
    );
  }
  if (server.standby) refuse('the database is a read-only standby', 'name the primary in DATABASE_URL');
}

async function requireRights(sql: Sql, first: boolean): Promise<void> {
  const [may] = await sql.query<{ who: string; base: string; make: boolean; publish: boolean; own: boolean }>(
    `select current_user as who, current_database() as base,
            has_database_privilege(current_database(), 'create') as make,
            has_schema_privilege('public', 'create') or to_regclass('public.iceberg_tables') is not null as publish,
            coalesce((
              select pg_has_role(nspowner, 'usage') from pg_namespace where nspname = 'watershed'), true) as own`,
  );
  if (may === undefined) return;
  const refuse = (message: string, hint: string): never => {
    throw new WatershedError('bad_config', `user ${may.who} ${message}`, { hint });
  };
  if (first && !may.make)
    refuse(
      `may not make a schema in database ${may.base}`,
      `let its owner run: grant create on database "${may.base}" to "${may.who}"`,
    );
  if (first && !may.publish)
    refuse(
      `may not make tables in schema public of ${may.base}`,
      `let its owner run: grant create on schema public to "${may.who}"`,
    );
  if (!may.own)
    refuse(
      `does not own schema watershed in database ${may.base}`,
      'start with the user that made it, in DATABASE_URL',
    );
}

function labelOf(migration: { readonly number: number; readonly name: string }): string {
  return `${String(migration.number).padStart(4, '0')}-${migration.name}`;
}

function checksumOf(migration: Migration): string {
  return createHash('sha256').update(migration.sql.replaceAll('\r\n', '\n')).digest('hex');
}
