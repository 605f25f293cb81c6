import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import type { Told } from '#core/reports/alerts.ts';
import { type Delivery, type DeliveryFormat, fileName } from '#core/reports/delivery.ts';
import type { Definition } from '#core/reports/reports.ts';
import type { RunKind } from '#core/reports/runs.ts';
import { keyOf, type Store } from '#core/store/store.ts';
import { alertTitle } from '#dashboards/reports/alert.ts';
import type { Send } from './report-send.ts';

/** A run that this process has taken. `attempts` is its fence: whoever takes it later has a higher one. */
export interface Run {
  readonly id: bigint;
  readonly slot: Date;
  readonly kind: RunKind;
  readonly definition: Definition | Told;
  readonly state: 'planned' | 'delivering';
  readonly attempts: number;
}

export interface RenderedFile {
  readonly format: DeliveryFormat;
  readonly contentType: string;
  readonly bytes: Buffer;
}

export interface RunsOptions {
  readonly database: Database;
  readonly clock: Clock;
  readonly send: Send;
  /** The files of a run, or why nothing is to be sent. */
  readonly render: (run: Run, signal: AbortSignal) => Promise<{ readonly files: readonly RenderedFile[] } | { readonly unmet: string }>;
}

// With the waits below some three hours and a half: as long as a mail server may be away before a person must look.
const attemptsMax = 12;
// As long as a step (rendering, one recipient) may take before another process may think that its worker is dead.
const leaseMs = 15 * 60_000;
const waitMsMax = 30 * 60_000;
const backoffMs = (attempt: number): number => Math.min(waitMsMax, 15_000 * 2 ** attempt);
// One that hangs does not hold up the others.
const recipientsAtOnce = 4;

/**
 * Takes the run that waits longest, those of alerts first, and works on it; false where none waits. Each step renews
 * the lease; a process that lost it stops before it sends anything more.
 */
export async function workOnRun(options: RunsOptions, signal: AbortSignal): Promise<boolean> {
  const { database, clock } = options;
  const now = clock.now();
  // Nothing is put off further than `waitMsMax`: what seems to be is of a clock that was turned back since. What an
  // alert told first is told before what it told later.
  const [run] = await database.query<Run>(
    `update watershed.report_run set attempts = attempts + 1, not_before = $2 where id = (
       select r.id from watershed.report_run r
       where r.state in ('planned', 'delivering') and (r.not_before <= $1 or r.not_before > $3) and not exists (
         select from watershed.report_run earlier where earlier.alert_id = r.alert_id and earlier.id < r.id
           and earlier.state in ('planned', 'delivering'))
       order by r.alert_id is null, r.slot, r.id limit 1 for update of r skip locked)
     returning id, slot, kind, definition, state, attempts`, [new Date(now), new Date(now + leaseMs), new Date(now + waitMsMax + 60_000)]);
  if (run === undefined) return false;
  try {
    if (run.state === 'delivering' || await renderRun(options, run, signal)) await deliver(options, run, signal);
  } catch (error) {
    if (isWatershedError(error, 'fenced')) return true;
    const at = clock.now();
    // Being stopped is no failure of the report: it goes on at the next start.
    const again = signal.aborted ? at : run.attempts < attemptsMax && !isFinal(error) ? at + backoffMs(run.attempts) : undefined;
    await database.execute(
      `update watershed.report_run set error = $3, not_before = coalesce($4, not_before), state = case when $4::timestamptz is null then 'failed' else state end,
         finished_at = case when $4::timestamptz is null then $5::timestamptz end where id = $1 and attempts = $2`,
      [run.id, run.attempts, messageOf(error), again === undefined ? null : new Date(again), new Date(at)]);
  }
  return true;
}

/** A statement that the guard refuses or the lake does not understand will not be better in a minute. */
function isFinal(error: unknown): boolean {
  return ['bad_request', 'statement_refused', 'statement_failed', 'not_found', 'forbidden', 'unauthorized'].some((code) =>
    isWatershedError(error) && error.code === code);
}

function fenced(run: Run): WatershedError {
  return new WatershedError('fenced', `another process works on run ${run.id}`);
}

/** False where there is nothing to deliver. */
async function renderRun({ database, clock, render }: RunsOptions, run: Run, signal: AbortSignal): Promise<boolean> {
  const rendered = await render(run, signal);
  return await database.transaction(async (sql) => {
    const unmet = 'unmet' in rendered ? rendered.unmet : null;
    const held = await sql.execute(
      `update watershed.report_run set state = $3, note = $4, not_before = $5, error = null, finished_at = case when $4::text is null then null else $6::timestamptz end
       where id = $1 and attempts = $2 and state = 'planned'`,
      [run.id, run.attempts, unmet === null ? 'delivering' : 'unmet', unmet, new Date(clock.now() + leaseMs), new Date(clock.now())]);
    if (held === 0) throw fenced(run);
    if ('unmet' in rendered) {
      await sql.execute('delete from watershed.report_delivery where run_id = $1', [run.id]);
      return false;
    }
    for (const { format, contentType, bytes } of rendered.files) {
      await sql.execute('insert into watershed.report_output (run_id, format, content_type, bytes) values ($1, $2, $3, $4) on conflict do nothing',
        [run.id, format, contentType, bytes]);
    }
    return true;
  });
}

