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
import { Transaction, type TransactionCommand } from './transaction.ts';
import { oids, pgTypeOf } from './types.ts';

/** What a started statement will send. */
export interface Outcome {
  /** Rows to send; absent where there are none by nature. */
  readonly rows?: RowReader;
  /** Rows go out in CopyData messages instead. */
  readonly copy?: CopyOptions;
  /** Messages to send before the tag: warnings, changed settings. */
  readonly messages?: readonly Uint8Array[];
  tag(rowsSent: number): string;
  /** Rows are counted and thrown away: MOVE. */
  readonly discard?: true;
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

/** The session that statements share, whichever protocol they came by: transaction, settings, cursors. */
export class Executor {
  readonly transaction = new Transaction();
  private readonly options: ExecutorOptions;
  private readonly cursors = new Map<string, Cursor>();

  constructor(options: ExecutorOptions) {
    this.options = options;
  }

  async start(
    planned: Planned,
    description: Description,
    binding: Binding,
    formats: readonly Format[],
    abort: AbortController,
  ): Promise<Outcome> {
    this.transaction.check(planned.command);
    const { command, query } = planned;
    if (command?.kind === 'fetch') return await this.fetch(command, formats, abort);
    if (query === undefined) return command === undefined ? done('') : await this.control(command, binding);
    if (command?.kind === 'declare') return await this.declare(command, query, description, binding, abort.signal);
    const copy = command?.kind === 'copy' ? command.options : undefined;
    const wanted = copy === undefined ? formats : ([copy.format === 'binary' ? 1 : 0] as const);
    const source = await this.options.queries.run(query, description, binding, wanted, abort.signal);
    const rows = rowReader(source, this.options.spool);
    return copy === undefined
      ? { rows, tag: (rowsSent) => queryTag(query, rowsSent) }
      : { rows, copy, tag: (rowsSent) => `COPY ${rowsSent}` };
  }

  /** Columns and parameters without running. Throws as the statement itself would. */
  async describe(planned: Planned, declared: readonly number[], signal: AbortSignal): Promise<Description> {
    const { command, query, statement } = planned;
    if (query !== undefined) {
      const described = await this.options.queries.describe(query, declared, signal);
      return command === undefined ? described : { parameters: described.parameters, fields: undefined };
    }
    if (command?.kind === 'show') return { ...nothing, fields: showFields(command.name) };
    if (command?.kind === 'config') {
      const parameters = Array.from({ length: parameterCount(statement.tokens) }, () => textParameter);
      return { parameters, fields: command.items.map(({ column }) => textField(column)) };
    }
    if (command?.kind !== 'fetch' || command.move) return nothing;
    return { ...nothing, fields: await this.describeCursor(command.name, signal) };
  }

  /** The columns of a cursor made by DECLARE, or undefined where there is no such cursor. */
  async describeCursor(name: string, signal: AbortSignal): Promise<readonly Field[] | undefined> {
    const cursor = this.cursors.get(name);
    if (cursor === undefined || cursor.reader !== undefined) return cursor?.reader?.fields;
    const oids = cursor.description.parameters.map(({ oid }) => oid);
    return (await this.options.queries.describe(cursor.query, oids, signal)).fields;
  }

  async close(): Promise<void> {
    await this.closeCursors(() => true);
  }

  private async control(command: Command, { decoded }: Binding): Promise<Outcome> {
    switch (command.kind) {
      case 'begin':
      case 'commit':
      case 'rollback':
      case 'savepoint':
      case 'release':
      case 'rollbackTo':
        return await this.step(command);
      case 'set':
        return await this.set(command);
      case 'reset':
        return await this.reset(command.name);
      case 'show':
        return await this.show(command.name);
      case 'config':
        return await this.configure(command.items, decoded);
      case 'discard':
        return await this.discard(command.what);
      case 'deallocate':
        if (!this.options.dropStatement(command.name)) {
          throw stateError('26000', `prepared statement "${command.name}" does not exist`);
        }
        return done(command.name === undefined ? 'DEALLOCATE ALL' : 'DEALLOCATE');
      case 'close':
        if (command.name === undefined) await this.closeCursors(() => true);
        else await this.closeCursor(command.name, this.cursorNamed(command.name));
        return done(command.name === undefined ? 'CLOSE CURSOR ALL' : 'CLOSE CURSOR');
      case 'accepted':
        return done(command.tag);
      case 'declare':
      case 'fetch':
      case 'copy':
        throw new WatershedError('internal', `${command.kind} is not a control statement`);
    }
  }

  private async step(command: TransactionCommand): Promise<Outcome> {
    const { settings } = this.options;
    const { tag, warning, started, ended } = this.transaction.step(command);
    if (ended !== undefined) {
      settings.end(ended.committed);
      await this.closeCursors((cursor) => !cursor.hold || !ended.committed);
    }
    if (started) settings.begin();
    return done(tag, warning === undefined ? [] : [warningMessage(warning.sqlstate, warning.message)]);
  }

  private async set(command: Command & { kind: 'set' }, tag = 'SET'): Promise<Outcome> {
    const { settings } = this.options;
    if (settings.get(command.name) === undefined && !command.name.includes('.')) {
      await this.knownToPostgres(command.name);
    }
    const told = settings.set(command.name, command.value, command.local);
    const warning =
      command.local && this.transaction.status === 'I'
        ? [warningMessage('25P01', 'SET LOCAL can only be used in transaction blocks')]
        : [];
    return done(tag, told === undefined ? warning : [...warning, parameterStatus(told.name, told.value)]);
  }

