import { WatershedError } from '#core/errors.ts';
import { dataRow, type ErrorFields, type Field, noticeResponse, parameterStatus } from './backend.ts';
import type { Command, CopyOptions } from './commands.ts';
import type { ConfigItem } from './config-select.ts';
import type { Format } from './encode-rows.ts';
import type { Description, Planned, Query } from './planned.ts';
import { queryTag } from './planned.ts';
import { type Binding, noValues, type Queries } from './queries.ts';
import { parameterCount } from './lexer.ts';
import { fromArray, rowReader, type RowReader } from './rows.ts';
import type { Settings } from './settings.ts';
import type { Shadow } from './shadow.ts';
import type { SpoolLimits } from './spool.ts';
import { Transaction } from './transaction.ts';
import { oids, pgTypeOf } from './types.ts';

/** What a started statement will send. */
export interface Outcome {
  /** Rows to send; absent where there are none by nature. */
  readonly rows?: RowReader;
  /** Rows go as CopyData instead. */
  readonly copy?: CopyOptions;
  /** Messages to send before the tag: warnings, changed settings. */
  readonly messages?: readonly Uint8Array[];
  tag(rowsSent: number): string;
  /** Rows are counted and thrown away: MOVE. */
  readonly discard?: true;
}

/** The session that statements share, whichever protocol they came by. */
export interface Executor {
  readonly transaction: Transaction;
  start(
    planned: Planned,
    description: Description,
    binding: Binding,
    formats: readonly Format[],
    abort: AbortController,
  ): Promise<Outcome>;
  /** Columns and parameters without running. Throws as the statement itself would. */
  describe(planned: Planned, declared: readonly number[], signal: AbortSignal): Promise<Description>;
  /** The columns of a cursor made by DECLARE, or undefined where there is no such cursor. */
  describeCursor(name: string, signal: AbortSignal): Promise<readonly Field[] | undefined>;
  close(): Promise<void>;
}

export interface ExecutorOptions {
  readonly queries: Queries;
  readonly settings: Settings;
  readonly shadow: Shadow | undefined;
  readonly spool: SpoolLimits;
  /** DEALLOCATE and DISCARD reach into the extended protocol's statements: undefined means all. */
  readonly dropStatement: (name: string | undefined) => boolean;
}

interface Cursor {
  readonly query: Query;
  readonly description: Description;
  readonly binding: Binding;
  readonly hold: boolean;
  readonly abort: AbortController;
  /** Present once the first FETCH has said in which formats. */
  reader: RowReader | undefined;
}

const textField = (name: string): Field => ({ name, type: pgTypeOf('VARCHAR') });
const nothing: Description = { parameters: [], fields: undefined };

