import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { isWatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Metrics } from '#core/metrics.ts';
import type { Engine, Result, ResultSummary, Statement } from './engine.ts';

/** What became of a statement. */
export interface AuditEntry {
  readonly atMs: number;
  readonly user: string;
  readonly door: string;
  readonly sql: string;
  /** `done`, or the code of the error. */
  readonly outcome: string;
  readonly rows: number;
  readonly bytes: number;
  readonly elapsedMs: number;
}

export interface StatementAudit extends AsyncDisposable {
  record(entry: AuditEntry): void;
}

const flushIntervalMs = 1_000;
/** Entries that wait while the database does not answer; beyond these the oldest are given up, and counted. */
const waitingMax = 10_000;
const statementCharsMax = 10_000;
const keptMs = 90 * 86_400_000;
const pruneIntervalMs = 3_600_000;

/**
 * Writes statements to table watershed.statement_audit, a second's worth at a time, and drops those of more than 90
 * days.
 */
export function openStatementAudit(deps: {
  database: Database;
  clock: Clock;
  logger: Logger;
  metrics: Metrics;
}): StatementAudit {
  const { database, clock, logger, metrics } = deps;
  const lost = metrics.counter(
    'watershed_audit_entries_lost_total',
    'Statements that could not be written to the audit',
  );
  let waiting: AuditEntry[] = [];
  let cancelTimer: (() => void) | undefined;
  let prunedAtMs = Number.NEGATIVE_INFINITY;
  let writing = Promise.resolve();

  const flush = async (): Promise<void> => {
    const entries = waiting;
    waiting = [];
    if (entries.length === 0) return;
    try {
      await write(database, entries);
      if (clock.monotonic() - prunedAtMs < pruneIntervalMs) return;
      prunedAtMs = clock.monotonic();
      await database.execute('delete from watershed.statement_audit where at < $1', [new Date(clock.now() - keptMs)]);
    } catch (error) {
      logger.warn('audit_not_written', { error, entries: entries.length });
      waiting = [...entries, ...waiting];
      if (waiting.length > waitingMax) {
        lost.add(waiting.length - waitingMax);
        waiting = waiting.slice(-waitingMax);
      }
      schedule();
    }
  };
  const schedule = (): void => {
    cancelTimer ??= clock.timer(flushIntervalMs, () => {
      cancelTimer = undefined;
      writing = writing.then(flush);
    });
  };
  return {
    record(entry) {
      waiting.push(entry);
      schedule();
    },
    async [Symbol.asyncDispose]() {
      cancelTimer?.();
      await writing;
      await flush();
      cancelTimer?.();
      lost.add(waiting.length);
    },
  };
}

async function write(database: Database, entries: readonly AuditEntry[]): Promise<void> {
  await database.execute(
    `insert into watershed.statement_audit (at, principal, door, statement, outcome, rows, bytes, elapsed_ms)
     select * from unnest($1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $8::float8[])`,
    [
      entries.map(({ atMs }) => new Date(atMs).toISOString()),
      entries.map(({ user }) => user),
      entries.map(({ door }) => door),
      // PostgreSQL's text holds no NUL.
      entries.map(({ sql }) => sql.slice(0, statementCharsMax).replaceAll('\0', '\uFFFD')),
      entries.map(({ outcome }) => outcome),
      entries.map(({ rows }) => rows),
      entries.map(({ bytes }) => bytes),
      entries.map(({ elapsedMs }) => elapsedMs),
    ],
  );
}

const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** The engine as one door sees it: what is run through it is recorded and measured. */
export function auditedEngine(
  engine: Engine,
  door: string,
  deps: { audit: StatementAudit; clock: Clock; metrics: Metrics },
): Engine {
  const { audit, clock, metrics } = deps;
  const statements = metrics.counter('watershed_sql_statements_total', 'Statements that came through a door', [
    'door',
    'outcome',
  ]);
  const seconds = metrics.histogram(
    'watershed_sql_statement_seconds',
    'Time from a statement to its last row',
    secondsBuckets,
    ['door'],
  );
  const rowsTotal = metrics.counter('watershed_sql_rows_total', 'Rows that were sent', ['door']);
  const bytesTotal = metrics.counter('watershed_sql_sent_bytes_total', 'Bytes of encoded rows that were sent', [
    'door',
  ]);

  const run = async (statement: Statement): Promise<Result> => {
    const atMs = clock.now();
    const startedMs = clock.monotonic();
    const note = (outcome: string, { rows, bytes }: Pick<ResultSummary, 'rows' | 'bytes'>): void => {
      const elapsedMs = clock.monotonic() - startedMs;
      audit.record({ atMs, user: statement.user, door, sql: statement.sql, outcome, rows, bytes, elapsedMs });
      statements.add(1, { door, outcome });
      seconds.observe(elapsedMs / 1000, { door });
      rowsTotal.add(rows, { door });
      bytesTotal.add(bytes, { door });
    };
    const failed = (error: unknown): void =>
      note(isWatershedError(error) ? error.code : 'internal', { rows: 0, bytes: 0 });
    try {
      const result = await engine.run(statement);
      result.summary.then((summary) => note('done', summary), failed);
      return result;
    } catch (error) {
      failed(error);
      throw error;
    }
  };
  return {
    kind: engine.kind,
    run,
    describe: async (statement) => await engine.describe(statement),
    tables: async () => await engine.tables(),
    // It belongs to whoever opened it.
    [Symbol.asyncDispose]: async () => await Promise.resolve(),
  };
}
