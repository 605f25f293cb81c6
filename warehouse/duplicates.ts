import type { DuckDBConnection } from '@duckdb/node-api';
import { literal, rowsOf } from './duck.ts';

/** Post ids of one event, from the smallest to the largest as text. */
export interface IdRange {
  readonly eventId: string;
  readonly low: string;
  readonly high: string;
}

/** What a table holds, as far as looking up ids needs it. */
export interface LiveFiles {
  /** Paths of the live data files whose bounds admit an id of one of the ranges. */
  overlapping(ranges: readonly IdRange[]): Promise<readonly string[]>;
  /** Where a file's bytes can be read on this machine. */
  localPath(path: string): Promise<string>;
}

/** A file on its way into the table. `placed` is to be called within `moving`, with the path it got in the store. */
export interface RememberedFile {
  placed(path: string): void;
  committed(): Promise<void>;
}

interface Remembered {
  path: string;
  readonly staged: string;
  readonly rows: number;
  committed: boolean;
}

/** Ids of this many rows are remembered as 64-bit hashes (16 bytes a row with its file): 64 MB. */
const recentRowsMax = 4_000_000;

/**
 * Tells which rows of a batch a table has already: exactly, in bounded memory.
 *
 * Files whose ids are remembered are asked only when a hash of theirs is in the batch; of all other files those whose
 * bounds admit an id of the batch. What is found is always read back, so a hash alone never decides. The ids of X and
 * Bluesky grow with time, so that for a live stream hardly a file is read.
 *
 * Works on temp table `projected` (columns event_id, source, post_id, key, reason, duplicate) of the given connection.
 */
export class DuplicateIndex {
  readonly #files: LiveFiles;
  /**
   * Remembered files by number, oldest first. `path` is empty while a file is staged, and `staged` then says where.
   */
  readonly #recent = new Map<number, Remembered>();
  #nextNumber = 0;
  #rows = 0;
  /**
   * One after another: looking up a batch, moving staged files to their final place, a file becoming part of the table.
   * So while a batch is looked up each file is either pending here or listed by the table, never neither.
   */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(files: LiveFiles) {
    this.#files = files;
  }

  /** To be called once, before the first batch, with the newest files first; remembers as many as memory allows. */
  async open(connection: DuckDBConnection, newestFirst: readonly { path: string; rows: number }[]): Promise<void> {
    await connection.run('create table recent_keys (file integer, key ubigint)');
    const chosen: { path: string; rows: number }[] = [];
    let rows = 0;
    for (const file of newestFirst) {
      if (rows + file.rows > recentRowsMax) break;
      rows += file.rows;
      chosen.unshift(file);
    }
    for (const { path, rows: count } of chosen) {
      const local = await this.#files.localPath(path);
      await connection.run(`insert into recent_keys select ${this.#nextNumber}, hash(event_id, source, post_id)
        from read_parquet(${literal(local)})`);
      this.#add({ path, staged: '', rows: count, committed: true });
    }
  }

  /** Sets `duplicate` on the rows that the batch holds twice (all but the first) or the table holds already. */
  async mark(connection: DuckDBConnection): Promise<void> {
    const [distinct] = await rowsOf(connection, `select count(*) = count(distinct key) as unique from projected where reason is null`);
    if (distinct?.['unique'] !== true) {
      await connection.run(`update projected set duplicate = true where rowid in (select row from (
        select rowid as row, row_number() over (partition by event_id, source, post_id order by log_partition, log_offset) as nth
        from projected where reason is null) where nth > 1)`);
    }
    const ranges = await rowsOf(connection, `select event_id, min(post_id) as low, max(post_id) as high
      from projected where reason is null group by event_id`);
    if (ranges.length === 0) return;
    await this.#locked(() => this.#markKnown(connection, ranges.map((row) => (
      { eventId: String(row['event_id']), low: String(row['low']), high: String(row['high']) }))));
  }

  /** Remembers the rows of the batch that will be written, for the batches that follow before it is committed. */
  async remember(connection: DuckDBConnection, stagedPath: string): Promise<RememberedFile> {
    const number = this.#nextNumber;
    await connection.run(`insert into recent_keys select ${number}, key from projected where reason is null and not duplicate`);
    const [count] = await rowsOf(connection, 'select count(*) as n from projected where reason is null and not duplicate');
    const entry = { path: '', staged: stagedPath, rows: Number(count?.['n']), committed: false };
    this.#add(entry);
    return {
      placed(path) {
        entry.path = path;
      },
      committed: () => this.#locked(async () => {
        entry.committed = true;
        await this.#forgetOldest(connection);
      }),
    };
  }

  /** Runs `move` (staged files getting their final place) while nobody reads them. */
  moving<T>(move: () => Promise<T>): Promise<T> {
    return this.#locked(move);
  }

  #add(entry: Remembered): void {
    this.#recent.set(this.#nextNumber++, entry);
    this.#rows += entry.rows;
  }

  async #markKnown(connection: DuckDBConnection, ranges: readonly IdRange[]): Promise<void> {
    const admitting = new Set(await this.#files.overlapping(ranges));
    const known = new Map([...this.#recent].map(([number, { path }]) => [path, number]));
    const unknown = [...admitting].filter((path) => !known.has(path));
    const pending = [...this.#recent].filter(([, { committed }]) => !committed).map(([number]) => number);
    const askable = [...new Set([...pending, ...[...admitting].flatMap((path) => known.get(path) ?? [])])];
    const hits = askable.length === 0 ? [] : await rowsOf(connection, `select distinct file from recent_keys
      where file in (${askable.join(', ')}) and key in (select key from projected where reason is null)`);
    const local = await Promise.all(unknown.map((path) => this.#files.localPath(path)));
    // Of a file in a distant store the copy here may have been let go since it was written: it is asked for again.
    const hit = await Promise.all(hits.map(async (row) => {
      const entry = this.#recent.get(Number(row['file']));
      return entry === undefined || entry.path === '' ? entry?.staged : this.#files.localPath(entry.path);
    }));
    await this.#markFrom(connection, [...local, ...hit.filter((path) => path !== undefined)]);
  }

  async #markFrom(connection: DuckDBConnection, localPaths: readonly string[]): Promise<void> {
    if (localPaths.length === 0) return;
    await connection.run(`update projected set duplicate = true where rowid in (
      select projected.rowid from projected join
        (select event_id, source, post_id from read_parquet([${localPaths.map(literal).join(', ')}], union_by_name = true)) as there
        on projected.event_id = there.event_id and projected.source = there.source and projected.post_id = there.post_id
      where projected.reason is null and not projected.duplicate)`);
  }

  async #forgetOldest(connection: DuckDBConnection): Promise<void> {
    const forgotten: number[] = [];
    for (const [number, { rows, committed }] of this.#recent) {
      if (this.#rows <= recentRowsMax || !committed) break;
      this.#recent.delete(number);
      this.#rows -= rows;
      forgotten.push(number);
    }
    if (forgotten.length > 0) await connection.run(`delete from recent_keys where file <= ${Math.max(...forgotten)}`);
  }

  #locked<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work, work);
    this.#turn = result.catch(() => undefined);
    return result;
  }
}