export function createExecutor(options: ExecutorOptions): Executor {
  const { queries, settings, spool } = options;
  const transaction = new Transaction();
  const cursors = new Map<string, Cursor>();

  const closeCursors = async (which: (cursor: Cursor) => boolean): Promise<void> => {
    for (const [name, cursor] of cursors) if (which(cursor)) await closeCursor(name, cursor);
  };
  const closeCursor = async (name: string, cursor: Cursor): Promise<void> => {
    cursors.delete(name);
    cursor.abort.abort();
    await cursor.reader?.close();
  };
  const cursorNamed = (name: string): Cursor => {
    const found = cursors.get(name);
    if (found === undefined) throw stateError('34000', `cursor "${name}" does not exist`);
    return found;
  };

  async function control(command: Command, { decoded }: Binding): Promise<Outcome> {
    switch (command.kind) {
      case 'begin':
      case 'commit':
      case 'rollback':
      case 'savepoint':
      case 'release':
      case 'rollbackTo': {
        const { tag, warning, started, ended } = transaction.step(command);
        if (ended !== undefined) {
          settings.end(ended.committed);
          await closeCursors((cursor) => !cursor.hold || !ended.committed);
        }
        if (started) settings.begin();
        return done(tag, warning === undefined ? [] : [warningMessage(warning.sqlstate, warning.message)]);
      }
      case 'set':
        return await set(command);
      case 'reset': {
        if (command.name !== 'all')
          return await set({ kind: 'set', name: command.name, value: undefined, local: false }, 'RESET');
        settings.resetAll();
        return done('RESET', announcements());
      }
      case 'show':
        return await show(command.name);
      case 'config':
        return await configure(command.items, decoded);
      case 'discard':
        if (transaction.status !== 'I') throw stateError('25001', 'DISCARD ALL cannot run inside a transaction block');
        await closeCursors(() => true);
        if (command.what === 'all') {
          options.dropStatement(undefined);
          settings.resetAll();
        }
        return done(`DISCARD ${command.what.toUpperCase()}`);
      case 'deallocate':
        if (!options.dropStatement(command.name))
          throw stateError('26000', `prepared statement "${command.name}" does not exist`);
        return done(command.name === undefined ? 'DEALLOCATE ALL' : 'DEALLOCATE');
      case 'close':
        if (command.name === undefined) await closeCursors(() => true);
        else await closeCursor(command.name, cursorNamed(command.name));
        return done(command.name === undefined ? 'CLOSE CURSOR ALL' : 'CLOSE CURSOR');
      case 'accepted':
        return done(command.tag);
      case 'declare':
      case 'fetch':
      case 'copy':
        throw new WatershedError('internal', `${command.kind} is not a control statement`);
    }
  }

  function announcements(): Uint8Array[] {
    return [...settings.announced()].map(([name, value]) => parameterStatus(name, value));
  }

  async function set(command: Command & { kind: 'set' }, tag = 'SET'): Promise<Outcome> {
    if (settings.get(command.name) === undefined && !command.name.includes('.')) await knownToPostgres(command.name);
    const told = settings.set(command.name, command.value, command.local);
    const warning =
      command.local && transaction.status === 'I'
        ? [warningMessage('25P01', 'SET LOCAL can only be used in transaction blocks')]
        : [];
    return done(tag, told === undefined ? warning : [...warning, parameterStatus(told.name, told.value)]);
  }

  // Names that PostgreSQL does not know are mistakes; the others are remembered for whoever set them.
  async function knownToPostgres(name: string): Promise<string | undefined> {
    if (options.shadow === undefined) return undefined;
    const { rows } = await options.shadow.run(
      {
        sql: 'select current_setting($1, true)',
        oids: [oids.text],
        bound: { values: [Buffer.from(name)], formats: [0], resultFormats: [0] },
      },
      new AbortController().signal,
    );
    const value = rows[0];
    // A DataRow with one value: its length stands behind seven bytes, -1 for none.
    if (value === undefined || value.readInt32BE(7) < 0) {
      throw new WatershedError('not_found', `unrecognized configuration parameter "${name}"`, {
        context: { sqlstate: '42704' },
      });
    }
    return value.toString('utf8', 11);
  }

  async function show(name: string): Promise<Outcome> {
    const value = settings.get(name) ?? (name === 'all' ? undefined : await knownToPostgres(name));
    const rows = name === 'all' ? [...settings.announced()].map((entry) => dataRow(entry)) : [dataRow([value ?? ''])];
    const fields = name === 'all' ? [textField('name'), textField('setting')] : [textField(displayName(name))];
    return { rows: rowReader({ fields, formats: [0], chunks: fromArray(rows) }, spool), tag: () => 'SHOW' };
  }

  async function configure(items: readonly ConfigItem[], decoded: Binding['decoded']): Promise<Outcome> {
    const values: string[] = [];
    const messages: Uint8Array[] = [];
    for (const { setting, value, local = false } of items) {
      const given = typeof value === 'number' ? String(decoded[value - 1]?.value ?? '') : value;
      const step = given === undefined ? undefined : await set({ kind: 'set', name: setting, value: given, local });
      messages.push(...(step?.messages ?? []));
      values.push(settings.get(setting) ?? (await knownToPostgres(setting)) ?? '');
    }
    const fields = items.map(({ column }) => textField(column));
    const rows = rowReader({ fields, formats: [0], chunks: fromArray([dataRow(values)]) }, spool);
    return { rows, messages, tag: (rowsSent) => `SELECT ${rowsSent}` };
  }

  async function fetch(
    command: Command & { kind: 'fetch' },
    formats: readonly Format[],
    abort: AbortController,
  ): Promise<Outcome> {
    const cursor = cursorNamed(command.name);
    abort.signal.addEventListener('abort', () => cursor.abort.abort(abort.signal.reason), { once: true });
    if (cursor.reader === undefined) {
      const source = await queries.run(cursor.query, cursor.description, cursor.binding, formats, cursor.abort.signal);
      cursor.reader = rowReader(source, spool);
    } else if (command.count > 0 && !command.move && !sameFormats(cursor.reader.formats, formats)) {
      throw new WatershedError('unsupported', 'a cursor cannot change between text and binary', {
        hint: 'declare it again',
      });
    }
    const word = command.move ? 'MOVE' : 'FETCH';
    return {
      rows: limited(cursor.reader, command.count),
      tag: (rowsSent) => `${word} ${rowsSent}`,
      ...(command.move ? { discard: true } : {}),
    };
  }

  return {
    transaction,
    async start(planned, description, binding, formats, abort) {
      transaction.check(planned.command);
      const { command, query } = planned;
      if (command?.kind === 'fetch') return await fetch(command, formats, abort);
      if (command?.kind === 'declare' && query !== undefined) {
        if (transaction.status === 'I' && !command.hold)
          throw stateError('25P01', 'DECLARE CURSOR can only be used in transaction blocks');
        if (cursors.has(command.name)) throw stateError('42P03', `cursor "${command.name}" already exists`);
        // Its errors belong to DECLARE, not to a later FETCH.
        if (description.parameters.length === 0) await queries.describe(query, [], abort.signal);
        cursors.set(command.name, {
          query,
          description,
          binding,
          hold: command.hold,
          abort: new AbortController(),
          reader: undefined,
        });
        return done('DECLARE CURSOR');
      }
      if (query === undefined) return command === undefined ? done('') : await control(command, binding);
      const copy = command?.kind === 'copy' ? command.options : undefined;
      const wanted = copy === undefined ? formats : ([copy.format === 'binary' ? 1 : 0] as const);
      const source = await queries.run(query, description, binding, wanted, abort.signal);
      const rows = rowReader(source, spool);
      return copy === undefined
        ? { rows, tag: (rowsSent) => queryTag(query, rowsSent) }
        : { rows, copy, tag: (rowsSent) => `COPY ${rowsSent}` };
    },
    async describe({ command, query, statement }, declared, signal) {
      if (query !== undefined) {
        const described = await queries.describe(query, declared, signal);
        return command === undefined ? described : { parameters: described.parameters, fields: undefined };
      }
      if (command?.kind === 'show') {
        return {
          ...nothing,
          fields:
            command.name === 'all' ? [textField('name'), textField('setting')] : [textField(displayName(command.name))],
        };
      }
      if (command?.kind === 'config') {
        const parameters = Array.from({ length: parameterCount(statement.tokens) }, () => ({ oid: oids.text, engineType: 'VARCHAR' }));
        return { parameters, fields: command.items.map(({ column }) => textField(column)) };
      }
      if (command?.kind === 'fetch' && !command.move)
        return { ...nothing, fields: await this.describeCursor(command.name, signal) };
      return nothing;
    },
    async describeCursor(name, signal) {
      const cursor = cursors.get(name);
      if (cursor === undefined) return undefined;
      if (cursor.reader !== undefined) return cursor.reader.fields;
      return (
        await queries.describe(
          cursor.query,
          cursor.description.parameters.map(({ oid }) => oid),
          signal,
        )
      ).fields;
    },
    close: () => closeCursors(() => true),
  };
}

