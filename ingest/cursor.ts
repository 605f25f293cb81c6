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
  /** The network's time up to which it has read. */
  readonly readUntilMs?: number;
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
          read_until = coalesce(excluded.read_until, old.read_until),
          since = case when old.state = excluded.state then old.since else now() end`,
      [source, account, state, message ?? null, readUntilMs === undefined ? null : new Date(readUntilMs)]);
    },
  };
}

/** A collector as `GET /api/status` shows it. */
export interface CollectorState {
  readonly source: string;
  readonly state: string;
  readonly since: string;
  readonly message: string | null;
  /** Between the network and us, by the network's time; null where the source does not know it. */
  readonly lagSeconds: number | null;
}

/** All collectors that ever ran here, whatever process they ran in. */
export async function readCollectors(sql: Sql): Promise<CollectorState[]> {
  const rows = await sql.query<{ source: string; state: string; since: Date; message: string | null; lag: number | null }>(
    `select source, state, since, message, extract(epoch from now() - read_until)::float8 as lag from watershed.collector order by source`);
  return rows.map(({ source, state, since, message, lag }) => ({ source, state, since: since.toISOString(), message, lagSeconds: lag }));
}
