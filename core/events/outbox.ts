import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { isWatershedError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import type { Service } from '../service.ts';
import { openChanges } from './changes.ts';

/** Looked at this often also when nobody tells that something was added. */
const pollMs = 2_000;
const batchMax = 500;

/** Carries what transactions decided to the log, in order, at least once: a record is deleted after it was appended. */
export function createOutbox({ database, log, clock }: { database: Database; log: Log; clock: Clock }): Service {
  return {
    name: 'outbox',
    async run(signal) {
      await using changes = await openChanges(database, clock, signal);
      while (!signal.aborted) {
        try {
          while (await carry(database, log) === batchMax);
        } catch (error) {
          // Of a commit whose answer was lost the records may be in the log already: they come twice, which is allowed.
          if (!isWatershedError(error) || !(error.retryable || error.code === 'commit_unknown')) throw error;
        }
        await changes.next(pollMs, signal);
      }
    },
  };
}

async function carry(database: Database, log: Log): Promise<number> {
  return database.transaction(async (sql) => {
    // Only one process carries at a time, so that records keep their order.
    const rows = await sql.query<{ id: bigint; topic: string; record: Buffer }>(
      'select id, topic, record from watershed.outbox order by id limit $1 for update', [batchMax]);
    for (const [topic, some] of Map.groupBy(rows, (row) => row.topic)) {
      await log.append(topic, 0, some.map(({ record }) => record));
    }
    if (rows.length > 0) await sql.execute('delete from watershed.outbox where id <= $1', [rows.at(-1)?.id]);
    return rows.length;
  });
}
