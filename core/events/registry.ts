import type { Clock } from '../clock.ts';
import type { CrisisEvent, EventStatus, HistoryEntry } from '../contract/event.ts';
import { encodeRecord } from '../contract/records.ts';
import type { Database, Sql } from '../database/database.ts';
import { isWatershedError, WatershedError } from '../errors.ts';
import { slugOf } from './slug.ts';
import { changeTo, normalise, sameState, statusAfter, type EventInput, type State, type StatusChange } from './state.ts';

type EventChange = 'created' | 'edited' | StatusChange | 'deleted';

/**
 * The events that are followed. Each change is one transaction: the new state, a row of history and a record for topic
 * `events`, which the outbox carries to the log. Errors: `already_exists` (the name), `not_found`, `conflict` (somebody
 * changed it first: `expectedVersion` is no longer the current one), `bad_request` (a rule that could never match).
 */
export interface Registry {
  create(input: EventInput, by: string, id?: string): Promise<CrisisEvent>;
  /** Several things at once are one change. What changes nothing makes no version. */
  edit(id: string, changes: EventEdit, by: string, expectedVersion?: number): Promise<CrisisEvent>;
  setStatus(id: string, change: StatusChange, by: string): Promise<CrisisEvent>;
  /** Hidden at once; its id is never given again. `name` must be the event's: a slip of the hand deletes nothing. */
  remove(id: string, name: string, by: string): Promise<void>;
  list(): Promise<CrisisEvent[]>;
  get(id: string): Promise<CrisisEvent>;
  history(id: string): Promise<HistoryEntry[]>;
}

export interface EventEdit extends Partial<EventInput> {
  readonly status?: EventStatus;
}

/** The channel on which every change is told to whoever listens, with the event's id. */
export const eventsChannel = 'watershed_events';

interface Row {
  readonly id: string; readonly state: State; readonly version: number;
  readonly created_at: Date; readonly created_by: string; readonly updated_at: Date; readonly updated_by: string;
}

export function createRegistry({ database, clock }: { database: Database; clock: Clock }): Registry {
  const change = (
    id: string, by: string, next: (state: State) => [EventChange, State], expectedVersion?: number,
  ): Promise<CrisisEvent> =>
    database.transaction(async (sql) => {
      const row = await locked(sql, id);
      if (expectedVersion !== undefined && expectedVersion !== row.version) {
        throw new WatershedError('conflict', `event ${id} was changed by ${row.updated_by} since you read it`, {
          hint: 'read it again and repeat your change on what is there now', retryable: false,
        });
      }
      const [kind, changed] = next(row.state);
      const state = normalise(changed);
      if (sameState(state, row.state)) return shown(row);
      if (state.name !== row.state.name) await requireFreeName(sql, state.name, id);
      const updated = { version: row.version + 1, updated_at: new Date(clock.now()), updated_by: by };
      return write(sql, { ...row, ...updated, state }, kind, row.state);
    }).catch(explainName);
  return {
    create: (input, by, wantedId) => database.transaction(async (sql) => {
      const state = normalise({
        name: input.name, description: input.description ?? '', status: 'active', sources: [...input.sources],
        rule: input.rule, start: input.start ?? null, end: input.end ?? null,
      });
      // One at a time: ids and names are looked up before they are taken.
      await sql.execute('lock table watershed.event in share row exclusive mode');
      await requireFreeName(sql, state.name, undefined);
      const taken = new Set((await sql.query<{ id: string }>('select id from watershed.event')).map(({ id }) => id));
      const at = new Date(clock.now());
      const id = slugOf(wantedId ?? state.name, (candidate) => taken.has(candidate));
      return write(sql, { id, state, version: 1, created_at: at, created_by: by, updated_at: at, updated_by: by }, 'created', undefined);
    }),
    edit: (id, { status: wanted, ...changes }, by, expectedVersion) => change(id, by, (state) => {
      const step = wanted === undefined ? undefined : changeTo(state.status, wanted);
      const edited: State = { ...state, ...defined(changes) };
      if (step === undefined) return ['edited', edited];
      // From the archive an event comes back paused; who asks for active has asked for both steps.
      const status = step === 'restored' ? wanted ?? 'paused' : statusAfter(id, state.status, step);
      return [sameState(edited, state) ? step : 'edited', { ...edited, status }];
    }, expectedVersion),
    setStatus: (id, kind, by) => change(id, by, (state) => [kind, { ...state, status: statusAfter(id, state.status, kind) }]),
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
        version: row.version, at: row.at.toISOString(), by: row.by, change: row.change,
        from: row.before, to: row.after }));
    },
  };
}

async function write(sql: Sql, row: Row, change: EventChange, before: State | undefined): Promise<CrisisEvent> {
  const { id, state, version, updated_by: by, updated_at: at } = row;
  const deleted = change === 'deleted';
  await sql.execute(
    `insert into watershed.event (id, name, state, version, created_at, created_by, updated_at, updated_by, deleted_at, deleted_by)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
     on conflict (id) do update set name = excluded.name, state = excluded.state, version = excluded.version,
       updated_at = excluded.updated_at, updated_by = excluded.updated_by, deleted_at = excluded.deleted_at, deleted_by = excluded.deleted_by`,
    [id, state.name, JSON.stringify(state), version, row.created_at, row.created_by, at, by,
      deleted ? at : null, deleted ? by : null]);
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

async function requireFreeName(sql: Sql, name: string, own: string | undefined): Promise<void> {
  const [other] = await sql.query<{ id: string }>(
    'select id from watershed.event where lower(name) = lower($1) and deleted_at is null', [name]);
  if (other === undefined || other.id === own) return;
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
