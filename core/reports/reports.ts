import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Database, Sql } from '../database/database.ts';
import { WatershedError } from '../errors.ts';
import { slugOf } from '../events/slug.ts';
import { type CatchUp, dueSlots, parseSchedule } from './slots.ts';

export interface Delivery {
  readonly kind: 'file' | 'mail' | 'webhook';
  /** An address of mail, an http(s) address, or nothing for a file that is fetched here. */
  readonly target: string;
  readonly format: 'html' | 'csv' | 'xlsx' | 'pdf';
}

export interface ReportInput {
  readonly name: string;
  readonly layout: string;
  /** `event`: its id; `hours`: how much time one report covers. */
  readonly parameters: { readonly event?: string; readonly hours?: number };
  readonly cron: string;
  readonly timeZone: string;
  readonly catchUp: CatchUp;
  readonly deliveries: readonly Delivery[];
}

export interface Report extends ReportInput {
  readonly id: string;
  /** Whose rights the questions are asked with. */
  readonly owner: string;
  readonly status: 'active' | 'paused';
  readonly version: number;
  /** Signs webhooks: not for answers to readers. */
  readonly secret: string;
}

export interface RunView {
  readonly id: string;
  readonly reportId: string;
  readonly slot: string;
  readonly version: number;
  readonly kind: 'scheduled' | 'test';
  readonly state: 'planned' | 'delivering' | 'done' | 'failed' | 'skipped';
  readonly error: string | null;
  readonly finishedAt: string | null;
  readonly formats: readonly string[];
  readonly deliveries: readonly {
    readonly kind: string; readonly target: string; readonly format: string; readonly state: string; readonly attempts: number;
    readonly perhapsTwice: boolean; readonly error: string | null; readonly sentAt: string | null;
  }[];
}

interface Row {
  readonly id: string; readonly name: string; readonly owner: string; readonly layout: string; readonly parameters: ReportInput['parameters'];
  readonly cron: string; readonly time_zone: string; readonly catch_up: CatchUp; readonly deliveries: readonly Delivery[];
  readonly secret: string; readonly status: 'active' | 'paused'; readonly version: number; readonly scheduled_until: Date;
}

/**
 * Reports and their runs. Errors: `not_found`, `bad_request` (schedule, target), `conflict` (a run that cannot be
 * retried).
 */
export interface Reports {
  list(): Promise<Report[]>;
  get(id: string): Promise<Report>;
  create(input: ReportInput, by: string): Promise<Report>;
  edit(id: string, changes: Partial<ReportInput> & { status?: 'active' | 'paused' }, by: string): Promise<Report>;
  remove(id: string, by: string): Promise<void>;
  /** Runs it once, beside the schedule; the recipients are `deliveries`, or the report's own. */
  test(id: string, deliveries?: readonly Delivery[], at?: number): Promise<string>;
  runs(id: string, limit: number): Promise<RunView[]>;
  output(runId: string, format: string): Promise<{ contentType: string; bytes: Buffer; name: string }>;
  /** What failed is tried again; what was sent is not. */
  retry(runId: string): Promise<void>;
  /** Writes the runs of all slots that are due. Returns how many are to be worked on. */
  plan(): Promise<number>;
}

