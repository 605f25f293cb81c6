import { BarChart, LineChart, ScatterChart } from 'echarts/charts';
import { AriaComponent, GridComponent, LegendComponent, TooltipComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import type { PlotData } from './plotdata.ts';

use([BarChart, LineChart, ScatterChart, GridComponent, TooltipComponent, LegendComponent, AriaComponent, SVGRenderer]);

// Okabe and Ito's palette: told apart by who is colour blind too.
const palette = ['#0072b2', '#e69f00', '#009e73', '#cc79a7', '#56b4e9', '#d55e00', '#8a949b', '#b8a800'];

export interface Plot {
  show(data: PlotData, kind: 'bar' | 'line' | 'scatter'): void;
  dispose(): void;
}

/** A chart of a statement's result that follows the width of its element and the colours of the page. */
export function createPlot(element: HTMLElement): Plot {
  const chart = init(element, undefined, { renderer: 'svg' });
  const follow = new ResizeObserver(() => chart.resize());
  follow.observe(element);
  let shown: readonly [PlotData, 'bar' | 'line' | 'scatter'] | undefined;
  const paint = (): void => {
    if (shown === undefined) return;
    const [data, kind] = shown;
    const color = getComputedStyle(element).getPropertyValue('color');
    const axis = { axisLabel: { color, hideOverlap: true }, nameTextStyle: { color } };
    chart.setOption({
      animation: false, useUTC: true, color: palette, tooltip: { trigger: kind === 'scatter' ? 'item' : 'axis', confine: true },
      grid: { left: 64, right: 20, top: data.series.length > 1 ? 40 : 16, bottom: 40 },
      legend: { show: data.series.length > 1, type: 'scroll', top: 0, textStyle: { color } },
      xAxis: { ...axis, type: data.axis, ...(data.axis === 'category' ? { data: data.categories } : { scale: true }) },
      yAxis: { ...axis, type: 'value', scale: kind !== 'bar', splitLine: { lineStyle: { opacity: 0.3 } } },
      series: data.series.map(({ name, points }) => ({ name, type: kind, data: points, showSymbol: points.length < 100, symbolSize: 6 })),
    }, { notMerge: true });
  };
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', paint);
  return {
    show(data, kind) {
      shown = [data, kind];
      paint();
    },
    dispose() {
      dark.removeEventListener('change', paint);
      follow.disconnect();
      chart.dispose();
    },
  };
}