/** Descriptions of statements without parameters are not asked for before they run. */
export const undescribed: { readonly description: Description; readonly binding: Binding } = {
  description: nothing,
  binding: noValues,
};

function done(tag: string, messages: readonly Uint8Array[] = []): Outcome {
  return { tag: () => tag, messages };
}

function displayName(setting: string): string {
  return { timezone: 'TimeZone', datestyle: 'DateStyle', intervalstyle: 'IntervalStyle' }[setting] ?? setting;
}

function sameFormats(had: readonly Format[], asked: readonly Format[]): boolean {
  const all = (formats: readonly Format[]): string =>
    formats.length <= 1 || new Set(formats).size === 1 ? String(formats[0] ?? 0) : formats.join('');
  return all(had) === all(asked);
}

/** At most `count` rows of a cursor, which lives on. */
function limited(reader: RowReader, count: number): RowReader {
  let left = count;
  return {
    fields: reader.fields,
    formats: reader.formats,
    notice: reader.notice,
    async take(rowsMax, send) {
      const most = Math.min(left, rowsMax === 0 ? Infinity : rowsMax);
      if (most <= 0) return 0;
      const taken = await reader.take(most === Infinity ? 0 : most, send);
      left -= taken;
      return taken;
    },
    suspend: () => reader.suspend(),
    close: () => {
      // The client has its rows and goes away: the rest waits outside of the engine.
      reader.suspend();
      return Promise.resolve();
    },
  };
}

function warningMessage(sqlstate: string, message: string): Uint8Array {
  const fields: ErrorFields = { severity: 'WARNING', sqlstate, message };
  return noticeResponse(fields);
}

function stateError(sqlstate: string, message: string): WatershedError {
  return new WatershedError('bad_request', message, { context: { sqlstate } });
}
