import { WatershedError } from '#core/errors.ts';

/**
 * The settings of one session. A few mean something here (`statement_timeout`, `application_name`); a few are fixed,
 * and another value is refused rather than quietly not followed; the rest are remembered, so that what drivers set
 * they also read back.
 */
export interface Settings {
  /** The value that SHOW gives, or undefined where the session does not know the name. */
  get(name: string): string | undefined;
  /** Returns the name and value to announce in a ParameterStatus, where clients are told of this one. */
  set(name: string, value: string | undefined, local: boolean): { name: string; value: string } | undefined;
  resetAll(): void;
  /** Opens a transaction: what is set within is undone by `end(false)`, what is set LOCAL by both. */
  begin(): void;
  end(committed: boolean): void;
  /** Time a statement may take by the session's own wish, in milliseconds; 0 is none. */
  statementTimeoutMs(): number;
  /** What clients are told when they come in, in PostgreSQL's spelling. */
  announced(): ReadonlyMap<string, string>;
}

interface Rule {
  /** PostgreSQL's spelling, for ParameterStatus; absent where clients are not told. */
  readonly report?: string;
  /** The value to keep, or undefined to refuse. */
  readonly accept?: (value: string) => string | undefined;
  readonly initial: string;
}

const boolean =
  (fixed: boolean) =>
  (value: string): string | undefined => {
    const on = /^(on|true|yes|1|t|y)$/i.test(value);
    return on === fixed ? (fixed ? 'on' : 'off') : undefined;
  };
const fixed =
  (pattern: RegExp, kept: string) =>
  (value: string): string | undefined =>
    pattern.test(value) ? kept : undefined;
const remember = (value: string): string => value;

// Fixed ones follow from how the encoders write.
const rules: ReadonlyMap<string, Rule> = new Map<string, Rule>([
  ['application_name', { report: 'application_name', initial: '', accept: remember }],
  ['client_encoding', { report: 'client_encoding', initial: 'UTF8', accept: fixed(/^(utf-?8|unicode)$/i, 'UTF8') }],
  ['server_encoding', { report: 'server_encoding', initial: 'UTF8' }],
  ['datestyle', { report: 'DateStyle', initial: 'ISO, MDY', accept: fixed(/^iso\b/i, 'ISO, MDY') }],
  ['intervalstyle', { report: 'IntervalStyle', initial: 'postgres', accept: fixed(/^postgres$/i, 'postgres') }],
  ['integer_datetimes', { report: 'integer_datetimes', initial: 'on' }],
  ['standard_conforming_strings', { report: 'standard_conforming_strings', initial: 'on', accept: boolean(true) }],
  [
    'timezone',
    {
      report: 'TimeZone',
      initial: 'UTC',
      accept: fixed(/^((etc\/)?(utc|gmt|uct|zulu|universal)|[+-]?0+|z|local)$/i, 'UTC'),
    },
  ],
  ['is_superuser', { report: 'is_superuser', initial: 'off' }],
  ['in_hot_standby', { report: 'in_hot_standby', initial: 'off' }],
  ['default_transaction_read_only', { report: 'default_transaction_read_only', initial: 'on', accept: remember }],
  ['transaction_read_only', { initial: 'on', accept: remember }],
  ['transaction_isolation', { initial: 'read committed', accept: remember }],
  ['bytea_output', { initial: 'hex', accept: fixed(/^hex$/i, 'hex') }],
  ['search_path', { report: 'search_path', initial: 'lake', accept: remember }],
  ['statement_timeout', { initial: '0', accept: (value) => (parseDuration(value) === undefined ? undefined : value) }],
  ['extra_float_digits', { initial: '1', accept: (value) => (/^-?\d{1,2}$/.test(value) ? value : undefined) }],
]);

/** `given` are the startup packet's; what it asks of fixed settings is passed over, as no driver could do otherwise. */
export function createSettings(given: ReadonlyMap<string, string>, user: string, serverVersion: string): Settings {
  const values = new Map([...rules].map(([name, rule]) => [name, rule.initial]));
  values.set('session_authorization', user).set('server_version', serverVersion);
  const startup = new Map<string, string>();
  for (const [name, value] of given) {
    const kept = rules.get(name.toLowerCase())?.accept?.(value);
    if (kept !== undefined) startup.set(name.toLowerCase(), kept);
  }
  for (const [name, value] of startup) values.set(name, value);
  let atBegin: Map<string, string> | undefined;
  const local = new Map<string, string | undefined>();
  const initialOf = (name: string): string | undefined => startup.get(name) ?? rules.get(name)?.initial;
  const put = (name: string, value: string | undefined): void =>
    void (value === undefined ? values.delete(name) : values.set(name, value));

  return {
    get: (name) => values.get(name),
    set(name, value, isLocal) {
      const rule = rules.get(name);
      const kept = value === undefined ? initialOf(name) : checked(name, value, rule);
      if (isLocal) {
        if (atBegin === undefined) return undefined;
        if (!local.has(name)) local.set(name, values.get(name));
      }
      put(name, kept);
      return rule?.report === undefined || kept === undefined ? undefined : { name: rule.report, value: kept };
    },
    resetAll() {
      for (const [name, rule] of rules)
        if (rule.accept !== undefined) values.set(name, initialOf(name) ?? rule.initial);
    },
    begin() {
      atBegin = new Map(values);
      local.clear();
    },
    end(committed) {
      if (!committed && atBegin !== undefined) {
        values.clear();
        for (const [name, value] of atBegin) values.set(name, value);
      } else for (const [name, value] of local) put(name, value);
      atBegin = undefined;
      local.clear();
    },
    statementTimeoutMs: () => parseDuration(values.get('statement_timeout') ?? '0') ?? 0,
    announced() {
      const told = new Map([
        ['server_version', serverVersion],
        ['session_authorization', user],
      ]);
      for (const [name, rule] of rules)
        if (rule.report !== undefined) told.set(rule.report, values.get(name) ?? rule.initial);
      return told;
    },
  };
}

function checked(name: string, value: string, rule: Rule | undefined): string {
  if (rule === undefined) return value;
  if (rule.accept === undefined) {
    throw new WatershedError('bad_request', `parameter "${name}" cannot be changed`, {
      context: { sqlstate: '55P02' },
    });
  }
  const kept = rule.accept(value);
  if (kept !== undefined) return kept;
  throw new WatershedError('bad_request', `invalid value for parameter "${name}": "${value}"`, {
    hint: `this door keeps ${name} at ${rule.initial}`,
    context: { sqlstate: '22023' },
  });
}

/** A time as settings state it: milliseconds, or with a unit. */
function parseDuration(text: string): number | undefined {
  const parts = /^(\d+)\s*(us|ms|s|min|h|d)?$/.exec(text.trim());
  if (parts === null) return undefined;
  const units: Readonly<Record<string, number>> = {
    us: 0.001,
    ms: 1,
    s: 1000,
    min: 60_000,
    h: 3_600_000,
    d: 86_400_000,
  };
  return Number(parts[1]) * (units[parts[2] ?? 'ms'] ?? 1);
}