export function createReports({ database, clock }: { database: Database; clock: Clock }): Reports {
  const found = async (sql: Sql, id: string, lock = ''): Promise<Row> => {
    const [row] = await sql.query<Row>(`select * from watershed.report where id = $1 and deleted_at is null ${lock}`, [id]);
    if (row === undefined) throw new WatershedError('not_found', `there is no report ${id}`);
    return row;
  };
  const now = (): Date => new Date(clock.now());
  return {
    list: async () => (await database.query<Row>('select * from watershed.report where deleted_at is null order by id')).map(shown),
    get: async (id) => shown(await found(database, id)),
    create: (input, by) => database.transaction(async (sql) => {
      check(input);
      await sql.execute('lock table watershed.report in share row exclusive mode');
      const taken = new Set((await sql.query<{ id: string }>('select id from watershed.report')).map(({ id }) => id));
      const id = slugOf(input.name, (candidate) => taken.has(candidate));
      await sql.execute(
        `insert into watershed.report (id, name, owner, layout, parameters, cron, time_zone, catch_up, deliveries, secret, status, version,
           scheduled_until, created_at, updated_at, updated_by) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 'active', 1, $11, $11, $11, $3)`,
        [id, input.name, by, input.layout, JSON.stringify(input.parameters), input.cron, input.timeZone, input.catchUp,
          JSON.stringify(input.deliveries), randomBytes(32).toString('base64url'), now()]);
      return shown(await found(sql, id));
    }),
    edit: (id, changes, by) => database.transaction(async (sql) => {
      const row = await found(sql, id, 'for update');
      const next = { ...shown(row), ...changes };
      check(next);
      // A report that rested owes nothing for the time of its rest.
      const wakes = row.status === 'paused' && next.status === 'active';
      await sql.execute(
        `update watershed.report set name = $2, layout = $3, parameters = $4, cron = $5, time_zone = $6, catch_up = $7, deliveries = $8,
           status = $9, version = version + 1, updated_at = $10, updated_by = $11, owner = $11,
           scheduled_until = case when $12 then $10 else scheduled_until end where id = $1`,
        [id, next.name, next.layout, JSON.stringify(next.parameters), next.cron, next.timeZone, next.catchUp, JSON.stringify(next.deliveries),
          next.status, now(), by, wakes]);
      return shown(await found(sql, id));
    }),
    async remove(id, by) {
      await found(database, id);
      await database.execute('update watershed.report set deleted_at = $2, updated_by = $3 where id = $1', [id, now(), by]);
    },
    test: (id, deliveries, at) => database.transaction(async (sql) => {
      const row = await found(sql, id);
      const report = { ...shown(row), ...(deliveries === undefined ? {} : { deliveries }) };
      check(report);
      return await insertRun(sql, report, at ?? clock.now(), 'test', true, now()) ?? '';
    }),
    async runs(id, limit) {
      await found(database, id);
      return runViews(database, id, limit);
    },
    async output(runId, format) {
      const [row] = await database.query<{ content_type: string; bytes: Buffer; report_id: string; slot: Date }>(
        `select o.content_type, o.bytes, r.report_id, r.slot from watershed.report_output o join watershed.report_run r on r.id = o.run_id
         where o.run_id = $1 and o.format = $2`, [requireNumber(runId), format]);
      if (row === undefined) throw new WatershedError('not_found', `run ${runId} has no ${format}`);
      return { contentType: row.content_type, bytes: row.bytes, name: fileName(row.report_id, row.slot.getTime(), format) };
    },
    async retry(runId) {
      const number = requireNumber(runId);
      await database.transaction(async (sql) => {
        const changed = await sql.execute(
          `update watershed.report_run set state = case when exists (select from watershed.report_output where run_id = id) then 'delivering' else 'planned' end,
             attempts = 0, not_before = $2, error = null, finished_at = null where id = $1 and state = 'failed'`, [number, now()]);
        if (changed === 0) throw new WatershedError('conflict', `run ${runId} has not failed`, { retryable: false });
        await sql.execute("update watershed.report_delivery set state = 'pending', attempts = 0, error = null where run_id = $1 and state = 'failed'", [number]);
      });
    },
    plan: () => plan(database, clock),
  };
}

async function plan(database: Database, clock: Clock): Promise<number> {
  let planned = 0;
  const due = await database.query<{ id: string }>("select id from watershed.report where status = 'active' and deleted_at is null order by id");
  for (const { id } of due) {
    planned += await database.transaction(async (sql) => {
      const [row] = await sql.query<Row>(
        "select * from watershed.report where id = $1 and status = 'active' and deleted_at is null for update skip locked", [id]);
      if (row === undefined) return 0;
      const now = clock.now();
      const slots = dueSlots(row.cron, row.time_zone, row.catch_up, row.scheduled_until.getTime(), now);
      const last = slots.at(-1);
      if (last === undefined) return 0;
      let count = 0;
      for (const slot of slots) {
        const run = await insertRun(sql, shown(row), slot.at, 'scheduled', slot.run, new Date(now));
        if (run !== undefined && slot.run) count++;
      }
      await sql.execute('update watershed.report set scheduled_until = $2 where id = $1', [id, new Date(last.at)]);
      return count;
    });
  }
  return planned;
}

