import Type from 'typebox';
import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import { type Delivery, fileName, type Report, type Reports } from '#core/reports/reports.ts';
import type { Cell, Layout, Parameters, Rows } from '#dashboards/reports/layout.ts';
import { contentTypes, layouts, renderReport, type RenderedReport, type ReportFormat } from '#dashboards/reports/render.ts';
import type { JobDefinition } from './job.ts';
import type { Send } from './report-send.ts';

/** Asks the SQL door with the rights of `owner`. */
export type Ask = (owner: string, sql: string, signal: AbortSignal) => Promise<Rows>;

export interface ReportJobOptions {
  readonly database: Database;
  readonly reports: Reports;
  readonly clock: Clock;
  readonly ask: Ask;
  readonly send: Send;
}

const Nothing = Type.Object({});
const attemptsMax = 6;
// As long as a run may take before another process may think that its worker is dead.
const leaseMs = 15 * 60_000;
const backoffMs = (attempt: number): number => Math.min(30 * 60_000, 15_000 * 2 ** attempt);

/** The job that plans and delivers reports: looks every twenty seconds, and when hinted. */
export function reportJob(options: ReportJobOptions): JobDefinition<typeof Nothing> {
  return {
    name: 'report',
    description: 'Renders reports that are due and delivers each slot once',
    payload: Nothing,
    schedule: { when: { everyMs: 20_000 }, payload: {} },
    concurrency: 1,
    attempts: 1,
    async run(_payload, { signal, progress }) {
      await options.reports.plan();
      let done = 0;
      while (!signal.aborted && await workOnOne(options, signal)) await progress({ runs: ++done });
    },
  };
}

/** Renders a report as it would be at `at`, without writing or sending anything. */
export async function previewReport(
  { ask }: Pick<ReportJobOptions, 'ask'>, report: Pick<Report, 'layout' | 'parameters' | 'owner'>, at: number, format: ReportFormat, signal: AbortSignal,
): Promise<{ readonly contentType: string; readonly bytes: Buffer }> {
  const rendered = await render(ask, report, at, [format], signal);
  return { contentType: contentTypes[format], bytes: rendered.files[format] ?? Buffer.alloc(0) };
}

interface Run {
  readonly id: bigint;
  readonly slot: Date;
  readonly definition: Report;
  readonly state: 'planned' | 'delivering';
  readonly attempts: number;
}

/** Takes the run that waits longest; false where none does. */
async function workOnOne(options: ReportJobOptions, signal: AbortSignal): Promise<boolean> {
  const { database, clock } = options;
  const now = clock.now();
  const [run] = await database.query<Run>(
    `update watershed.report_run set attempts = attempts + 1, not_before = $2 where id = (
       select id from watershed.report_run where state in ('planned', 'delivering') and not_before <= $1 order by slot, id limit 1 for update skip locked)
     returning id, slot, definition, state, attempts`, [new Date(now), new Date(now + leaseMs)]);
  if (run === undefined) return false;
  try {
    if (run.state === 'planned') await renderRun(options, run, signal);
    await deliver(options, run, signal);
  } catch (error) {
    // Being stopped is no failure of the report: it goes on at the next start.
    const again = signal.aborted ? now : run.attempts < attemptsMax && !isFinal(error) ? now + backoffMs(run.attempts) : undefined;
    await database.execute(
      `update watershed.report_run set error = $2, not_before = coalesce($3, not_before), state = case when $3::timestamptz is null then 'failed' else state end,
         finished_at = case when $3::timestamptz is null then $4::timestamptz end where id = $1`,
      [run.id, messageOf(error), again === undefined ? null : new Date(again), new Date(clock.now())]);
  }
  return true;
}

/** A statement that the guard refuses or the lake does not understand will not be better in a minute. */
function isFinal(error: unknown): boolean {
  return ['bad_request', 'statement_refused', 'statement_failed', 'not_found', 'forbidden', 'unauthorized'].some((code) =>
    isWatershedError(error) && error.code === code);
}

async function renderRun({ database, ask }: ReportJobOptions, run: Run, signal: AbortSignal): Promise<void> {
  const formats = [...new Set<ReportFormat>(['html', ...run.definition.deliveries.map(({ format }) => format)])];
  const rendered = await render(ask, run.definition, run.slot.getTime(), formats, signal);
  await database.transaction(async (sql) => {
    for (const format of formats) {
      await sql.execute('insert into watershed.report_output (run_id, format, content_type, bytes) values ($1, $2, $3, $4) on conflict do nothing',
        [run.id, format, contentTypes[format], rendered.files[format] ?? Buffer.alloc(0)]);
    }
    await sql.execute("update watershed.report_run set state = 'delivering' where id = $1", [run.id]);
  });
}

async function render(
  ask: Ask, report: Pick<Report, 'layout' | 'parameters' | 'owner'>, at: number, formats: readonly ReportFormat[], signal: AbortSignal,
): Promise<RenderedReport> {
  const layout = layoutOf(report.layout);
  const hours = report.parameters.hours ?? layout.hours;
  const parameters: Parameters = { event: report.parameters.event ?? '', period: { from: at - hours * 3_600_000, to: at } };
  const answers: Record<string, Rows> = {};
  for (const [name, sql] of Object.entries(layout.questions(parameters))) answers[name] = await ask(report.owner, sql, signal);
  return await renderReport(layout, parameters, answers, formats);
}

