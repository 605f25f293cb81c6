import { dataSourceUid, type Variant } from './query.ts';

interface Alert {
  readonly uid: string;
  readonly title: string;
  readonly summary: string;
  readonly sql: string;
  /** How far it looks back, seconds. */
  readonly backSeconds: number;
  /** It fires above this. */
  readonly above: number;
  readonly for: string;
}

const now = 'cast($__timeTo() as timestamp with time zone)';

const alerts: readonly Alert[] = [
  {
    uid: 'burst', title: 'Volume burst', backSeconds: 86_400, above: 5, for: '2m',
    summary: 'Event {{ $labels.event_id }} has {{ printf "%.1f" $values.A.Value }} times its usual number of posts',
    // Fewer than ten posts in ten minutes are no burst, however quiet the day was.
    sql: `select event_id, cast(sum(case when date_diff('minute', minute, ${now}) < 10 then posts else 0 end) as double)
  / greatest(cast(sum(posts) as double) / 144, 10) as times
from lake.activity where $__timeFilter(minute) group by 1`,
  },
  {
    uid: 'stall', title: 'Collection stalls', backSeconds: 86_400, above: 900, for: '5m',
    summary: 'Nothing has come from {{ $labels.source }} for {{ printf "%.0f" $values.A.Value }} s',
    sql: `select source, date_diff('second', max(minute), ${now}) as seconds
from lake.activity where $__timeFilter(minute) group by 1`,
  },
  {
    uid: 'gap', title: 'Posts are missed', backSeconds: 3600, above: 0, for: '0s',
    summary: 'A collector of {{ $labels.source }} was not connected; what was posted meanwhile is missing',
    sql: `select source, sum(case when filled_at is null then 1 else 0 end) as gaps
from (select source, since, max(filled_at) as filled_at from lake.journal where kind = 'gap' and $__timeFilter("at") group by 1, 2) as g
group by 1`,
  },
];

/** A provisioning file of alert rules, as an object for YAML. */
export function alertRules(variant: Variant): Readonly<Record<string, unknown>> {
  return { apiVersion: 1, groups: [{ orgId: 1, name: 'Watershed', folder: 'Watershed', interval: '1m', rules: alerts.map((alert) => rule(variant, alert)) }] };
}

function rule(variant: Variant, alert: Alert): Readonly<Record<string, unknown>> {
  const datasource = { type: variant.plugin, uid: dataSourceUid };
  return {
    uid: `watershed-${alert.uid}`, title: alert.title, condition: 'B', for: alert.for, noDataState: 'OK', execErrState: 'Error',
    annotations: { summary: alert.summary }, labels: { product: 'watershed' },
    data: [
      {
        refId: 'A', datasourceUid: dataSourceUid, relativeTimeRange: { from: alert.backSeconds, to: 0 },
        model: { ...variant.query(alert.sql, 'A', 'table'), datasource },
      },
      {
        refId: 'B', datasourceUid: '__expr__', relativeTimeRange: { from: alert.backSeconds, to: 0 },
        model: {
          refId: 'B', type: 'threshold', expression: 'A', datasource: { type: '__expr__', uid: '__expr__' },
          conditions: [{ evaluator: { type: 'gt', params: [alert.above] } }],
        },
      },
    ],
  };
}
