import { mkdir } from 'node:fs/promises';
import { flushCompileCache } from 'node:module';
import type { Socket } from 'node:net';
import { type DuckDBConnection, DuckDBInstance } from '@duckdb/node-api';
import { systemClock } from '#core/clock.ts';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import type { Param } from '../../engine.ts';
import {
  type ChildOptions,
  encodeFrame,
  frameKinds,
  frameReader,
  type FromChild,
  sendMessage,
  type ToChild,
  type WireParam,
} from '../protocol.ts';
import { engineError, wireError } from './errors.ts';
import { type Judged, judgeStatement } from './judge.ts';
import { createShownLake, type ShownLake } from './lake.ts';
import { clockMacros } from './macros.ts';
import { runToParquet } from './parquet.ts';
import { describeStatement, type Output, runStatement } from './run.ts';

/**
 * The child's side of protocol.ts. Messages are taken one after the other, except `cancel`, which interrupts the one
 * in work.
 *
 *     starting ──start──▶ idle ──prepare──▶ prepared ──run──▶ running ──▶ idle
 *                           ▲                  │ abandon           failed │
 *                           └──────────────────┴───────────────◀──────────┘
 */
export function serveParent(socket: Socket): void {
  const session = new Session(socket);
  let work = Promise.resolve();
  const read = frameReader((_kind, body) => {
    const message = JSON.parse(body.toString()) as ToChild; // the parent is this very version
    if (message.type === 'cancel') session.cancel();
    else work = work.then(async () => await session.take(message));
  });
  socket.on('data', (piece: Buffer) => {
    read(piece);
  });
}

class Session {
  readonly #socket: Socket;
  #database: { connection: DuckDBConnection; lake: ShownLake; tempDir: string } | undefined;
  #judged: { statement: Judged; params: readonly Param[] } | undefined;
  #isCancelled = false;
  /** Kinds of work whose code was kept for the next child: each loads some of its own. */
  readonly #kept = new Set<string>();

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  cancel(): void {
    this.#isCancelled = true;
    this.#database?.connection.interrupt();
  }

