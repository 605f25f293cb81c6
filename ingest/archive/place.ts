import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';
import type { Sql } from '#core/database/database.ts';

/** How far the loading of files has come, kept across breaks in table `watershed.cursor`. */
export interface Places {
  /** The position behind which nothing of the file is in the log, or 0. */
  find(key: string): Promise<number>;
  store(key: string, position: number): Promise<void>;
  forget(key: string): Promise<void>;
}

const source = 'archive';

export function databasePlaces(sql: Sql): Places {
  return {
    async find(key) {
      const [row] = await sql.query<{ cursor: string }>(
        'select cursor from watershed.cursor where source = $1 and account = $2', [source, key]);
      return Number(row?.cursor ?? 0);
    },
    async store(key, position) {
      await sql.execute(`insert into watershed.cursor (source, account, cursor) values ($1, $2, $3)
        on conflict (source, account) do update set cursor = excluded.cursor, updated_at = now()`, [source, key, String(position)]);
    },
    async forget(key) {
      await sql.execute('delete from watershed.cursor where source = $1 and account = $2', [source, key]);
    },
  };
}

const beginningBytes = 1024 * 1024;

/** What a file is, wherever it lies: its length and a hash of its beginning; and the event it is loaded for. */
export async function placeKey(path: string, eventId: string): Promise<string> {
  const file = await open(path, 'r');
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(beginningBytes), 0, beginningBytes, 0);
    const hash = createHash('sha256').update(buffer.subarray(0, bytesRead)).digest('hex');
    return `${eventId}/${(await file.stat()).size}/${hash.slice(0, 32)}`;
  } finally {
    await file.close();
  }
}
