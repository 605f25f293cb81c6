import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';

/**
 * The two ways in which Grafana reaches the lake. Panels, variables and alerts are written once, in SQL that both
 * engines understand; only the shape of a query in the dashboard's JSON and what the macros become differ.
 */
export interface Variant {
  readonly name: 'postgres' | 'trino';
  /** Id of the data source plugin. */
  readonly plugin: string;
  readonly query: (sql: string, refId: string, format: Format) => Readonly<Record<string, unknown>>;
}

export type Format = 'time_series' | 'table';

/** The data source that the provisioning files make; alert rules cannot name it by a variable. */
export const dataSourceUid = 'watershed';

export const variants: readonly Variant[] = [
  {
    name: 'postgres',
    plugin: 'grafana-postgresql-datasource',
    query: (rawSql, refId, format) => ({ refId, rawSql, rawQuery: true, editorMode: 'code', format }),
  },
  {
    name: 'trino',
    plugin: 'trino-datasource',
    // FormatOptions of the plugin's src/types.ts.
    query: (rawSQL, refId, format) => ({ refId, rawSQL, format: format === 'time_series' ? 0 : 1 }),
  },
];

/** A query in the form that the SDK's builders take; the SDK has none for SQL data sources. */
export function sqlQuery(variant: Variant, sql: string, format: Format, refId = 'A'): Builder<Dataquery> {
  const datasource = { type: variant.plugin, uid: '${datasource}' };
  return { build: () => ({ ...variant.query(sql, refId, format), datasource, _implementsDataqueryVariant: () => undefined }) };
}
