import { createHash } from 'node:crypto';
import type { DuckDBConnection } from '@duckdb/node-api';
import { seededRandom } from '#core/clock.ts';
import { tables } from '#core/contract/tables.ts';
import { literal } from '#warehouse/duck.ts';
import { encodeParquet } from '#warehouse/encode.ts';

/** A row of `posts`, with the columns that tell whether a reader got it right: types, lists, nulls, odd texts, time before 1970. */
export interface PostRow {
  readonly event_id: string;
  readonly post_id: string;
  readonly created_at_us: number;
  readonly text: string | null;
  readonly hashtags: readonly string[] | null;
  readonly likes: number | null;
  readonly latitude: number | null;
  readonly author_verified: boolean;
  readonly log_offset: number;
}

const texts = ['water rising', "it's \"here\"", 'فيضان في المدينة', '🌊🌊 help', '', 'line\nbreak\ttab', 'ﬁﬀ \u{10FFFF}', null];
const dayUs = 86_400_000_000;

/** Rows with offsets `from` on; a row depends on its offset only. */
export function postRows(from: number, count: number, events = ['alberta', 'colorado', 'käse']): PostRow[] {
  return Array.from({ length: count }, (_, index) => {
    const offset = from + index;
    return {
      event_id: events[offset % events.length] ?? '',
      post_id: String(347_000_000_000_000_000n + BigInt(offset) * 7n),
      created_at_us: (offset % 50 === 0 ? -1 : 15_876 + (offset % 3)) * dayUs + Math.floor(seededRandom(offset + 1)() * dayUs),
      text: texts[offset % texts.length] ?? null,
      hashtags: offset % 4 === 0 ? null : Array.from({ length: offset % 4 - 1 }, (__, tag) => `tag${tag}`),
      likes: offset % 5 === 0 ? null : offset * 1000,
      latitude: offset % 6 === 0 ? null : offset / 8,
      author_verified: offset % 2 === 0,
      log_offset: offset,
    };
  });
}

/** A SELECT of the rows with all columns of `posts`. */
function selectOf(rows: readonly PostRow[]): string {
  const value = (of: string | number | boolean | null): string => (typeof of === 'string' ? literal(of) : String(of));
  const lines = rows.map((row) => `(${[
    value(row.event_id), value(row.post_id), `make_timestamptz(${row.created_at_us})`, value(row.text),
    row.hashtags === null ? 'null' : `[${row.hashtags.map(value).join(', ')}]`, value(row.likes), value(row.latitude),
    value(row.author_verified), value(row.log_offset),
  ].join(', ')})`);
  const given = ['event_id', 'post_id', 'created_at', 'text', 'hashtags', 'likes', 'latitude', 'author_verified', 'log_offset'];
  const rest = tables.posts.columns.filter(({ name }) => !given.includes(name)).map(({ name }) =>
    (name === 'source' ? `'x' as source` : name === 'log_partition' ? '0 as log_partition' : `null as ${name}`));
  return `select *, ${rest.join(', ')} from (values ${lines.join(', ')}) rows (${given.join(', ')})`;
}

export async function encodePosts(connection: DuckDBConnection, rows: readonly PostRow[], folder: string) {
  const file = await encodeParquet(connection, selectOf(rows), tables.posts, folder);
  if (file === undefined) throw new Error('no rows');
  return file;
}

/** One line of JSON per row, as `rowLines` in Python makes them, sorted; and their hash. */
export function digestOf(rows: readonly PostRow[]): { count: number; hash: string } {
  const lines = rows.map((row) => JSON.stringify([
    row.event_id, row.post_id, row.created_at_us, row.text, row.hashtags, row.likes,
    row.latitude === null ? null : Math.round(row.latitude * 8), row.author_verified, row.log_offset,
  ])).sort((left, right) => Buffer.compare(Buffer.from(left), Buffer.from(right)));
  return { count: rows.length, hash: createHash('sha256').update(lines.join('\n')).digest('hex') };
}

/** Python for the same digest of a pyarrow table. */
export const digestInPython = `
import json, hashlib
def digest(table):
    def micros(value):
        return None if value is None else (value.astimezone(timezone.utc) - datetime(1970, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
    names = ['event_id', 'post_id', 'created_at', 'text', 'hashtags', 'likes', 'latitude', 'author_verified', 'log_offset']
    lines = []
    for row in zip(*[table.column(name).to_pylist() for name in names]):
        row = list(row)
        row[2] = micros(row[2])
        row[6] = None if row[6] is None else round(row[6] * 8)
        lines.append(json.dumps(row, ensure_ascii=False, separators=(',', ':')))
    lines.sort(key=lambda line: line.encode())
    return {'count': len(lines), 'hash': hashlib.sha256('\\n'.join(lines).encode()).hexdigest()}
`;
