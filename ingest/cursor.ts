import type { Sql } from '#core/database/database.ts';

/** How far each source has been read, as far as it is in the log, and how its collector fares. */
export interface CursorStore {
  load(source: string, account: string): Promise<string | undefined>;
  store(source: string, account: string, cursor: string): Promise<void>;
  report(source: string, account: string, status: CollectorStatus): Promise<void>;
}

export interface CollectorStatus {
  readonly state: 'starting' | 'connected' | 'disconnected' | 'failed';
  /** Why, in words. */
  readonly message?: string;
  /** The network's time up to which it has read; null where there is nothing to be behind of. */
  readonly readUntilMs?: number | null;
}

export function databaseCursors(sql: Sql): CursorStore {
  return {
    async load(source, account) {
      const [row] = await sql.query<{ cursor: string }>(
        'select cursor from watershed.cursor where source = $1 and account = $2', [source, account]);
      return row?.cursor;
    },
    async store(source, account, cursor) {
      await sql.execute(`insert into watershed.cursor (source, account, cursor) values ($1, $2, $3)
        on conflict (source, account) do update set cursor = excluded.cursor, updated_at = now()`, [source, account, cursor]);
    },
    async report(source, account, { state, message, readUntilMs }) {
      await sql.execute(`insert into watershed.collector as old (source, account, state, message, read_until)
        values ($1, $2, $3, $4, $5)
        on conflict (source, account) do update set state = excluded.state, message = excluded.message, updated_at = now(),
          read_until = case when $6 then null else coalesce(excluded.read_until, old.read_until) end,
          since = case when old.state = excluded.state then old.since else now() end`,
      [source, account, state, message ?? null, typeof readUntilMs === 'number' ? new Date(readUntilMs) : null, readUntilMs === null]);
    },
  };
}

/** A collector as `GET /api/status` shows it. */
export interface CollectorState {
  readonly source: string;
  /** As it said last; `stopped` where no process has said anything for half a minute. */
  readonly state: CollectorStatus['state'] | 'stopped';
  readonly since: string;
  readonly message: string | null;
  /** Between the network and us, by the network's time; null where the source does not know it. */
  readonly lagSeconds: number | null;
}

/** A collector says how it is at least this often. */
export const beatMs = 5_000;
const silentMsMax = 30_000;

/**
 * All collectors that ever ran here, whatever process they ran in, and those that an active event asks for in vain.
 */
export async function readCollectors(sql: Sql): Promise<CollectorState[]> {
  const rows = await sql.query<Omit<CollectorState, 'since' | 'lagSeconds'> & { since: Date; updated: Date; lag: number | null; silent: boolean }>(
    `select source, state, since, message, updated_at as updated, extract(epoch from now() - read_until)::float8 as lag,
       updated_at < now() - $1 * interval '1 millisecond' as silent from watershed.collector order by source`, [silentMsMax]);
  const missing = await sql.query<{ source: string; since: Date }>(
    `select asked.source, min(e.updated_at) as since
     from watershed.event e, jsonb_array_elements_text(e.state -> 'sources') asked(source)
     where e.deleted_at is null and e.state ->> 'status' = 'active'
       and not exists (select from watershed.collector c where c.source = asked.source)
     group by asked.source`);
  return [
    ...rows.map(({ source, state, since, message, updated, lag, silent }): CollectorState => silent
      ? { source, state: 'stopped', since: updated.toISOString(), message: nobodyReads(source), lagSeconds: lag }
      : { source, state, since: since.toISOString(), message, lagSeconds: lag }),
    ...missing.map(({ source, since }): CollectorState => (
      { source, state: 'stopped', since: since.toISOString(), message: nobodyReads(source), lagSeconds: null })),
  ].toSorted((one, other) => one.source < other.source ? -1 : 1);
}

function nobodyReads(source: string): string {
  return `no process reads this source${source === 'x' ? ': X needs WATERSHED_X_BEARER_TOKEN' : ''}`;
}
