import type { Clock } from '../clock.ts';
import type { CollectorName, CrisisEvent, EventStatus } from '../contract/event.ts';
import type { Rule } from '../contract/event.ts';
import { encodeRecord } from '../contract/records.ts';
import type { Database, Sql } from '../database/database.ts';
import { isWatershedError, WatershedError } from '../errors.ts';
import { parseRule, requireSubject } from '../match/rule.ts';
import { slugOf } from './slug.ts';

export interface EventInput {
  readonly name: string;
  readonly description?: string;
  readonly sources: readonly CollectorName[];
  readonly rule: Rule;
  readonly start?: string | null;
  readonly end?: string | null;
}

export type EventChange = 'created' | 'edited' | 'paused' | 'resumed' | 'archived' | 'restored' | 'deleted';

export interface HistoryEntry {
  readonly version: number;
  readonly at: string;
  readonly by: string;
  readonly change: string;
  readonly from: unknown;
  readonly to: unknown;
}

/**
 * The events that are followed. Each change is one transaction: the new state, a row of history and a record for topic
 * `events`, which the outbox carries to the log. Errors: `already_exists` (the name), `not_found`, `conflict` (somebody
 * changed it first: `expectedVersion` is no longer the current one), `bad_request` (a rule that could never match).
 */
export interface Registry {
  create(input: EventInput, by: string, id?: string): Promise<CrisisEvent>;
  edit(id: string, changes: Partial<EventInput>, by: string, expectedVersion?: number): Promise<CrisisEvent>;
  setStatus(id: string, change: 'paused' | 'resumed' | 'archived' | 'restored', by: string): Promise<CrisisEvent>;
  /** Hidden at once; its id is never given again. `name` must be the event's: a slip of the hand deletes nothing. */
  remove(id: string, name: string, by: string): Promise<void>;
  list(): Promise<CrisisEvent[]>;
  get(id: string): Promise<CrisisEvent>;
  history(id: string): Promise<HistoryEntry[]>;
}

/** The channel on which every change is told to whoever listens, with the event's id. */
export const eventsChannel = 'watershed_events';

type State = Omit<CrisisEvent, 'id' | 'version' | 'createdAt' | 'createdBy' | 'updatedAt' | 'updatedBy'>;
interface Row {
  readonly id: string; readonly state: State; readonly version: number;
  readonly created_at: Date; readonly created_by: string; readonly updated_at: Date; readonly updated_by: string;
}

export function createRegistry({ database, clock }: { database: Database; clock: Clock }): Registry {
  const change = (id: string, by: string, kind: EventChange, next: (state: State) => State, expectedVersion?: number): Promise<CrisisEvent> =>
    database.transaction(async (sql) => {
      const row = await locked(sql, id);
      if (expectedVersion !== undefined && expectedVersion !== row.version) {
        throw new WatershedError('conflict', `event ${id} was changed by ${row.updated_by} since you read it`, {
          hint: 'read it again and repeat your change on what is there now', retryable: false,
        });
      }
      const state = next(row.state);
      check(state);
      return write(sql, { ...row, state, version: row.version + 1, updated_at: new Date(clock.now()), updated_by: by }, kind, row.state);
    }).catch(explainName);
  return {
    create: (input, by, wantedId) => database.transaction(async (sql) => {
      const state: State = {
        name: input.name.trim(), description: input.description ?? '', status: 'active', sources: [...input.sources],
        rule: input.rule, start: input.start ?? null, end: input.end ?? null,
      };
      check(state);
      await sql.execute('lock table watershed.event in share row exclusive mode');
      const taken = new Set((await sql.query<{ id: string }>('select id from watershed.event')).map(({ id }) => id));
      await requireFreeName(sql, state.name);
      const at = new Date(clock.now());
      const id = slugOf(wantedId ?? state.name, (candidate) => taken.has(candidate));
      return write(sql, { id, state, version: 1, created_at: at, created_by: by, updated_at: at, updated_by: by }, 'created', undefined);
    }),
    edit: (id, changes, by, expectedVersion) => change(id, by, 'edited', (state) => ({ ...state, ...defined(changes) }), expectedVersion),
    setStatus: (id, kind, by) => change(id, by, kind, (state) => ({ ...state, status: statusAfter(id, state.status, kind) })),
    remove: (id, name, by) => database.transaction(async (sql) => {
      const row = await locked(sql, id);
      if (row.state.name !== name) {
        throw new WatershedError('bad_request', `deleting event ${id} asks for its name, and "${name}" is not it`, {
          hint: `give the name exactly as it is: ${row.state.name}`,
        });
      }
      await write(sql, { ...row, version: row.version + 1, updated_at: new Date(clock.now()), updated_by: by }, 'deleted', row.state);
    }),
    list: async () => (await database.query<Row>('select * from watershed.event where deleted_at is null order by created_at, id')).map(shown),
    get: async (id) => shown(await found(database, id)),
    async history(id) {
      const rows = await database.query<{ version: number; at: Date; by: string; change: string; before: unknown; after: unknown }>(
        'select version, at, by, change, before, after from watershed.event_history where event_id = $1 order by version', [id]);
      if (rows.length === 0) throw missing(id);
      return rows.map((row) => ({
        version: row.version, at: row.at.toISOString(), by: row.by, change: row.change, from: row.before, to: row.after }));
    },
  };
}

