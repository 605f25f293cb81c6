import { manualClock, type ManualClock } from '#core/clock.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import { WatershedError } from '#core/errors.ts';
import { silentLogger } from '#core/logger.ts';
import { createMetrics, type Metrics } from '#core/metrics.ts';
import { startPostgres, type TestPostgres } from '#test/services/postgres.ts';
import { statement } from '#test/sql-lake.ts';
import { auditedEngine, openStatementAudit, type StatementAudit } from './audit.ts';
import type { Engine, ResultSummary } from './engine.ts';

let server: TestPostgres;
let database: Database;
let clock: ManualClock;
let metrics: Metrics;
let audit: StatementAudit;

beforeAll(async () => {
  server = await startPostgres();
}, 30_000);
beforeEach(async () => {
  database = openDatabase(await server.createDatabase(), { max: 2 });
  await migrate(database);
  clock = manualClock(Date.parse('2026-05-01T10:00:00Z'));
  metrics = createMetrics();
  audit = openStatementAudit({ database, clock, logger: silentLogger, metrics });
});
afterEach(async () => {
  await audit[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});
afterAll(() => server.stop());

/** An engine that answers as it is told. */
function told(answer: () => Promise<ResultSummary>): Engine {
  return {
    kind: 'duckdb',
    async run() {
      const summary = answer();
      summary.catch(() => undefined);
      return {
        columns: [],
        chunks: {
          async *[Symbol.asyncIterator]() {
            yield await Promise.resolve(new Uint8Array(1));
          },
        },
        summary,
      };
    },
    describe: async () => ({ columns: [], parameters: [] }),
    tables: async () => [],
    [Symbol.asyncDispose]: async () => undefined,
  };
}

const written = async (): Promise<object[]> =>
  await database.query(
    'select at, principal, door, statement, outcome, rows, bytes, elapsed_ms from watershed.statement_audit order by id',
  );

test('who asked what, when, and how it went', async () => {
  const done = auditedEngine(
    told(async () => ({ rows: 7, bytes: 123, elapsedMs: 1, truncated: false })),
    'http',
    { audit, clock, metrics },
  );
  await done.run(statement("select 'a\0b'", { user: 'ann' }));
  const slow = Promise.withResolvers<ResultSummary>();
  await auditedEngine(
    told(() => slow.promise),
    'wire',
    { audit, clock, metrics },
  ).run(statement('select 2', { user: 'bob' }));
  await clock.advance(250);
  slow.reject(new WatershedError('limit_exceeded', 'too long'));
  const refusing = {
    ...told(async () => ({ rows: 0, bytes: 0, elapsedMs: 0, truncated: false })),
    run: async () => await Promise.reject(new WatershedError('statement_refused', 'no')),
  };
  await expect(
    auditedEngine(refusing, 'http', { audit, clock, metrics }).run(statement('drop table x')),
  ).rejects.toMatchObject({ code: 'statement_refused' });
  await audit[Symbol.asyncDispose]();
  const at = new Date('2026-05-01T10:00:00Z');
  expect(await written()).toEqual([
    {
      at,
      principal: 'ann',
      door: 'http',
      statement: "select 'a\uFFFDb'",
      outcome: 'done',
      rows: 7n,
      bytes: 123n,
      elapsed_ms: 0,
    },
    {
      at,
      principal: 'bob',
      door: 'wire',
      statement: 'select 2',
      outcome: 'limit_exceeded',
      rows: 0n,
      bytes: 0n,
      elapsed_ms: 250,
    },
    {
      at: new Date(at.getTime() + 250),
      principal: 'admin',
      door: 'http',
      statement: 'drop table x',
      outcome: 'statement_refused',
      rows: 0n,
      bytes: 0n,
      elapsed_ms: 0,
    },
  ]);
  expect(await metrics.value('watershed_sql_statements_total', { door: 'http', outcome: 'done' })).toBe(1);
});

test('entries are written within a second or two, and wait while the database does not take them', async () => {
  audit.record({
    atMs: clock.now(),
    user: 'u',
    door: 'http',
    sql: 'select 1',
    outcome: 'done',
    rows: 1,
    bytes: 1,
    elapsedMs: 1,
  });
  await database.execute('alter table watershed.statement_audit rename to elsewhere');
  await clock.advance(1_000);
  await new Promise((resolve) => setTimeout(resolve, 100));
  await database.execute('alter table watershed.elsewhere rename to statement_audit');
  for (let tries = 0; (await written()).length === 0 && tries < 100; tries++) {
    await clock.advance(1_000);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  expect((await written()).length).toBe(1);
});

test('what is older than 90 days is dropped', async () => {
  await database.execute(`insert into watershed.statement_audit (at, principal, door, statement, outcome, rows, bytes, elapsed_ms)
    values ('2026-01-30T09:00:00Z', 'old', 'http', 's', 'done', 0, 0, 0), ('2026-01-31T11:00:00Z', 'young', 'http', 's', 'done', 0, 0, 0)`);
  audit.record({
    atMs: clock.now(),
    user: 'new',
    door: 'http',
    sql: 's',
    outcome: 'done',
    rows: 0,
    bytes: 0,
    elapsedMs: 0,
  });
  await audit[Symbol.asyncDispose]();
  expect((await written()).map((row) => 'principal' in row && row.principal)).toEqual(['young', 'new']);
});