function layoutOf(name: string): Layout {
  const layout = layouts.find((candidate) => candidate.name === name);
  if (layout !== undefined) return layout;
  throw new WatershedError('not_found', `there is no layout ${name}`, { hint: `Layouts are ${layouts.map((known) => known.name).join(', ')}.` });
}

interface DeliveryRow extends Delivery {
  readonly position: number;
  readonly key: string;
  readonly state: 'pending' | 'sending';
  readonly attempts: number;
}

async function deliver(options: ReportJobOptions, run: Run, signal: AbortSignal): Promise<void> {
  const { database, clock } = options;
  const waiting = await database.query<DeliveryRow>(
    "select position, kind, target, format, key, state, attempts from watershed.report_delivery where run_id = $1 and state in ('pending', 'sending') order by position", [run.id]);
  for (const delivery of waiting) {
    signal.throwIfAborted();
    await deliverOne(options, run, delivery, signal);
  }
  const [left] = await database.query<{ open: bigint; failed: bigint; error: string | null }>(
    `select count(*) filter (where state in ('pending', 'sending')) as open, count(*) filter (where state = 'failed') as failed, max(error) as error
     from watershed.report_delivery where run_id = $1`, [run.id]);
  if (left !== undefined && left.open > 0n) throw new WatershedError('unavailable', left.error ?? 'a recipient was not reached');
  await database.execute('update watershed.report_run set state = $2, error = $3, finished_at = $4 where id = $1',
    [run.id, left !== undefined && left.failed > 0n ? 'failed' : 'done', left?.error ?? null, new Date(clock.now())]);
}

async function deliverOne({ database, clock, send }: ReportJobOptions, run: Run, delivery: DeliveryRow, signal: AbortSignal): Promise<void> {
  const { definition } = run;
  const [file] = await database.query<{ content_type: string; bytes: Buffer }>(
    'select content_type, bytes from watershed.report_output where run_id = $1 and format = $2', [run.id, delivery.format]);
  if (file === undefined) throw new WatershedError('corrupt', `run ${run.id} has lost its ${delivery.format}`);
  const where = 'where run_id = $1 and position = $2';
  // `sending` from before: a process died between handing it over and writing it down. Mail cannot tell; a webhook
  // knows the key.
  const twice = delivery.state === 'sending' && delivery.kind === 'mail';
  await database.execute(`update watershed.report_delivery set state = 'sending', attempts = attempts + 1, perhaps_twice = perhaps_twice or $3 ${where}`,
    [run.id, delivery.position, twice]);
  try {
    await send({
      kind: delivery.kind, target: delivery.target, key: delivery.key, title: `${definition.name}, ${run.slot.toISOString().slice(0, 16).replace('T', ' ')} UTC`,
      fileName: fileName(definition.id, run.slot.getTime(), delivery.format), contentType: file.content_type, bytes: file.bytes, secret: definition.secret,
    }, signal);
  } catch (error) {
    const unsure = isWatershedError(error, 'commit_unknown');
    const final = isFinal(error) || delivery.attempts + 1 >= attemptsMax;
    await database.execute(`update watershed.report_delivery set state = $3, error = $4, perhaps_twice = perhaps_twice or $5 ${where}`,
      [run.id, delivery.position, final ? 'failed' : 'pending', messageOf(error), unsure && !final]);
    return;
  }
  await database.execute(`update watershed.report_delivery set state = 'sent', error = null, sent_at = $3 ${where}`,
    [run.id, delivery.position, new Date(clock.now())]);
}

/** Asks `POST /api/sql` of the server at `url`; `tokenOf` gives the token that stands for an owner. */
export function askOverHttp({ url, tokenOf }: { url: () => string; tokenOf: (owner: string) => Promise<string> }): Ask {
  return async (owner, sql, signal) => {
    const response = await fetch(`${url()}/api/sql`, {
      method: 'POST', signal, headers: { authorization: `Bearer ${await tokenOf(owner)}`, 'content-type': 'application/json' },
      // More rows than a person reads in a report are an error of the layout, not a reason to run out of memory.
      body: JSON.stringify({ sql, limits: { rows: 10_000, timeoutMs: 60_000 } }),
    }).catch((cause: unknown) => { throw new WatershedError('unavailable', 'the SQL door does not answer', { cause }); });
    const body: unknown = await response.json().catch(() => undefined);
    if (!response.ok) throw refusal(response.status, body);
    if (isAnswer(body)) return { columns: body.columns.map(({ name }) => name), rows: body.rows };
    throw new WatershedError('unavailable', 'the SQL door broke off its answer');
  };
}

interface Answer {
  readonly columns: readonly { readonly name: string }[];
  readonly rows: readonly (readonly Cell[])[];
}

function isAnswer(body: unknown): body is Answer {
  return typeof body === 'object' && body !== null && 'columns' in body && Array.isArray(body.columns) && 'rows' in body && Array.isArray(body.rows)
    && !('error' in body);
}

function refusal(status: number, body: unknown): WatershedError {
  const detail = typeof body === 'object' && body !== null && 'detail' in body ? String(body.detail) : `status ${status}`;
  const code = status === 401 ? 'unauthorized' : status === 403 ? 'forbidden' : status >= 500 || status === 429 ? 'unavailable' : 'statement_failed';
  return new WatershedError(code, `the SQL door refuses a question of the report: ${detail}`);
}