  /** Carries out a message and answers it. Never rejects. */
  async take(message: ToChild): Promise<void> {
    try {
      const answer = await this.#answer(message);
      if (answer !== undefined) sendMessage(this.#socket, answer);
      this.#keepCode(message);
    } catch (error) {
      this.#judged = undefined;
      const known = isWatershedError(error) ? error : engineError(error, () => undefined);
      sendMessage(this.#socket, { type: 'failed', error: wireError(known) });
    }
  }

  #keepCode(message: ToChild): void {
    const kind = message.type === 'run' ? message.encoding : message.type;
    if (this.#kept.has(kind) || this.#kept.size > 50) return;
    this.#kept.add(kind);
    // Children are killed, not ended: nothing would be kept otherwise.
    flushCompileCache();
  }

  async #answer(message: ToChild): Promise<FromChild | undefined> {
    switch (message.type) {
      case 'start': {
        const connection = await openDatabase(message.options);
        await warmUp(connection);
        this.#database = { connection, lake: createShownLake(connection, message.options.readable[0]), tempDir: message.options.tempDir };
        return { type: 'ready' };
      }
      case 'prepare': {
        this.#isCancelled = false;
        const params = message.params.map(unwired);
        const statement = await judgeStatement(this.#open.connection, message.sql, params, message.lake);
        this.#judged = { statement, params };
        return { type: 'prepared', tables: statement.tables, introspects: statement.introspects };
      }
      case 'abandon':
        this.#judged = undefined;
        return undefined;
      case 'run':
        return await this.#run(message);
      case 'cancel':
        return undefined;
    }
  }

  get #open(): { connection: DuckDBConnection; lake: ShownLake; tempDir: string } {
    if (this.#database === undefined) throw new WatershedError('internal', 'nothing was started');
    return this.#database;
  }

  async #run(message: Extract<ToChild, { type: 'run' }>): Promise<FromChild> {
    if (this.#judged === undefined) throw new WatershedError('internal', 'run before prepare');
    const { statement, params } = this.#judged;
    const { connection, lake } = this.#open;
    this.#judged = undefined;
    await lake.show(message.lake);
    const untold = message.tellsProgress ? tellProgress(this.#socket, connection) : undefined;
    try {
      return await inTransaction(connection, async () => await this.#execute(message, statement, params));
    } catch (error) {
      throw engineError(error, statement.place);
    } finally {
      untold?.();
    }
  }

  async #execute(
    { only, encoding, limits }: Extract<ToChild, { type: 'run' }>,
    { sql }: Judged,
    params: readonly Param[],
  ): Promise<FromChild> {
    if (this.#isCancelled) throw new WatershedError('cancelled', 'the statement was cancelled');
    const { connection, tempDir } = this.#open;
    const output = outputTo(this.#socket, () => this.#isCancelled);
    if (only === 'describe') {
      await describeStatement(connection, sql, output);
      return { type: 'done', summary: { rows: 0, bytes: 0, truncated: false } };
    }
    const summary =
      encoding === 'parquet'
        ? await runToParquet(connection, sql, params, limits, tempDir, output)
        : await runStatement(connection, sql, params, encoding, limits, output);
    return { type: 'done', summary };
  }
}

/** So often the first statements of a child cost more than the later ones: code is loaded, then compiled. */
const warmUpTimes = 5;

/** Goes the whole way of a statement, so that the first one somebody waits for is not the slow one. */
async function warmUp(connection: DuckDBConnection): Promise<void> {
  const limits = { timeoutMs: Infinity, rowsMax: 10, bytesMax: 1_000 };
  const nowhere: Output = { columns: () => undefined, rows: async () => await Promise.resolve(), isCancelled: () => false };
  for (let times = 0; times < warmUpTimes; times++) {
    const { sql } = await judgeStatement(connection, "SELECT $1 AS one, 'two' AS two", [1], []);
    for (const encoding of ['json', 'pg.text'] as const) {
      await inTransaction(connection, async () => ({
        type: 'done',
        summary: await runStatement(connection, sql, [1], encoding, limits, nowhere),
      }));
    }
  }
}

const progressIntervalMs = 500;

/** Says how far the statement is until the returned function is called. */
function tellProgress(socket: Socket, connection: DuckDBConnection): () => void {
  let cancel: () => void;
  const tell = (): void => {
    // DuckDB says -1 where it cannot tell, and stays at that for the whole statement.
    const { percentage } = connection.progress;
    sendMessage(socket, { type: 'progress', ...(percentage >= 0 ? { percent: percentage } : {}) });
    cancel = systemClock.timer(progressIntervalMs, tell);
  };
  cancel = systemClock.timer(progressIntervalMs, tell);
  return () => cancel();
}

/** Reads only: nothing that a statement does can outlast it. */
async function inTransaction(connection: DuckDBConnection, work: () => Promise<FromChild>): Promise<FromChild> {
  await connection.run('BEGIN TRANSACTION READ ONLY');
  try {
    return await work();
  } finally {
    await rollBack(connection);
  }
}

const rollbackTriesMax = 5;

/**
 * A statement that was cut short still streams: this ends it. An interrupt that comes late hits the rollback itself;
 * left
 * so, the transaction would be the next statement's, and aborted.
 */
async function rollBack(connection: DuckDBConnection): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      await connection.run('ROLLBACK');
      return;
    } catch (error) {
      if (/no transaction is active/i.test(messageOf(error))) return;
      if (tries === rollbackTriesMax) throw error;
    }
  }
}

function outputTo(socket: Socket, isCancelled: () => boolean): Output {
  return {
    isCancelled,
    columns: (columns, parameters) => sendMessage(socket, { type: 'columns', columns, parameters }),
    async rows(bytes) {
      socket.write(encodeFrame(frameKinds.rows, bytes.length));
      if (!socket.write(bytes)) await new Promise<void>((resolve) => socket.once('drain', resolve));
    },
  };
}

function unwired(param: WireParam): Param {
  return typeof param === 'object' && param !== null ? BigInt(param.bigint) : param;
}

/** Schemas in which a bare name is looked for, in this order. */
const searchPath = 'lake,store';

/**
 * A database in memory that can read the given folders and nothing else, and whose settings nobody can change any
 * more.
 */
async function openDatabase(options: ChildOptions): Promise<DuckDBConnection> {
  await mkdir(options.tempDir, { recursive: true, mode: 0o700 });
  const instance = await DuckDBInstance.create(':memory:', {
    memory_limit: `${Math.floor(options.memoryBytes / 2 ** 20)}MiB`,
    threads: String(options.threads),
    temp_directory: options.tempDir,
    autoinstall_known_extensions: 'false',
    autoload_known_extensions: 'false',
    allow_community_extensions: 'false',
    allow_unsigned_extensions: 'false',
    allow_persistent_secrets: 'false',
  });
  const connection = await instance.connect();
  const quoted = [...options.readable, options.tempDir].map((folder) => `'${folder.replaceAll("'", "''")}/'`);
  for (const schema of ['lake', 'store', 'helper']) await connection.run(`CREATE SCHEMA ${schema}`);
  for (const macro of clockMacros('lake')) await connection.run(macro);
  for (const setting of [
    "TimeZone = 'UTC'",
    'errors_as_json = true',
    'enable_progress_bar = true',
    'enable_progress_bar_print = false',
    'progress_bar_time = 0',
    'preserve_insertion_order = true',
    // Footers of files are read once: files never change.
    'parquet_metadata_cache = true',
    // The pages of local files are in the system's cache already, which gives them back when memory is short.
    'enable_external_file_cache = false',
    // Given when the database is made it is told by current_setting, and not kept to (DuckDB 1.5.5).
    `max_temp_directory_size = '${Math.floor(options.tempBytesMax / 2 ** 20)}MiB'`,
    `search_path = '${searchPath}'`,
    `allowed_directories = [${quoted.join(', ')}]`,
    'enable_external_access = false',
    'lock_configuration = true',
  ])
    await connection.run(`SET ${setting}`);
  return connection;
}