interface DeliveryRow extends Delivery {
  readonly position: number;
  readonly key: string;
  readonly state: 'pending' | 'sending';
  readonly attempts: number;
}

async function deliver(options: RunsOptions, run: Run, signal: AbortSignal): Promise<void> {
  const { database, clock } = options;
  const waiting = await database.query<DeliveryRow>(
    "select position, kind, target, format, key, state, attempts from watershed.report_delivery where run_id = $1 and state in ('pending', 'sending') order by position", [run.id]);
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      signal.throwIfAborted();
      await deliverOne(options, run, next, signal);
    }
  };
  const outcomes = await Promise.allSettled(Array.from({ length: recipientsAtOnce }, worker));
  for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
  const [left] = await database.query<{ open: bigint; failed: bigint; error: string | null }>(
    `select count(*) filter (where state in ('pending', 'sending')) as open, count(*) filter (where state = 'failed') as failed, max(error) as error
     from watershed.report_delivery where run_id = $1`, [run.id]);
  if (left !== undefined && left.open > 0n) throw new WatershedError('unavailable', left.error ?? 'a recipient was not reached');
  await database.execute('update watershed.report_run set state = $3, error = $4, finished_at = $5 where id = $1 and attempts = $2',
    [run.id, run.attempts, left !== undefined && left.failed > 0n ? 'failed' : 'done', left?.error ?? null, new Date(clock.now())]);
}

async function deliverOne({ database, clock, send }: RunsOptions, run: Run, delivery: DeliveryRow, signal: AbortSignal): Promise<void> {
  const { definition } = run;
  const [file] = await database.query<{ content_type: string; bytes: Buffer }>(
    'select content_type, bytes from watershed.report_output where run_id = $1 and format = $2', [run.id, delivery.format]);
  if (file === undefined) throw new WatershedError('not_found', `run ${run.id} has no ${delivery.format} any more`);
  // `sending` from before: a process died between handing it over and writing it down. Mail cannot tell; a webhook
  // knows the key, and the store keeps one object under one name.
  const twice = delivery.state === 'sending' && delivery.kind === 'mail';
  const held = await database.execute(
    `with held as (update watershed.report_run set not_before = $4 where id = $1 and attempts = $3 returning id)
     update watershed.report_delivery set state = 'sending', attempts = attempts + 1, perhaps_twice = perhaps_twice or $5
     where run_id = $1 and position = $2 and state in ('pending', 'sending') and exists (select from held)`,
    [run.id, delivery.position, run.attempts, new Date(clock.now() + leaseMs), twice]);
  if (held === 0) throw fenced(run);
  const name = fileName(definition.id, run.slot.getTime(), delivery.format);
  const where = 'where run_id = $1 and position = $2';
  try {
    const location = await send({
      kind: delivery.kind, target: delivery.target, key: delivery.key, title: titleOf(run),
      fileName: run.kind === 'test' ? `test-${run.id}-${name}` : name, contentType: file.content_type, bytes: file.bytes, secret: definition.secret,
      ...('detail' in definition ? { text: definition.detail } : {}),
    }, signal);
    await database.execute(`update watershed.report_delivery set state = 'sent', error = null, sent_at = $3, location = $4 ${where}`,
      [run.id, delivery.position, new Date(clock.now()), location ?? null]);
  } catch (error) {
    const unsure = isWatershedError(error, 'commit_unknown');
    const final = isFinal(error) || delivery.attempts + 1 >= attemptsMax;
    await database.execute(`update watershed.report_delivery set state = $3, error = $4, perhaps_twice = perhaps_twice or $5 ${where}`,
      [run.id, delivery.position, final ? 'failed' : 'pending', messageOf(error), unsure]);
  }
}

function titleOf({ definition, slot, kind }: Run): string {
  if ('detail' in definition) return alertTitle(definition);
  return `${kind === 'test' ? 'Test: ' : ''}${definition.name}, ${slot.toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}

// What an alert told is short; it stays as long as reports do by default.
const alertKeepDays = 90;

/**
 * Deletes what is older than its report keeps, here and in the object store. The history stays. Returns how many runs.
 */
export async function deleteOld({ database, clock, store }: { database: Database; clock: Clock; store: Store }): Promise<number> {
  const old = await database.query<{ id: bigint; locations: string[] | null }>(
    `select r.id, (select array_agg(location) from watershed.report_delivery where run_id = r.id and location is not null) as locations
     from watershed.report_run r left join watershed.report p on p.id = r.report_id
     where r.finished_at < $1::timestamptz - make_interval(days => coalesce(p.keep_days, $2))
       and (exists (select from watershed.report_output where run_id = r.id)
         or exists (select from watershed.report_delivery where run_id = r.id and location is not null))
     order by r.id limit 1000`, [new Date(clock.now()), alertKeepDays]);
  for (const { id, locations } of old) {
    for (const location of locations ?? []) {
      const key = keyOf(store, location);
      if (key !== undefined) await store.delete(key);
    }
    await database.execute('update watershed.report_delivery set location = null where run_id = $1 and location is not null', [id]);
    await database.execute('delete from watershed.report_output where run_id = $1', [id]);
  }
  return old.length;
}