  private async reset(name: string): Promise<Outcome> {
    const { settings } = this.options;
    if (name !== 'all') return await this.set({ kind: 'set', name, value: undefined, local: false }, 'RESET');
    settings.resetAll();
    return done(
      'RESET',
      [...settings.announced()].map(([setting, value]) => parameterStatus(setting, value)),
    );
  }

  private async discard(what: string): Promise<Outcome> {
    if (this.transaction.status !== 'I') {
      throw stateError('25001', 'DISCARD ALL cannot run inside a transaction block');
    }
    await this.closeCursors(() => true);
    if (what === 'all') {
      this.options.dropStatement(undefined);
      this.options.settings.resetAll();
    }
    return done(`DISCARD ${what.toUpperCase()}`);
  }

  // Names that PostgreSQL does not know are mistakes; the others are remembered for whoever set them.
  private async knownToPostgres(name: string): Promise<string | undefined> {
    if (this.options.shadow === undefined) return undefined;
    const bound = { values: [Buffer.from(name)], formats: [0], resultFormats: [0] } as const;
    const statement = { sql: 'select current_setting($1, true)', oids: [oids.text], bound };
    const { rows } = await this.options.shadow.run(statement, new AbortController().signal);
    const value = rows[0];
    // A DataRow with one value: its length stands behind seven bytes, -1 for none.
    if (value === undefined || value.readInt32BE(7) < 0) {
      const message = `unrecognized configuration parameter "${name}"`;
      throw new WatershedError('not_found', message, { context: { sqlstate: '42704' } });
    }
    return value.toString('utf8', 11);
  }

  private async show(name: string): Promise<Outcome> {
    const { settings } = this.options;
    const value = settings.get(name) ?? (name === 'all' ? undefined : await this.knownToPostgres(name));
    const rows = name === 'all' ? [...settings.announced()].map((entry) => dataRow(entry)) : [dataRow([value ?? ''])];
    return { rows: this.ownRows(showFields(name), rows), tag: () => 'SHOW' };
  }

  private async configure(items: readonly ConfigItem[], decoded: Binding['decoded']): Promise<Outcome> {
    const { settings } = this.options;
    const values: string[] = [];
    const messages: Uint8Array[] = [];
    for (const { setting, value, local = false } of items) {
      const given = typeof value === 'number' ? String(decoded[value - 1]?.value ?? '') : value;
      const set = { kind: 'set', name: setting, value: given, local } as const;
      if (given !== undefined) messages.push(...((await this.set(set)).messages ?? []));
      values.push(settings.get(setting) ?? (await this.knownToPostgres(setting)) ?? '');
    }
    const fields = items.map(({ column }) => textField(column));
    return { rows: this.ownRows(fields, [dataRow(values)]), messages, tag: (rowsSent) => `SELECT ${rowsSent}` };
  }

  /** Rows that the door makes: all text, whose binary form is the same. */
  private ownRows(fields: readonly Field[], rows: readonly Uint8Array[]): RowReader {
    return rowReader({ fields, formats: [0], chunks: fromArray(rows) }, this.options.spool);
  }

  private async declare(
    command: Command & { kind: 'declare' },
    query: Query,
    description: Description,
    binding: Binding,
    signal: AbortSignal,
  ): Promise<Outcome> {
    const { name, hold } = command;
    if (this.transaction.status === 'I' && !hold) {
      throw stateError('25P01', 'DECLARE CURSOR can only be used in transaction blocks');
    }
    if (this.cursors.has(name)) throw stateError('42P03', `cursor "${name}" already exists`);
    // Its errors belong to DECLARE, not to a later FETCH.
    if (description.parameters.length === 0) await this.options.queries.describe(query, [], signal);
    this.cursors.set(name, { query, description, binding, hold, abort: new AbortController(), reader: undefined });
    return done('DECLARE CURSOR');
  }

  private async fetch(
    command: Command & { kind: 'fetch' },
    formats: readonly Format[],
    abort: AbortController,
  ): Promise<Outcome> {
    const cursor = this.cursorNamed(command.name);
    abort.signal.addEventListener('abort', () => cursor.abort.abort(abort.signal.reason), { once: true });
    if (cursor.reader === undefined) {
      const { query, description, binding } = cursor;
      const source = await this.options.queries.run(query, description, binding, formats, cursor.abort.signal);
      cursor.reader = rowReader(source, this.options.spool);
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

  private cursorNamed(name: string): Cursor {
    const found = this.cursors.get(name);
    if (found === undefined) throw stateError('34000', `cursor "${name}" does not exist`);
    return found;
  }

  private async closeCursors(which: (cursor: Cursor) => boolean): Promise<void> {
    for (const [name, cursor] of this.cursors) if (which(cursor)) await this.closeCursor(name, cursor);
  }

  private async closeCursor(name: string, cursor: Cursor): Promise<void> {
    this.cursors.delete(name);
    cursor.abort.abort();
    await cursor.reader?.close();
  }
}

const textParameter = { oid: oids.text, engineType: 'VARCHAR' };

function showFields(name: string): Field[] {
  return name === 'all' ? [textField('name'), textField('setting')] : [textField(displayName(name))];
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
