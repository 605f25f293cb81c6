import type { Sql } from '#core/database/database.ts';

// A backup reads for longer than upkeep keeps what was replaced. So it holds its snapshots: by advisory locks of the
// database, one per snapshot, whose key is the snapshot's id (both are 64 bits). A backup that is killed holds nothing.

/** Holds snapshots until the transaction of `sql` ends. Nothing else is locked by it, and any number may hold the same. */
export async function holdSnapshots(sql: Sql, ids: readonly bigint[]): Promise<void> {
  await sql.query('select pg_advisory_xact_lock_shared(id) from unnest($1::bigint[]) as id', [`{${ids.join(',')}}`]);
}

/** The snapshots that anybody holds in this database; upkeep keeps them and what they reach. */
export async function heldSnapshots(sql: Sql): Promise<ReadonlySet<bigint>> {
  // PostgreSQL manual, pg_locks: a key of one bigint has its halves in classid and objid, and objsubid is 1.
  const rows = await sql.query<{ id: bigint }>(
    `select (classid::bigint << 32) | objid::bigint as id from pg_locks
      where locktype = 'advisory' and objsubid = 1 and database = (select oid from pg_database where datname = current_database())`);
  return new Set(rows.map(({ id }) => id));
}
