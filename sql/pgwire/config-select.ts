import type { Statement, Token } from './lexer.ts';
import { stringValue } from './lexer.ts';

/** One column of a SELECT that reads or sets the session's settings. */
export interface ConfigItem {
  readonly column: string;
  readonly setting: string;
  /** The value, or the number of the parameter that has it; absent for current_setting. */
  readonly value?: string | number;
  readonly local?: boolean;
}

/**
 * `SELECT set_config('jit', 'off', false) AS new, current_setting('jit') AS cur`: drivers (asyncpg among them) set by
 * function. Settings are the door's, so it answers such a SELECT itself, where there is nothing else in it.
 * Undefined where there is.
 */
export function configItems({ tokens }: Statement): readonly ConfigItem[] | undefined {
  if (tokens[0]?.text !== 'select') return undefined;
  const items: ConfigItem[] = [];
  let at = 1;
  const is = (text: string): boolean => {
    const found = tokens[at]?.kind !== 'string' && tokens[at]?.text === text;
    if (found) at++;
    return found;
  };
  do {
    if (is('pg_catalog') && !is('.')) return undefined;
    const name = tokens[at++]?.text;
    if ((name !== 'set_config' && name !== 'current_setting') || !is('(')) return undefined;
    const values: Token[] = [];
    for (let token = tokens[at]; token !== undefined && !is(')'); token = tokens[at]) {
      values.push(token);
      at++;
      is(',');
    }
    const item = itemOf(name, values);
    if (item === undefined) return undefined;
    const alias = is('as') ? tokens[at++] : undefined;
    items.push(alias === undefined ? item : { ...item, column: alias.text });
  } while (is(','));
  return at === tokens.length && items.some(({ value }) => value !== undefined) ? items : undefined;
}

function itemOf(column: string, values: readonly Token[]): ConfigItem | undefined {
  const [setting, value, local] = values;
  if (setting?.kind !== 'string') return undefined;
  const name = stringValue(setting).toLowerCase();
  if (column === 'current_setting') return values.length <= 2 ? { column, setting: name } : undefined;
  const given =
    value?.kind === 'string' ? stringValue(value) : value?.kind === 'parameter' ? Number(value.text) : undefined;
  if (given === undefined || local?.kind !== 'word' || values.length !== 3) return undefined;
  return { column, setting: name, value: given, local: local.text === 'true' };
}
