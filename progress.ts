import { isWatershedError } from '#core/errors.ts';
import type { Foundation } from '#core/main.ts';
import type { Metrics } from '#core/metrics.ts';

export interface Progress {
  /** Posts taken from sources since this process started. */
  readonly read: number;
  /** Records in topic posts, ever. */
  readonly appended: number;
  /** Records of them that landing `posts` has dealt with, ever. */
  readonly landed: number;
  /** Posts in the table (records kept), ever. */
  readonly committed: number;
  /** Records that the table had already, ever. */
  readonly duplicates: number;
  /** Records that are in quarantine instead, ever. */
  readonly dead: number;
  /** From append to commit of the newest record of the last batch; what waits now counts from when it was appended. */
  readonly secondsBehind: number;
}

/** How far reading, appending and committing are. */
export async function readProgress({ log, database, metrics }: Foundation): Promise<Progress> {
  const identity = await log.identity('posts');
  const partitions = await log.partitions('posts');
  let appended = 0n;
  for (let partition = 0; partition < partitions; partition++) appended += (await log.bounds('posts', partition)).next;
  const [ledger] = await database.query<{ landed: bigint; kept: bigint; duplicates: bigint; dead: bigint }>(
    `select coalesce(sum(to_offset), 0)::bigint as landed, coalesce(sum(kept), 0)::bigint as kept,
            coalesce(sum(duplicate), 0)::bigint as duplicates, coalesce(sum(dead), 0)::bigint as dead
       from (select partition, max(to_offset) as to_offset, sum(kept) as kept, sum(duplicate) as duplicate, sum(dead) as dead
       from watershed.ledger
       where landing = 'posts' and log_identity = $1 group by partition) as ends`, [identity]);
  const landed = Number(ledger?.landed ?? 0);
  const delay = await metrics.value('watershed_landing_delay_seconds', { landing: 'posts' });
  return {
    read: await metrics.value('watershed_collected_records_total', { topic: 'posts' }) ?? 0,
    appended: Number(appended), landed, committed: Number(ledger?.kept ?? 0), duplicates: Number(ledger?.duplicates ?? 0),
    dead: Number(ledger?.dead ?? 0),
    secondsBehind: landed >= Number(appended) ? 0 : delay ?? 0,
  };
}

const everyMs = 1_000;
const quietEveryMs = 15_000;
const number = new Intl.NumberFormat('en');

/**
 * One living line for a person; where standard error is no terminal, a line whenever something happened, not too often.
 */
export async function showProgress(
  { foundation, note, interactive }: { foundation: Foundation; note: (text: string) => void; interactive: boolean; metrics: Metrics },
  signal: AbortSignal,
): Promise<void> {
  let shown = '';
  while (!signal.aborted) {
    const progress = await readProgress(foundation).catch((error: unknown) => {
      if (isWatershedError(error) && error.retryable) return undefined; // the database is away for a moment: told when it is back
      throw error;
    });
    await foundation.clock.sleep(interactive ? everyMs : quietEveryMs, signal).catch(() => undefined);
    if (progress === undefined) continue;
    const { read, appended, committed, duplicates, dead, secondsBehind } = progress;
    const line = [
      `read ${number.format(read)}`, `in the log ${number.format(appended)}`, `in the lake ${number.format(committed)}`,
      // Why the lake has less than the log.
      ...(duplicates === 0 ? [] : [`duplicates ${number.format(duplicates)}`]),
      ...(dead === 0 ? [] : [`in quarantine ${number.format(dead)}`]),
      `${secondsBehind.toFixed(1)} s behind`,
    ].join(' · ');
    if (line !== shown) {
      if (interactive) process.stderr.write(`\r\u001b[2K${line}`);
      else note(line);
      shown = line;
    }
  }
  if (interactive) process.stderr.write('\n');
}
