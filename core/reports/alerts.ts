import { randomBytes } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { Condition } from '../contract/condition.ts';
import type { Database, Sql } from '../database/database.ts';
import { WatershedError } from '../errors.ts';
import { slugOf } from '../events/slug.ts';
import { checkCondition, type Verdict } from './condition.ts';
import { checkDeliveries, type Delivery } from './delivery.ts';
import { insertRun, listRuns, type RunView } from './runs.ts';

/** Who is told. Mail is a page, a webhook gets JSON. */
export interface Recipient {
  readonly kind: 'mail' | 'webhook';
  readonly target: string;
}

export interface AlertInput {
  readonly name: string;
  readonly condition: Condition;
  /** So long a change must last before it is told, minutes. Default 0. */
  readonly forMinutes?: number;
  readonly recipients: readonly Recipient[];
}

export interface Alert extends Required<AlertInput> {
  readonly id: string;
  /** Whose rights the question is asked with. */
  readonly owner: string;
  readonly status: 'active' | 'paused';
  readonly version: number;
  /** Signs webhooks: not for answers to readers. */
  readonly secret: string;
  /** Since when it holds, as it was told; null while it does not. */
  readonly firingSince: string | null;
  readonly checkedAt: string | null;
  /** What was seen last. */
  readonly detail: string | null;
  /** Why it could not be looked at, the last time. */
  readonly error: string | null;
}

/** What a run of an alert keeps: all that is told. */
export interface Told {
  readonly id: string;
  readonly name: string;
  readonly secret: string;
  readonly condition: Condition;
  readonly deliveries: readonly Delivery[];
  readonly state: 'begun' | 'over' | 'test';
  readonly at: string;
  readonly since: string;
  readonly detail: string;
}

interface Row {
  readonly id: string; readonly name: string; readonly owner: string; readonly condition: Condition; readonly for_minutes: number;
  readonly deliveries: readonly Recipient[]; readonly secret: string; readonly status: Alert['status']; readonly version: number;
  readonly firing_since: Date | null; readonly changing_since: Date | null; readonly checked_at: Date | null;
  readonly detail: string | null; readonly error: string | null;
}

/**
 * Alerts: a condition that is looked at each minute, told once when it begins and once when it is over.
 *
 *     quiet ──holds for `forMinutes`──▶ firing    tells "begun"
 *     firing ──does not for `forMinutes`──▶ quiet    tells "over"
 *
 * The change and the run that tells it are one transaction; the run is delivered as those of reports are.
 * Errors: `not_found`, `bad_request`.
 */
export interface Alerts {
  list(): Promise<Alert[]>;
  get(id: string): Promise<Alert>;
  create(input: AlertInput, by: string): Promise<Alert>;
  edit(id: string, changes: Partial<AlertInput> & { readonly status?: 'active' | 'paused' }, by: string): Promise<Alert>;
  remove(id: string, by: string): Promise<void>;
  /** Tells what is seen now, as a test. */
  test(id: string, verdict: Verdict): Promise<string>;
  runs(id: string, limit: number): Promise<RunView[]>;
  /** Notes what was seen at `at`. A verdict on another version, or an older one, changes nothing. True where it is told. */
  observe(alert: Pick<Alert, 'id' | 'version'>, verdict: Verdict, at: number): Promise<boolean>;
  /** Notes that it could not be looked at; its state stays. */
  failed(id: string, error: string, at: number): Promise<void>;
}

// Two processes may look at the same moment and answer in either order; a clock that was turned back by more is news.
const olderMs = 5 * 60_000;

