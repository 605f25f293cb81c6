import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Condition } from '../contract/condition.ts';
import type { Database, Sql } from '../database/database.ts';
import { WatershedError } from '../errors.ts';
import { slugOf } from '../events/slug.ts';
import { checkCondition } from './condition.ts';
import type { Part } from '../contract/report.ts';
import { freezeQueries, type FrozenQuery } from './content.ts';
import { checkDeliveries, type Delivery } from './delivery.ts';
import { insertRun, listRuns, requireNumber, runOutput, type RunView } from './runs.ts';
import { type CatchUp, dueSlots, parseSchedule } from './slots.ts';

export interface ReportInput {
  readonly name: string;
  readonly layout: string;
  /** `event`: its id; `hours`: how much time one report covers. */
  readonly parameters: { readonly event?: string; readonly hours?: number };
  /** What the layout `queries` shows; the others bring their own questions. */
  readonly content?: readonly Part[];
  readonly cron: string;
  readonly timeZone: string;
  readonly catchUp: CatchUp;
  readonly deliveries: readonly Delivery[];
  /** Where it does not hold at the time of the slot, nothing is sent. */
  readonly condition?: Condition | null;
  /** After so many days delivered files are deleted here and in the object store; the history stays. Default 90. */
  readonly keepDays?: number;
}

export interface Report extends Required<ReportInput> {
  readonly id: string;
  /** Whose rights the questions are asked with. */
  readonly owner: string;
  readonly status: 'active' | 'paused';
  readonly version: number;
  /** Signs webhooks: not for answers to readers. */
  readonly secret: string;
}

/** A report as a run keeps it: what it asks cannot change any more. */
export interface Definition extends Report {
  readonly queries: Readonly<Record<string, FrozenQuery>>;
}

export type ReportChanges = Partial<ReportInput> & { readonly status?: 'active' | 'paused' };

interface Row {
  readonly id: string; readonly name: string; readonly owner: string; readonly layout: string; readonly parameters: ReportInput['parameters'];
  readonly content: readonly Part[]; readonly cron: string; readonly time_zone: string; readonly catch_up: CatchUp; readonly deliveries: readonly Delivery[];
  readonly condition: Condition | null; readonly keep_days: number;
  readonly secret: string; readonly status: 'active' | 'paused'; readonly version: number; readonly scheduled_until: Date;
}

/**
 * Reports and their runs. Errors: `not_found`, `bad_request` (schedule, target, condition), `conflict` (a run that
 * cannot be retried).
 */
export interface Reports {
  list(): Promise<Report[]>;
  get(id: string): Promise<Report>;
  create(input: ReportInput, by: string): Promise<Report>;
  edit(id: string, changes: ReportChanges, by: string): Promise<Report>;
  remove(id: string, by: string): Promise<void>;
  /** The report with its saved queries as they are now. */
  definition(id: string): Promise<Definition>;
  /** What `create` would make of `input`, checked as it would be; nothing is kept. */
  draft(input: ReportInput, by: string): Promise<Definition>;
  /** Runs it once, beside the schedule; the recipients are `deliveries`, or the report's own. */
  test(id: string, deliveries?: readonly Delivery[], at?: number): Promise<string>;
  runs(id: string, limit: number): Promise<RunView[]>;
  output(runId: string, format: string): Promise<{ contentType: string; bytes: Buffer; name: string }>;
  /** What failed is tried again, of a report or an alert; what was sent is not. */
  retry(runId: string): Promise<void>;
  /** Writes the runs of all slots that are due. Returns how many are to be worked on. */
  plan(): Promise<number>;
}

