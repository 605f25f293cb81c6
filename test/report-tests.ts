import { type ManualClock, manualClock } from '#core/clock.ts';
import { type Database, openDatabase } from '#core/database/database.ts';
import { migrate } from '#core/database/migrate.ts';
import type { Reports } from '#core/reports/reports.ts';
import { createMemoryStore } from '#core/store/memory.ts';
import type { Store } from '#core/store/store.ts';
import type { HttpServer } from '#sql/http/server.ts';
import { dashboardsLake, dashboardsServer } from './dashboards-lake.ts';
import { type ReportHouse, reportHouse } from './report-house.ts';
import { openPostbox, type Postbox } from './report-world.ts';
import { startPostgres, type TestPostgres } from './services/postgres.ts';
import type { SqlLake } from './sql-lake.ts';

/** What the test at hand has: all but the lake and the store is new for each. */
export interface ReportTests {
  readonly clock: ManualClock;
  readonly database: Database;
  readonly box: Postbox;
  readonly store: Store;
  readonly house: ReportHouse;
  readonly reports: Reports;
  readonly url: string;
}

/** Reports over the lake of the dashboards, with a mail server and a clock that begins at `start`, for the tests of one file. */
export function reportTests(start: number): ReportTests {
  const store = createMemoryStore();
  let postgres: TestPostgres | undefined;
  let lake: SqlLake | undefined;
  let server: HttpServer | undefined;
  let now: ReportTests | undefined;
  const current = (): ReportTests => {
    if (now === undefined) throw new Error('reportTests() is used within a test');
    return now;
  };
  beforeAll(async () => {
    postgres = await startPostgres();
    lake = await dashboardsLake();
  }, 120_000);
  beforeEach(async () => {
    if (postgres === undefined || lake === undefined) throw new Error('beforeAll has failed');
    const box = await openPostbox();
    const clock = manualClock(start);
    const database = openDatabase(await postgres.createDatabase(), { max: 4 });
    await migrate(database);
    let url = '';
    const house = reportHouse({ database, clock, store, url: () => url, smtpUrl: box.url });
    ({ server, url } = await dashboardsServer(lake.engine(), house.routes));
    now = { clock, database, box, store, house, reports: house.reports, url };
  });
  afterEach(async () => {
    await server?.[Symbol.asyncDispose]();
    await now?.database[Symbol.asyncDispose]();
    await now?.box[Symbol.asyncDispose]();
    now = undefined;
  });
  afterAll(async () => {
    await store[Symbol.asyncDispose]();
    await lake?.[Symbol.asyncDispose]();
    await postgres?.stop();
  });
  return {
    store,
    get clock() { return current().clock; },
    get database() { return current().database; },
    get box() { return current().box; },
    get house() { return current().house; },
    get reports() { return current().reports; },
    get url() { return current().url; },
  };
}
