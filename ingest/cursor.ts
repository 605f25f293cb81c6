import type { Sql } from '#core/database/database.ts';

/** How far each source has been read, as far as it is in the log. */
export interface CursorStore {
  load(source: string, account: string): Promise<string | undefined>;
  store(source: string, account: string, cursor: string): Promise<void>;
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
  };
}
