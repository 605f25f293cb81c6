import { load } from 'js-yaml';

/**
 * What Grafana does to a query before its data source sees it: variables and intervals are put in, then the macros of the
 * plugin. By the rules of grafana-postgresql-datasource (macros.go) and trino-datasource 1.4 (macros.go, sqlds), written anew.
 */
export interface GrafanaTime {
  readonly from: Date;
  readonly to: Date;
  readonly intervalMs: number;
}

export function expandGrafana(
  sql: string, plugin: 'postgres' | 'trino', time: GrafanaTime, variables: Readonly<Record<string, string>> = {},
): string {
  const interval = `${time.intervalMs / 1000}s`;
  let text = sql.replaceAll('$__interval_ms', String(time.intervalMs)).replaceAll('$__interval', interval);
  for (const [name, value] of Object.entries(variables)) {
    text = text.replaceAll(new RegExp(`\\$\\{${name}\\}|\\$${name}\\b`, 'g'), () => value.replaceAll("'", "''"));
  }
  // A closing bracket inside an argument ends the macro: that is so in Grafana, and a dashboard must not run into it.
  return text.replaceAll(/\$([_a-zA-Z0-9]+)\(([^)]*)\)/g, (whole, name: string, given: string, offset: number) => {
    const args = given.split(',').map((arg) => arg.replace(/^ +| +$/g, ''));
    const aliased = plugin === 'postgres' && name === '__timeGroup' && text[offset + whole.length] === ',';
    return plugin === 'postgres' ? postgresMacro(aliased ? '__timeGroupAlias' : name, args, time) : trinoMacro(name, args, time);
  });
}

function postgresMacro(name: string, args: readonly string[], { from, to }: GrafanaTime): string {
  const [column = '', step = ''] = args;
  const instant = (at: Date): string => `'${at.toISOString().replace(/\.?0*Z$/, 'Z')}'`;
  switch (name) {
    case '__time': return `${column} AS "time"`;
    case '__timeFilter': return `${column} BETWEEN ${instant(from)} AND ${instant(to)}`;
    case '__timeFrom': return instant(from);
    case '__timeTo': return instant(to);
    case '__timeGroup': return `floor(extract(epoch from ${column})/${seconds(step)})*${seconds(step)}`;
    case '__timeGroupAlias': return `floor(extract(epoch from ${column})/${seconds(step)})*${seconds(step)} AS "time"`;
    default: throw new Error(`unknown macro "${name}"`);
  }
}

function trinoMacro(name: string, args: readonly string[], { from, to }: GrafanaTime): string {
  const [column = '', step = ''] = args;
  const instant = (at: Date): string => `TIMESTAMP '${at.toISOString().slice(0, 19).replace('T', ' ')}'`;
  switch (name) {
    case '__timeFilter': return `${column} BETWEEN ${instant(from)} AND ${instant(to)}`;
    case '__timeFrom': return instant(from);
    case '__timeTo': return instant(to);
    case '__timeGroup': return `FROM_UNIXTIME(FLOOR(TO_UNIXTIME(${column})/${seconds(step)})*${seconds(step)})`;
    default: throw new Error(`unknown macro "${name}"`);
  }
}

/** gtime.ParseInterval: a number and a unit. */
function seconds(step: string): number {
  const [, amount, unit] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(step.replaceAll("'", '')) ?? [];
  const lengths: Readonly<Record<string, number>> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };
  const length = lengths[unit ?? ''];
  if (amount === undefined || length === undefined) throw new Error(`error parsing interval ${step}`);
  return Number(amount) * length;
}

export interface Asked { readonly where: string; readonly kind: 'panel' | 'variable' | 'annotation' | 'alert'; readonly sql: string; readonly series: boolean }

/** Every query in a generated file, however deep it stands. */
export function queriesIn(file: string, content: string): Asked[] {
  const found: Asked[] = [];
  const visit = (value: unknown, path: string): void => {
    if (Array.isArray(value)) return value.forEach((item, index) => visit(item, `${path}.${index}`));
    if (typeof value !== 'object' || value === null) return;
    const entries = Object.entries(value);
    for (const [key, inner] of entries) {
      if ((key === 'rawSql' || key === 'rawSQL' || (key === 'query' && path.includes('templating'))) && typeof inner === 'string' && /\sfrom\s/.test(inner)) {
        const kind = path.includes('templating') ? 'variable' : path.includes('annotations') ? 'annotation' : file.includes('alerting') ? 'alert' : 'panel';
        const format: unknown = Object.fromEntries(entries)['format'];
        found.push({ where: `${file} ${path}`, kind, sql: inner, series: format === 'time_series' || format === 0 });
      } else visit(inner, `${path}.${key}`);
    }
  };
  visit(file.endsWith('.json') ? JSON.parse(content) : load(content), '');
  return found;
}
