import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import { dataRow, type Field } from './backend.ts';
import type { Command } from './commands.ts';
import type { Format } from './encode-rows.ts';
import type { Description, Planned, Query } from './planned.ts';
import { queryTag } from './planned.ts';
import { type Binding, noValues, type Queries } from './queries.ts';
import { parameterCount } from './lexer.ts';
import { done, type Outcome, warningMessage } from './outcome.ts';
import { fromArray, rowReader, type RowReader } from './rows.ts';
import { configFields, SettingStatements, showFields } from './setting-statements.ts';
import type { Settings } from './settings.ts';
import type { Shadow } from './shadow.ts';
import type { SpoolLimits } from './spool.ts';
import { Transaction, type TransactionCommand } from './transaction.ts';
import { oids } from './types.ts';

export interface ExecutorOptions {
  readonly queries: Queries;
  readonly settings: Settings;
  readonly shadow: Shadow | undefined;
  readonly spool: SpoolLimits;
  readonly clock: Clock;
  /** The longest time of a statement at this moment. */
  readonly timeoutMs: () => number;
  /** Rows of a portal made by Bind, which FETCH, MOVE and CLOSE may name as if DECLARE had made it. */
  readonly portalRows: (name: string) => Promise<RowReader | undefined>;
  readonly closePortal: (name: string) => Promise<boolean>;
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

const nothing: Description = { parameters: [], fields: undefined };

/** The session that statements share, whichever protocol they came by: transaction, settings, cursors. */
export class Executor {
  readonly transaction = new Transaction();
  private readonly options: ExecutorOptions;
  private readonly settingStatements: SettingStatements;
  private readonly cursors = new Map<string, Cursor>();

  constructor(options: ExecutorOptions) {
    this.options = options;
    this.settingStatements = new SettingStatements(options, this.transaction);
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
    if (command?.kind === 'sleep') return await this.sleep(command.seconds, abort.signal);
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
    if (command?.kind === 'sleep') return { ...nothing, fields: sleepFields };
    if (command?.kind === 'show') return { ...nothing, fields: showFields(command.name) };
    if (command?.kind === 'config') {
      const parameters = Array.from({ length: parameterCount(statement.tokens) }, () => textParameter);
      return { parameters, fields: configFields(command.items) };
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
        return await this.settingStatements.set(command);
      case 'reset':
        return await this.settingStatements.reset(command.name);
      case 'show':
        return await this.settingStatements.show(command.name);
      case 'config':
        return await this.settingStatements.configure(command.items, decoded);
      case 'discard':
        return await this.discard(command.what);
      case 'deallocate':
        if (!this.options.dropStatement(command.name)) {
          throw stateError('26000', `prepared statement "${command.name}" does not exist`);
        }
        return done(command.name === undefined ? 'DEALLOCATE ALL' : 'DEALLOCATE');
      case 'close':
        if (command.name === undefined) await this.closeCursors(() => true);
        else if (this.cursors.has(command.name) || !(await this.options.closePortal(command.name)))
          await this.closeCursor(command.name, this.cursorNamed(command.name));
        return done(command.name === undefined ? 'CLOSE CURSOR ALL' : 'CLOSE CURSOR');
      case 'accepted':
        return done(command.tag);
      case 'declare':
      case 'fetch':
      case 'sleep':
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
    const { name } = command;
    const portal = this.cursors.has(name) ? undefined : await this.options.portalRows(name);
    if (portal !== undefined) return fetched(portal, command, formats);
    const cursor = this.cursorNamed(name);
    abort.signal.addEventListener('abort', () => cursor.abort.abort(abort.signal.reason), { once: true });
    if (cursor.reader === undefined) {
      const { query, description, binding } = cursor;
      const source = await this.options.queries.run(query, description, binding, formats, cursor.abort.signal);
      cursor.reader = rowReader(source, this.options.spool);
    }
    return fetched(cursor.reader, command, formats);
  }

  private async sleep(seconds: number, signal: AbortSignal): Promise<Outcome> {
    const timeoutMs = this.options.timeoutMs();
    await this.options.clock.sleep(Math.min(seconds * 1000, timeoutMs), signal);
    if (seconds * 1000 > timeoutMs) {
      throw new WatershedError('limit_exceeded', 'canceling statement due to statement timeout', {
        context: { sqlstate: '57014' },
      });
    }
    const source = { fields: sleepFields, formats: [0], chunks: fromArray([dataRow([''])]) } as const;
    return { rows: rowReader(source, this.options.spool), tag: (rowsSent) => `SELECT ${rowsSent}` };
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
// A void value is an empty text.
const sleepFields: readonly Field[] = [{ name: 'pg_sleep', type: { oid: 2278, size: 4, array: 0, typmod: -1 } }];

/** Descriptions of statements without parameters are not asked for before they run. */
export const undescribed: { readonly description: Description; readonly binding: Binding } = {
  description: nothing,
  binding: noValues,
};

function fetched(reader: RowReader, command: Command & { kind: 'fetch' }, formats: readonly Format[]): Outcome {
  if (command.count > 0 && !command.move && !sameFormats(reader.formats, formats)) {
    throw new WatershedError('unsupported', 'a cursor cannot change between text and binary', {
      hint: 'declare it again',
    });
  }
  const word = command.move ? 'MOVE' : 'FETCH';
  return {
    rows: limited(reader, command.count),
    tag: (rowsSent) => `${word} ${rowsSent}`,
    ...(command.move ? { discard: true } : {}),
  };
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

function stateError(sqlstate: string, message: string): WatershedError {
  return new WatershedError('bad_request', message, { context: { sqlstate } });
}