function check(state: State): void {
  if (state.name === '') throw new WatershedError('bad_request', 'an event needs a name');
  if (state.start !== null && state.end !== null && Date.parse(state.start) >= Date.parse(state.end)) {
    throw new WatershedError('bad_request', `the event would end (${state.end}) before it starts (${state.start})`);
  }
  const rule = parseRule(state.rule);
  if (state.sources.some((source) => source !== 'replay')) requireSubject(rule);
}

function statusAfter(id: string, status: EventStatus, change: 'paused' | 'resumed' | 'archived' | 'restored'): EventStatus {
  const wanted = { paused: 'paused', resumed: 'active', archived: 'archived', restored: 'paused' } as const;
  const allowed: Readonly<Record<typeof change, readonly EventStatus[]>> = {
    paused: ['active', 'paused'], resumed: ['paused', 'active'], archived: ['active', 'paused', 'archived'], restored: ['archived'] };
  if (!allowed[change].includes(status)) {
    throw new WatershedError('conflict', `event ${id} is ${status} and cannot be ${change}`, {
      hint: status === 'archived' ? 'restore it first' : 'nothing to do', retryable: false,
    });
  }
  return wanted[change];
}

async function write(sql: Sql, row: Row, change: EventChange, before: State | undefined): Promise<CrisisEvent> {
  const { id, state, version, updated_by: by, updated_at: at } = row;
  const deleted = change === 'deleted';
  await sql.execute(
    `insert into watershed.event (id, name, state, version, created_at, created_by, updated_at, updated_by, deleted_at, deleted_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     on conflict (id) do update set name = excluded.name, state = excluded.state, version = excluded.version,
       updated_at = excluded.updated_at, updated_by = excluded.updated_by, deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by`,
    [id, state.name, JSON.stringify(state), version, row.created_at, row.created_by, at, by, deleted ? at : null, deleted ? by : null]);
  await sql.execute(
    'insert into watershed.event_history (event_id, version, at, by, change, before, after) values ($1, $2, $3, $4, $5, $6, $7)',
    [id, version, at, by, change, before === undefined ? null : JSON.stringify(before), deleted ? null : JSON.stringify(state)]);
  await sql.execute('insert into watershed.outbox (topic, record) values ($1, $2)', ['events', encodeRecord('events', {
    event_id: id, version, name: state.name, description: state.description, status: deleted ? 'deleted' : state.status,
    sources: state.sources, rule: JSON.stringify(state.rule), start_at: state.start, end_at: state.end, action: change,
    changed_by: by, changed_at: at,
  })]);
  await sql.query('select pg_notify($1, $2)', [eventsChannel, id]);
  return shown(row);
}

async function requireFreeName(sql: Sql, name: string): Promise<void> {
  const [other] = await sql.query<{ id: string }>(
    'select id from watershed.event where lower(name) = lower($1) and deleted_at is null', [name]);
  if (other === undefined) return;
  throw new WatershedError('already_exists', `there is an event named "${name}" already: ${other.id}`, {
    hint: 'edit that one, or choose another name',
  });
}

async function locked(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql.query<Row>('select * from watershed.event where id = $1 and deleted_at is null for update', [id]);
  if (row === undefined) throw missing(id);
  return row;
}

async function found(sql: Sql, id: string): Promise<Row> {
  const [row] = await sql.query<Row>('select * from watershed.event where id = $1 and deleted_at is null', [id]);
  if (row === undefined) throw missing(id);
  return row;
}

function missing(id: string): WatershedError {
  return new WatershedError('not_found', `there is no event ${id}`, { hint: '`watershed events list` names them' });
}

function explainName(error: unknown): never {
  if (isWatershedError(error, 'already_exists')) {
    throw new WatershedError('already_exists', 'there is an event of that name already', { hint: 'choose another name', cause: error });
  }
  throw error;
}

function defined<T extends object>(changes: T): Partial<T> {
  return Object.fromEntries(Object.entries(changes).filter(([, value]) => value !== undefined)) as Partial<T>; // only keys of T
}

function shown(row: Row): CrisisEvent {
  const { id, state, version } = row;
  return {
    id, ...state, version, createdAt: row.created_at.toISOString(), createdBy: row.created_by,
    updatedAt: row.updated_at.toISOString(), updatedBy: row.updated_by,
  };
}
