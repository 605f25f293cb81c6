import type { Database } from './database/database.ts';
import { WatershedError } from './errors.ts';

/** What a lake is made of. Offsets in its tables mean something only together with it. */
export interface LakeParts {
  readonly logKind: string;
  readonly logIdentity: string;
  readonly warehouseUri: string;
}

/**
 * The first start writes down what the lake is made of; every later one must bring the same. Throws `foreign_lake`
 * naming what differs and what to do, before anything was read or written.
 */
export async function requireOwnLake(database: Database, parts: LakeParts): Promise<void> {
  const [known] = await database.query<{ log_kind: string; log_identity: string; warehouse_uri: string }>(
    'insert into watershed.lake (log_kind, log_identity, warehouse_uri) values ($1, $2, $3) '
      + 'on conflict (only_one) do update set log_kind = watershed.lake.log_kind '
      + 'returning log_kind, log_identity, warehouse_uri',
    [parts.logKind, parts.logIdentity, parts.warehouseUri],
  );
  if (known === undefined) throw new WatershedError('internal', 'the lake did not say what it is made of');
  if (known.warehouse_uri !== parts.warehouseUri) {
    throw new WatershedError('foreign_lake',
      `this lake keeps its tables at ${known.warehouse_uri}, and WAREHOUSE_URI or WATERSHED_DATA_DIR now says ${parts.warehouseUri}`, {
        hint: 'set it back; to move the tables stop everything and run `watershed backup`, then `watershed restore` to the new place',
      });
  }
  if (known.log_identity !== parts.logIdentity) {
    throw new WatershedError('foreign_lake',
      `this lake was filled from the ${known.log_kind} log ${known.log_identity}; the one now given is ${parts.logKind} ${parts.logIdentity}`, {
        hint: 'set KAFKA_BROKERS back as it was and let everything be committed; if the old log is gone for good, '
          + '`watershed log change` gives it up, records the gap in journal and goes on with the new one',
      });
  }
}

/**
 * Goes over to another log: whatever the old one still held and was not landed is given up. The caller records the gap.
 */
export async function changeLog(database: Database, logKind: string, logIdentity: string): Promise<{ before: string }> {
  return database.transaction(async (sql) => {
    const [old] = await sql.query<{ log_identity: string }>('select log_identity from watershed.lake for update');
    if (old === undefined) throw new WatershedError('not_found', 'this database holds no lake yet: a start makes one');
    await sql.execute('update watershed.lake set log_kind = $1, log_identity = $2', [logKind, logIdentity]);
    return { before: old.log_identity };
  });
}