export function createAlerts({ database, clock }: { database: Database; clock: Clock }): Alerts {
  const now = (): Date => new Date(clock.now());
  return {
    list: async () => (await database.query<Row>('select * from watershed.alert where deleted_at is null order by id')).map(shown),
    get: async (id) => shown(await found(database, id)),
    create: (input, by) => database.transaction(async (sql) => {
      check(input);
      await sql.execute('lock table watershed.alert in share row exclusive mode');
      const taken = new Set((await sql.query<{ id: string }>('select id from watershed.alert')).map(({ id }) => id));
      const id = slugOf(input.name, (candidate) => taken.has(candidate));
      await sql.execute(
        `insert into watershed.alert (id, name, owner, condition, for_minutes, deliveries, secret, status, version, created_at, updated_at, updated_by)
         values ($1, $2, $3, $4, $5, $6, $7, 'active', 1, $8, $8, $3)`,
        [id, input.name, by, JSON.stringify(input.condition), input.forMinutes ?? 0, JSON.stringify(input.recipients), randomBytes(32).toString('base64url'), now()]);
      return shown(await found(sql, id));
    }),
    edit: (id, changes, by) => database.transaction(async (sql) => {
      const next = { ...shown(await found(sql, id, 'for update')), ...changes };
      check(next);
      await sql.execute(
        `update watershed.alert set name = $2, condition = $3, for_minutes = $4, deliveries = $5, status = $6, version = version + 1,
           changing_since = null, error = null, updated_at = $7, updated_by = $8, owner = $8 where id = $1`,
        [id, next.name, JSON.stringify(next.condition), next.forMinutes, JSON.stringify(next.recipients), next.status, now(), by]);
      return shown(await found(sql, id));
    }),
    async remove(id, by) {
      await found(database, id);
      await database.execute('update watershed.alert set deleted_at = $2, updated_by = $3 where id = $1', [id, now(), by]);
    },
    test: (id, verdict) => database.transaction(async (sql) =>
      await tell(sql, await found(sql, id), 'test', now(), now(), verdict.detail) ?? ''),
    async runs(id, limit) {
      await found(database, id);
      return listRuns(database, { alert: id }, limit);
    },
    observe: ({ id, version }, verdict, at) => database.transaction((sql) => observe(sql, id, version, verdict, at)),
    async failed(id, error, at) {
      await database.execute('update watershed.alert set error = $2, checked_at = $3 where id = $1', [id, error, new Date(at)]);
    },
  };
}

async function observe(sql: Sql, id: string, version: number, { holds, detail }: Verdict, at: number): Promise<boolean> {
  const [row] = await sql.query<Row>(
    "select * from watershed.alert where id = $1 and version = $2 and status = 'active' and deleted_at is null for update", [id, version]);
  if (row === undefined) return false;
  const behindMs = (row.checked_at?.getTime() ?? 0) - at;
  if (behindMs > 0 && behindMs < olderMs) return false;
  const told = row.firing_since !== null;
  const since = row.changing_since === null || row.changing_since.getTime() > at ? new Date(at) : row.changing_since;
  const lasts = at - since.getTime() >= row.for_minutes * 60_000;
  const changes = holds !== told && lasts;
  const firing = changes ? (holds ? since : null) : row.firing_since;
  await sql.execute(
    'update watershed.alert set firing_since = $2, changing_since = $3, checked_at = $4, detail = $5, error = null where id = $1',
    [id, firing, holds === told || changes ? null : since, new Date(at), detail]);
  if (!changes) return false;
  await tell(sql, row, holds ? 'begun' : 'over', new Date(at), row.firing_since ?? since, detail);
  return true;
}

async function tell(sql: Sql, row: Row, state: Told['state'], at: Date, since: Date, detail: string): Promise<string | undefined> {
  const { id, name, secret, condition, version } = row;
  const definition: Told = {
    id, name, secret, condition, state, at: at.toISOString(), since: since.toISOString(), detail,
    deliveries: row.deliveries.map(({ kind, target }) => ({ kind, target, format: kind === 'webhook' ? 'json' : 'html' })),
  };
  return insertRun(sql, { of: { alert: id }, slot: at.getTime(), version, kind: state, definition, run: true, now: at });
}

async function found(sql: Sql, id: string, lock = ''): Promise<Row> {
  const [row] = await sql.query<Row>(`select * from watershed.alert where id = $1 and deleted_at is null ${lock}`, [id]);
  if (row === undefined) throw new WatershedError('not_found', `there is no alert ${id}`);
  return row;
}

function shown(row: Row): Alert {
  return {
    id: row.id, name: row.name, owner: row.owner, condition: row.condition, forMinutes: row.for_minutes, recipients: row.deliveries,
    status: row.status, version: row.version, secret: row.secret, firingSince: row.firing_since?.toISOString() ?? null,
    checkedAt: row.checked_at?.toISOString() ?? null, detail: row.detail, error: row.error,
  };
}

function check(input: AlertInput): void {
  checkCondition(input.condition);
  checkDeliveries(input.recipients.map((recipient) => ({ ...recipient, format: 'html' })));
}
