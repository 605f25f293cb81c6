import type { Clock } from '../clock.ts';
import type { Database } from '../database/database.ts';
import { isWatershedError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import type { Service } from '../service.ts';
import { eventsChannel } from './registry.ts';

/** Looked at this often also when nobody tells that something was added. */
const pollMs = 2_000;
const batchMax = 500;

/** Carries what transactions decided to the log, in order, at least once: a record is deleted after it was appended. */
export function createOutbox({ database, log, clock }: { database: Database; log: Log; clock: Clock }): Service {
  return {
    name: 'outbox',
    async run(signal) {
      let wake = Promise.withResolvers<void>();
      await using _listener = await database.listen(eventsChannel, () => wake.resolve());
      while (!signal.aborted) {
        wake = Promise.withResolvers<void>();
        try {
          while (await carry(database, log) === batchMax);
        } catch (error) {
          if (!isWatershedError(error) || !error.retryable) throw error;
        }
        const timer = new AbortController();
        await Promise.race([wake.promise, clock.sleep(pollMs, AbortSignal.any([signal, timer.signal])).catch(() => undefined)]);
        timer.abort();
      }
    },
  };
}

async function carry(database: Database, log: Log): Promise<number> {
  return database.transaction(async (sql) => {
    // Only one process carries at a time, so that records keep their order.
    const rows = await sql.query<{ id: bigint; topic: string; record: Buffer }>(
      'select id, topic, record from watershed.outbox order by id limit $1 for update', [batchMax]);
    for (const [topic, some] of Map.groupBy(rows, (row) => row.topic)) await log.append(topic, 0, some.map(({ record }) => record));
    if (rows.length > 0) await sql.execute('delete from watershed.outbox where id <= $1', [rows.at(-1)?.id]);
    return rows.length;
  });
}