/** The run and its recipients, before anything of it is done. Undefined where the slot has its run already. */
async function insertRun(sql: Sql, report: Report, slot: number, kind: 'scheduled' | 'test', run: boolean, now: Date): Promise<string | undefined> {
  const [row] = await sql.query<{ id: bigint }>(
    `insert into watershed.report_run (report_id, slot, version, kind, definition, state, not_before, created_at, finished_at)
     values ($1, $2, $3, $4, $5, $6, $7, $7, $8) on conflict do nothing returning id`,
    [report.id, new Date(slot), report.version, kind, JSON.stringify(report), run ? 'planned' : 'skipped', now, run ? null : now]);
  if (row === undefined) return undefined;
  if (!run) return String(row.id);
  for (const [position, delivery] of report.deliveries.entries()) {
    const key = `${report.id}/${new Date(slot).toISOString()}/${kind === 'test' ? `test-${row.id}` : report.version}/${position}`;
    await sql.execute(
      `insert into watershed.report_delivery (run_id, position, kind, target, format, key, state) values ($1, $2, $3, $4, $5, $6, 'pending')`,
      [row.id, position, delivery.kind, delivery.target, delivery.format, key]);
  }
  return String(row.id);
}

async function runViews(database: Database, id: string, limit: number): Promise<RunView[]> {
  const rows = await database.query<{
    id: bigint; report_id: string; slot: Date; version: number; kind: RunView['kind']; state: RunView['state']; error: string | null;
    finished_at: Date | null; formats: string[] | null; deliveries: RunView['deliveries'] | null;
  }>(
    `select r.id, r.report_id, r.slot, r.version, r.kind, r.state, r.error, r.finished_at,
       (select jsonb_agg(format order by format) from watershed.report_output where run_id = r.id) as formats,
       (select jsonb_agg(jsonb_build_object('kind', kind, 'target', target, 'format', format, 'state', state, 'attempts', attempts,
          'perhapsTwice', perhaps_twice, 'error', error, 'sentAt', sent_at) order by position)
        from watershed.report_delivery where run_id = r.id) as deliveries
     from watershed.report_run r where r.report_id = $1 order by r.slot desc, r.id desc limit $2`, [id, limit]);
  return rows.map((row) => ({
    id: String(row.id), reportId: row.report_id, slot: row.slot.toISOString(), version: row.version, kind: row.kind, state: row.state, error: row.error,
    finishedAt: row.finished_at?.toISOString() ?? null, formats: row.formats ?? [], deliveries: row.deliveries ?? [],
  }));
}

/** `alberta-daily-2013-06-21T0700Z.pdf` */
export function fileName(reportId: string, slot: number, format: string): string {
  return `${reportId}-${new Date(slot).toISOString().slice(0, 16).replace(':', '')}Z.${format}`;
}

function shown(row: Row): Report {
  return {
    id: row.id, name: row.name, owner: row.owner, layout: row.layout, parameters: row.parameters, cron: row.cron, timeZone: row.time_zone,
    catchUp: row.catch_up, deliveries: row.deliveries, status: row.status, version: row.version, secret: row.secret,
  };
}

function check(input: ReportInput): void {
  parseSchedule(input.cron, input.timeZone);
  for (const { kind, target } of input.deliveries) {
    const wrong = (why: string): never => { throw new WatershedError('bad_request', `a report cannot go to "${target}": ${why}`); };
    // A line break in an address would begin a header of its own.
    if (kind === 'mail' && !/^[^\s@<>,;"]+@[^\s@<>,;"]+$/.test(target)) wrong('it is no address of mail');
    if (kind === 'webhook' && !(URL.canParse(target) && /^https?:$/.test(new URL(target).protocol))) wrong('it is no http address');
  }
}

function requireNumber(id: string): string {
  if (/^\d{1,18}$/.test(id)) return id;
  throw new WatershedError('not_found', `there is no run ${id}`);
}