export function createReports({ database, clock }: { database: Database; clock: Clock }): Reports {
  const now = (): Date => new Date(clock.now());
  return {
    list: async () => (await database.query<Row>('select * from watershed.report where deleted_at is null order by id')).map(shown),
    get: async (id) => shown(await found(database, id)),
    create: (input, by) => database.transaction(async (sql) => {
      const full = completed(input);
      await check(sql, full);
      await sql.execute('lock table watershed.report in share row exclusive mode');
      const taken = new Set((await sql.query<{ id: string }>('select id from watershed.report')).map(({ id }) => id));
      const id = slugOf(input.name, (candidate) => taken.has(candidate));
      await sql.execute(
        `insert into watershed.report (id, owner, secret, status, version, scheduled_until, created_at, updated_at, updated_by,
           name, layout, parameters, content, cron, time_zone, catch_up, deliveries, condition, keep_days)
         values ($1, $2, $3, 'active', 1, $4, $4, $4, $2, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
        [id, by, randomBytes(32).toString('base64url'), now(), ...columnsOf(full)]);
      return shown(await found(sql, id));
    }),
    edit: (id, changes, by) => database.transaction(async (sql) => {
      const row = await found(sql, id, 'for update');
      const next = { ...shown(row), ...changes };
      await check(sql, next);
      // A report that rested owes nothing for the time of its rest.
      const wakes = row.status === 'paused' && next.status === 'active';
      await sql.execute(
        `update watershed.report set owner = $2, status = $3, updated_at = $4, updated_by = $2, version = version + 1,
           scheduled_until = case when $5 then $4 else scheduled_until end, name = $6, layout = $7, parameters = $8, content = $9,
           cron = $10, time_zone = $11, catch_up = $12, deliveries = $13, condition = $14, keep_days = $15 where id = $1`,
        [id, by, next.status, now(), wakes, ...columnsOf(next)]);
      return shown(await found(sql, id));
    }),
    async remove(id, by) {
      await found(database, id);
      await database.execute('update watershed.report set deleted_at = $2, updated_by = $3 where id = $1', [id, now(), by]);
    },
    definition: async (id) => frozen(database, shown(await found(database, id))),
    draft: (input, by) => database.transaction(async (sql) => {
      const full = completed(input);
      await check(sql, full);
      return await frozen(sql, { ...full, id: 'draft', owner: by, status: 'paused', version: 0, secret: '' });
    }),
    test: (id, deliveries, at) => database.transaction(async (sql) => {
      const report = { ...shown(await found(sql, id)), ...(deliveries === undefined ? {} : { deliveries }) };
      checkDeliveries(report.deliveries);
      return await insertRun(sql, {
        of: { report: id }, slot: at ?? clock.now(), version: report.version, kind: 'test', definition: await frozen(sql, report), run: true, now: now(),
      }) ?? '';
    }),
    async runs(id, limit) {
      await found(database, id);
      return listRuns(database, { report: id }, limit);
    },
    output: (runId, format) => runOutput(database, runId, format),
    retry: (runId) => retry(database, requireNumber(runId), now()),
    plan: () => plan(database, clock),
  };
}

function completed(input: ReportInput): Required<ReportInput> {
  return { content: [], condition: null, keepDays: 90, ...input };
}

async function found(sql: Sql, id: string, lock = ''): Promise<Row> {
  const [row] = await sql.query<Row>(`select * from watershed.report where id = $1 and deleted_at is null ${lock}`, [id]);
  if (row === undefined) throw new WatershedError('not_found', `there is no report ${id}`);
  return row;
}

async function frozen(sql: Sql, report: Report): Promise<Definition> {
  return { ...report, queries: await freezeQueries(sql, report.content) };
}

async function retry(database: Database, run: string, now: Date): Promise<void> {
  await database.transaction(async (sql) => {
    const [row] = await sql.query<{ definition: Partial<Definition>; rendered: boolean }>(
      `select definition, exists (select from watershed.report_output where run_id = id) as rendered
       from watershed.report_run where id = $1 and state = 'failed' for update`, [run]);
    if (row === undefined) throw new WatershedError('conflict', `run ${run} has not failed`, { retryable: false });
    // What was not rendered yet is asked with the saved queries as they are now: somebody may have mended them.
    const queries = row.rendered || row.definition.content === undefined ? row.definition.queries : await freezeQueries(sql, row.definition.content);
    await sql.execute(
      `update watershed.report_run set state = $2, attempts = 0, not_before = $3, error = null, finished_at = null, definition = $4 where id = $1`,
      [run, row.rendered ? 'delivering' : 'planned', now, JSON.stringify({ ...row.definition, ...(queries === undefined ? {} : { queries }) })]);
    await sql.execute("update watershed.report_delivery set state = 'pending', attempts = 0, error = null where run_id = $1 and state = 'failed'", [run]);
  });
}

async function plan(database: Database, clock: Clock): Promise<number> {
  const now = clock.now();
  const rows = await database.query<Row>("select * from watershed.report where status = 'active' and deleted_at is null order by id");
  let planned = 0;
  for (const row of rows) {
    if (row.scheduled_until.getTime() <= now && slotsOf(row, now).length === 0) continue;
    planned += await database.transaction((sql) => planOne(sql, row.id, now));
  }
  return planned;
}

async function planOne(sql: Sql, id: string, now: number): Promise<number> {
  const [row] = await sql.query<Row>(
    "select * from watershed.report where id = $1 and status = 'active' and deleted_at is null for update skip locked", [id]);
  if (row === undefined) return 0;
  if (row.scheduled_until.getTime() > now) {
    // The clock was turned back: slots are due again from here on. Those that ran have their run and do not run again.
    await sql.execute('update watershed.report set scheduled_until = $2 where id = $1', [id, new Date(now)]);
    return 0;
  }
  const slots = slotsOf(row, now);
  const last = slots.at(-1);
  if (last === undefined) return 0;
  const definition = await frozen(sql, shown(row));
  let count = 0;
  for (const { at, run } of slots) {
    const made = await insertRun(sql, { of: { report: id }, slot: at, version: row.version, kind: 'scheduled', definition, run, now: new Date(now) });
    if (made !== undefined && run) count++;
  }
  await sql.execute('update watershed.report set scheduled_until = $2 where id = $1', [id, new Date(last.at)]);
  return count;
}

function slotsOf(row: Row, now: number): ReturnType<typeof dueSlots> {
  return dueSlots(row.cron, row.time_zone, row.catch_up, row.scheduled_until.getTime(), now);
}

/** The columns that people give, in one order for insert and update. */
function columnsOf(input: Required<ReportInput>): unknown[] {
  const { name, layout, parameters, content, cron, timeZone, catchUp, deliveries, condition, keepDays } = input;
  return [name, layout, JSON.stringify(parameters), JSON.stringify(content), cron, timeZone, catchUp, JSON.stringify(deliveries),
    condition === null ? null : JSON.stringify(condition), keepDays];
}

function shown(row: Row): Report {
  return {
    id: row.id, name: row.name, owner: row.owner, layout: row.layout, parameters: row.parameters, content: row.content, cron: row.cron,
    timeZone: row.time_zone, catchUp: row.catch_up, deliveries: row.deliveries, condition: row.condition, keepDays: row.keep_days,
    status: row.status, version: row.version, secret: row.secret,
  };
}

async function check(sql: Sql, input: Required<ReportInput>): Promise<void> {
  parseSchedule(input.cron, input.timeZone);
  checkDeliveries(input.deliveries);
  if (input.condition !== null) checkCondition(input.condition);
  if (input.layout === 'queries' && input.content.length === 0) {
    throw new WatershedError('bad_request', 'a report of saved queries needs at least one', { hint: 'POST /api/queries saves one; content names it' });
  }
  const known = await freezeQueries(sql, input.content);
  const gone = input.content.find(({ query }) => known[query] === undefined);
  if (gone !== undefined) throw new WatershedError('bad_request', `there is no saved query ${gone.query}`, { hint: 'GET /api/queries lists them' });
}
