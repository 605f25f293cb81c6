import type { Builder, Dataquery } from '@grafana/grafana-foundation-sdk/cog';
import { GraphDrawStyle, StackingMode } from '@grafana/grafana-foundation-sdk/common';
import { StackingConfigBuilder, VizLegendOptionsBuilder } from '@grafana/grafana-foundation-sdk/common';
import {
  AnnotationQueryBuilder, DashboardBuilder, DashboardCursorSync, DatasourceVariableBuilder, type Panel, QueryVariableBuilder,
  VariableRefresh, VariableSort,
} from '@grafana/grafana-foundation-sdk/dashboard';
import { PanelBuilder as Stat } from '@grafana/grafana-foundation-sdk/stat';
import { PanelBuilder as Table } from '@grafana/grafana-foundation-sdk/table';
import { PanelBuilder as TimeSeries } from '@grafana/grafana-foundation-sdk/timeseries';
import { sqlQuery, type Variant } from './query.ts';

/** What stands on every dashboard: its data source, its place in time, the gaps as shaded times. */
export function dashboard(variant: Variant, options: { uid: string; title: string; description: string; from: string }): DashboardBuilder {
  return new DashboardBuilder(options.title)
    .uid(`watershed-${options.uid}-${variant.name}`)
    .description(options.description)
    .tags(['watershed'])
    .timezone('utc')
    .time({ from: options.from, to: 'now' })
    .refresh('30s')
    .tooltip(DashboardCursorSync.Crosshair)
    .editable()
    .withVariable(new DatasourceVariableBuilder('datasource').label('Lake').type(variant.plugin))
    .annotation(gapAnnotation(variant));
}

/** Times in which a collector was not connected: Grafana draws a region from `time` to `timeend`. */
function gapAnnotation(variant: Variant): AnnotationQueryBuilder {
  const target = sqlQuery(variant, `select since as "time", coalesce(max(until), max("at")) as "timeend",
  source || ': ' || coalesce(max(cause), 'gap') as "text", case when max(filled_at) is null then 'open' else 'filled' end as "tags"
from lake.journal
where kind = 'gap' and $__timeFilter(since)
group by since, source
order by 1`, 'table', 'Anno');
  return new AnnotationQueryBuilder().name('Gaps in collection').datasource({ type: variant.plugin, uid: '${datasource}' })
    .enable(true).iconColor('red').target(target);
}

export function eventVariable(variant: Variant): QueryVariableBuilder {
  const sql = 'select event_id as "__value", name as "__text" from lake.events order by name';
  return new QueryVariableBuilder('event').label('Event').datasource({ type: variant.plugin, uid: '${datasource}' })
    .query(variant.name === 'postgres' ? sql : { ...variant.query(sql, 'Variable', 'table') })
    .refresh(VariableRefresh.OnDashboardLoad).sort(VariableSort.Disabled);
}

export interface PanelText {
  readonly title: string;
  readonly description: string;
  readonly sql: string;
  /** A unit of Grafana's list; `short` where it is a count. */
  readonly unit?: string;
  /** Of 24. */
  readonly width: number;
  readonly height?: number;
}

export interface Parts {
  stat(text: PanelText): Builder<Panel>;
  /** Stacked bars per step of time, a series per value of the column `metric`. */
  bars(text: PanelText): Builder<Panel>;
  lines(text: PanelText): Builder<Panel>;
  table(text: PanelText): Builder<Panel>;
}

/** Panels that ask the data source of the variant. */
export function partsOf(variant: Variant): Parts {
  const datasource = { type: variant.plugin, uid: '${datasource}' };
  const series = (text: PanelText): TimeSeries => new TimeSeries().title(text.title).description(text.description).datasource(datasource)
    .withTarget(sqlQuery(variant, text.sql, 'time_series')).unit(text.unit ?? 'short').span(text.width).height(text.height ?? 8)
    .interval('1m').legend(new VizLegendOptionsBuilder().showLegend(true)).min(0);
  const target = (text: PanelText): Builder<Dataquery> => sqlQuery(variant, text.sql, 'table');
  return {
    stat: (text) => new Stat().title(text.title).description(text.description).datasource(datasource).withTarget(target(text))
      .unit(text.unit ?? 'short').span(text.width).height(text.height ?? 4).noValue('0'),
    bars: (text) => series(text).drawStyle(GraphDrawStyle.Bars).fillOpacity(80).lineWidth(0)
      .stacking(new StackingConfigBuilder().mode(StackingMode.Normal)),
    lines: (text) => series(text).drawStyle(GraphDrawStyle.Line).fillOpacity(10),
    table: (text) => new Table().title(text.title).description(text.description).datasource(datasource).withTarget(target(text))
      .unit(text.unit ?? 'short').span(text.width).height(text.height ?? 8),
  };
}
