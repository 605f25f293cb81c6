import { BarChart } from 'echarts/charts';
import { AriaComponent, BrushComponent, GridComponent, MarkAreaComponent, ToolboxComponent, TooltipComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { kinds } from './filter.ts';
import { aligned, type Series } from './timeline.ts';

use([BarChart, GridComponent, TooltipComponent, AriaComponent, BrushComponent, ToolboxComponent, MarkAreaComponent, SVGRenderer]);

export interface Gap {
  readonly from: number;
  readonly to: number;
}

export interface TimeChart {
  show(series: readonly Series[], stepMs: number, gaps: readonly Gap[]): void;
  dispose(): void;
}

/**
 * Stacked bars over time that follow the width of their element and the colours of the page. `onRange` is told the
 * range, ms since 1970, that a person draws over it.
 */
export function createTimeChart(element: HTMLElement, onRange: (from: number, to: number) => void): TimeChart {
  const chart = init(element, undefined, { renderer: 'svg' });
  const follow = new ResizeObserver(() => chart.resize());
  follow.observe(element);
  const paint = (): void => {
    const soft = getComputedStyle(element).getPropertyValue('color');
    chart.setOption({
      xAxis: { type: 'time', axisLabel: { color: soft, hideOverlap: true } },
      yAxis: { type: 'value', minInterval: 1, axisLabel: { color: soft }, splitLine: { lineStyle: { opacity: 0.3 } } },
    });
  };
  chart.setOption({
    animation: false, useUTC: true,
    grid: { left: 52, right: 12, top: 12, bottom: 28 },
    tooltip: { trigger: 'axis', axisPointer: { type: 'shadow' }, confine: true },
    toolbox: { show: false },
    brush: { xAxisIndex: 0, brushType: 'lineX', brushMode: 'single', throttleType: 'debounce', throttleDelay: 100, outOfBrush: { colorAlpha: 0.4 } },
  });
  paint();
  chart.on('brushEnd', (event) => {
    const range = rangeOf(event);
    if (range === undefined) return;
    chart.dispatchAction({ type: 'brush', areas: [] });
    onRange(range[0], range[1]);
  });
  const dark = matchMedia('(prefers-color-scheme: dark)');
  dark.addEventListener('change', paint);
  let drawn = '';
  return {
    show(series, stepMs, gaps) {
      // Drawing is the longest task of the page: what is drawn already is left as it is.
      const wanted = JSON.stringify([series, stepMs, gaps]);
      if (wanted === drawn) return;
      drawn = wanted;
      // A bar of a time axis stands on its point: half a step to the right puts it over its own step.
      chart.setOption({
        series: aligned(series).map(({ label, points }, index) => ({
          id: label, type: 'bar', stack: 'all', barCategoryGap: '12%', barMinWidth: 1,
          name: kinds.find((kind) => kind.label === label)?.name ?? label, itemStyle: { color: kinds.find((kind) => kind.label === label)?.color },
          data: points.map(([at, posts]) => [at + stepMs / 2, posts]),
          ...(index > 0 ? {} : { markArea: { silent: true, itemStyle: { color: 'rgba(168, 50, 31, 0.18)' },
            data: gaps.map(({ from, to }) => [{ xAxis: from }, { xAxis: to }]) } }),
        })),
      }, { replaceMerge: ['series'] });
      chart.dispatchAction({ type: 'takeGlobalCursor', key: 'brush', brushOption: { brushType: 'lineX', brushMode: 'single' } });
    },
    dispose() {
      dark.removeEventListener('change', paint);
      follow.disconnect();
      chart.dispose();
    },
  };
}

function rangeOf(event: unknown): readonly [number, number] | undefined {
  if (typeof event !== 'object' || event === null || !('areas' in event) || !Array.isArray(event.areas)) return undefined;
  const area: unknown = event.areas[0];
  if (typeof area !== 'object' || area === null || !('coordRange' in area) || !Array.isArray(area.coordRange)) return undefined;
  const [from, to] = area.coordRange.map(Number);
  return from !== undefined && to !== undefined && to - from > 1000 ? [from, to] : undefined;
}
