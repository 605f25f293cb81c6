import { WatershedError } from '#core/errors.ts';
import { dataRow, type Field, parameterStatus } from './backend.ts';
import type { Command } from './commands.ts';
import type { ConfigItem } from './config-select.ts';
import { done, type Outcome, warningMessage } from './outcome.ts';
import type { Binding } from './queries.ts';
import { fromArray, rowReader, type RowReader } from './rows.ts';
import type { Settings } from './settings.ts';
import type { Shadow } from './shadow.ts';
import type { SpoolLimits } from './spool.ts';
import type { Transaction } from './transaction.ts';
import { oids, pgTypeOf } from './types.ts';

export interface SettingOptions {
  readonly settings: Settings;
  readonly shadow: Shadow | undefined;
  readonly spool: SpoolLimits;
}

const textField = (name: string): Field => ({ name, type: pgTypeOf('VARCHAR') });

export function showFields(name: string): Field[] {
  return name === 'all' ? ['name', 'setting', 'description'].map(textField) : [textField(displayName(name))];
}

export function configFields(items: readonly ConfigItem[]): Field[] {
  return items.map(({ column }) => textField(column));
}

function displayName(setting: string): string {
  return { timezone: 'TimeZone', datestyle: 'DateStyle', intervalstyle: 'IntervalStyle' }[setting] ?? setting;
}

/** SET, RESET, SHOW, and the SELECTs that set by function: the session's own settings, and PostgreSQL's for the rest. */
export class SettingStatements {
  private readonly options: SettingOptions;
  private readonly transaction: Transaction;

  constructor(options: SettingOptions, transaction: Transaction) {
    this.options = options;
    this.transaction = transaction;
  }

  async set(command: Command & { kind: 'set' }, tag = 'SET'): Promise<Outcome> {
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

  async reset(name: string): Promise<Outcome> {
    const { settings } = this.options;
    if (name !== 'all') return await this.set({ kind: 'set', name, value: undefined, local: false }, 'RESET');
    settings.resetAll();
    return done(
      'RESET',
      [...settings.announced()].map(([setting, value]) => parameterStatus(setting, value)),
    );
  }

  // Names that PostgreSQL does not know are mistakes; the others are remembered for whoever set them.
  private async knownToPostgres(name: string): Promise<string | undefined> {
    if (this.options.shadow === undefined) return undefined;
    const bound = { values: [Buffer.from(name)], formats: [0], resultFormats: [0] } as const;
    const statement = { sql: 'select current_setting($1, true)', oids: [oids.text], bound };
    const { rows } = await this.options.shadow.run(statement, new AbortController().signal);
    const value = rows[0] === undefined ? undefined : rowValues(rows[0])[0];
    if (value === undefined) {
      const message = `unrecognized configuration parameter "${name}"`;
      throw new WatershedError('not_found', message, { context: { sqlstate: '42704' } });
    }
    return value;
  }

  async show(name: string): Promise<Outcome> {
    const { settings } = this.options;
    const rows =
      name === 'all'
        ? await this.all()
        : [dataRow([settings.get(name) ?? (await this.knownToPostgres(name)) ?? ''])];
    return { rows: this.ownRows(showFields(name), rows), tag: () => 'SHOW' };
  }

  // PostgreSQL's settings, with the values that hold here where they are the session's.
  private async all(): Promise<Uint8Array[]> {
    const { settings, shadow } = this.options;
    if (shadow === undefined) return [...settings.announced()].map(([name, value]) => dataRow([name, value, '']));
    const bound = { values: [], formats: [], resultFormats: [0] } as const;
    const sql = 'select name, current_setting(name, true), short_desc from pg_settings order by lower(name)';
    const { rows } = await shadow.run({ sql, oids: [], bound }, new AbortController().signal);
    return rows.map((row) => {
      const [name = '', value = '', description = ''] = rowValues(row);
      return dataRow([name, settings.get(name.toLowerCase()) ?? value, description]);
    });
  }

  async configure(items: readonly ConfigItem[], decoded: Binding['decoded']): Promise<Outcome> {
    const { settings } = this.options;
    const values: string[] = [];
    const messages: Uint8Array[] = [];
    for (const { setting, value, local = false } of items) {
      const given = typeof value === 'number' ? String(decoded[value - 1]?.value ?? '') : value;
      const set = { kind: 'set', name: setting, value: given, local } as const;
      if (given !== undefined) messages.push(...((await this.set(set)).messages ?? []));
      values.push(settings.get(setting) ?? (await this.knownToPostgres(setting)) ?? '');
    }
    return { rows: this.ownRows(configFields(items), [dataRow(values)]), messages, tag: (rowsSent) => `SELECT ${rowsSent}` };
  }

  /** Rows that the door makes: all text, whose binary form is the same. */
  private ownRows(fields: readonly Field[], rows: readonly Uint8Array[]): RowReader {
    return rowReader({ fields, formats: [0], chunks: fromArray(rows) }, this.options.spool);
  }
}

/** The values of a DataRow message in text format: undefined for NULL. */
function rowValues(row: Buffer): (string | undefined)[] {
  const values: (string | undefined)[] = [];
  for (let at = 7; at < row.length;) {
    const length = row.readInt32BE(at);
    values.push(length < 0 ? undefined : row.toString('utf8', at + 4, at + 4 + length));
    at += 4 + Math.max(0, length);
  }
  return values;
}
