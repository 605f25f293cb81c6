import type { Sql } from '../database/database.ts';
import { WatershedError } from '../errors.ts';
import { type Delivery, fileName } from './delivery.ts';

export type RunKind = 'scheduled' | 'test' | 'begun' | 'over';

/** What was sent to whom, as the API shows it. */
export interface RunView {
  readonly id: string;
  /** Of the report, or of the alert. */
  readonly reportId: string;
  readonly slot: string;
  readonly version: number;
  readonly kind: RunKind;
  /** `skipped`: missed, and the report's rule lets it go; `unmet`: its condition did not hold. */
  readonly state: 'planned' | 'delivering' | 'done' | 'failed' | 'skipped' | 'unmet';
  readonly error: string | null;
  readonly note: string | null;
  readonly finishedAt: string | null;
  readonly formats: readonly string[];
  readonly deliveries: readonly {
    readonly kind: string; readonly target: string; readonly format: string; readonly state: string; readonly attempts: number;
    readonly perhapsTwice: boolean; readonly error: string | null; readonly sentAt: string | null; readonly location: string | null;
  }[];
}

export interface NewRun {
  readonly of: { readonly report: string } | { readonly alert: string };
  readonly slot: number;
  readonly version: number;
  readonly kind: RunKind;
  /** What it is made from, as it is now: later changes do not touch this run. */
  readonly definition: { readonly deliveries: readonly Delivery[] };
  /** False where the slot is only written down as left out. */
  readonly run: boolean;
  readonly now: Date;
}

/** The run and its recipients, before anything of it is done. Undefined where the slot has its run already. */
export async function insertRun(sql: Sql, { of, slot, version, kind, definition, run, now }: NewRun): Promise<string | undefined> {
  const [report, alert, owner] = 'report' in of ? [of.report, null, of.report] : [null, of.alert, `alert/${of.alert}`];
  const [row] = await sql.query<{ id: bigint }>(
    `insert into watershed.report_run (report_id, alert_id, slot, version, kind, definition, state, not_before, created_at, finished_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $8, $9) on conflict do nothing returning id`,
    [report, alert, new Date(slot), version, kind, JSON.stringify(definition), run ? 'planned' : 'skipped', now, run ? null : now]);
  if (row === undefined) return undefined;
  if (!run) return String(row.id);
  const what = kind === 'test' ? `test-${row.id}` : kind === 'scheduled' ? version : kind;
  for (const [position, delivery] of definition.deliveries.entries()) {
    await sql.execute(
      `insert into watershed.report_delivery (run_id, position, kind, target, format, key, state) values ($1, $2, $3, $4, $5, $6, 'pending')`,
      [row.id, position, delivery.kind, delivery.target, delivery.format, `${owner}/${new Date(slot).toISOString()}/${what}/${position}`]);
  }
  return String(row.id);
}

/** The runs of a report or an alert, newest first. */
export async function listRuns(sql: Sql, of: { readonly report: string } | { readonly alert: string }, limit: number): Promise<RunView[]> {
  const [column, id] = 'report' in of ? ['report_id', of.report] : ['alert_id', of.alert];
  const rows = await sql.query<{
    id: bigint; slot: Date; version: number; kind: RunKind; state: RunView['state']; error: string | null; note: string | null;
    finished_at: Date | null; formats: string[] | null; deliveries: RunView['deliveries'] | null;
  }>(
    `select r.id, r.slot, r.version, r.kind, r.state, r.error, r.note, r.finished_at,
       (select jsonb_agg(format order by format) from watershed.report_output where run_id = r.id) as formats,
       (select jsonb_agg(jsonb_build_object('kind', kind, 'target', target, 'format', format, 'state', state, 'attempts', attempts,
          'perhapsTwice', perhaps_twice, 'error', error, 'sentAt', sent_at, 'location', location) order by position)
        from watershed.report_delivery where run_id = r.id) as deliveries
     from watershed.report_run r where r.${column} = $1 order by r.slot desc, r.id desc limit $2`, [id, limit]);
  return rows.map((row) => ({
    id: String(row.id), reportId: id, slot: row.slot.toISOString(), version: row.version, kind: row.kind, state: row.state, error: row.error,
    note: row.note, finishedAt: row.finished_at?.toISOString() ?? null, formats: row.formats ?? [], deliveries: row.deliveries ?? [],
  }));
}

/** The file of a run. Throws `not_found`, also for one that is older than its report keeps files. */
export async function runOutput(sql: Sql, runId: string, format: string): Promise<{ contentType: string; bytes: Buffer; name: string }> {
  const [row] = await sql.query<{ content_type: string; bytes: Buffer; owner: string; slot: Date }>(
    `select o.content_type, o.bytes, coalesce(r.report_id, r.alert_id) as owner, r.slot from watershed.report_output o
     join watershed.report_run r on r.id = o.run_id where o.run_id = $1 and o.format = $2`, [requireNumber(runId), format]);
  if (row === undefined) throw new WatershedError('not_found', `run ${runId} has no ${format}, or it is kept no longer`);
  return { contentType: row.content_type, bytes: row.bytes, name: fileName(row.owner, row.slot.getTime(), format) };
}

export function requireNumber(id: string): string {
  if (/^\d{1,18}$/.test(id)) return id;
  throw new WatershedError('not_found', `there is no run ${id}`);
}
