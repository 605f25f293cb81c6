import { BarChart } from 'echarts/charts';
import { AriaComponent, GridComponent, TooltipComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';

use([BarChart, GridComponent, TooltipComponent, AriaComponent, SVGRenderer]);

export interface TimeChart {
  /** Points are [ms since 1970, number]. */
  show(points: readonly (readonly [number, number])[]): void;
  dispose(): void;
}

/** Bars over time that follow the width of their element and the colours of the page. */
export function createTimeChart(element: HTMLElement): TimeChart {
  const chart = init(element, undefined, { renderer: 'svg' });
  const follow = new ResizeObserver(() => chart.resize());
  follow.observe(element);
  const style = getComputedStyle(element);
  const soft = style.getPropertyValue('color');
  chart.setOption({
    animation: false,
    grid: { left: 48, right: 12, top: 12, bottom: 28 },
    xAxis: { type: 'time', axisLabel: { color: soft, hideOverlap: true } },
    yAxis: { type: 'value', minInterval: 1, axisLabel: { color: soft }, splitLine: { lineStyle: { opacity: 0.3 } } },
    tooltip: { trigger: 'axis', axisPointer: { type: 'shadow' } },
    useUTC: true,
    series: [{ type: 'bar', data: [], barCategoryGap: '15%', itemStyle: { color: '#2a8fbd' } }],
  });
  return {
    show(points) {
      chart.setOption({ series: [{ data: points.map((point) => [...point]) }] });
    },
    dispose() {
      follow.disconnect();
      chart.dispose();
    },
  };
}
