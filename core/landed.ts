import type { Database } from './database/database.ts';

/**
 * Where the warehouse tells what it committed, so that jobs in other processes begin at once. A hint: it may be lost.
 */
const channel = 'watershed_landed';

export interface Landed {
  readonly landing: string;
  readonly kept: number;
}

/** Tells all processes on the database; never throws and never waits. */
export function announceLanded(database: Database, { landing, kept }: Landed): void {
  // The schedule of the jobs finds what a lost hint would have told.
  database.execute('select pg_notify($1, $2)', [channel, JSON.stringify({ landing, kept })]).catch(() => undefined);
}

/** Calls back for every commit that is told, until disposed. */
export function onLanded(database: Database, callback: (landed: Landed) => void): Promise<AsyncDisposable> {
  return database.listen(channel, (payload) => {
    const told: unknown = payload === undefined ? undefined : JSON.parse(payload);
    if (typeof told !== 'object' || told === null || !('landing' in told) || !('kept' in told)) return;
    callback({ landing: String(told.landing), kept: Number(told.kept) });
  });
}
