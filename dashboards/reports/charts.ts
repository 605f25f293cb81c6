import { join } from 'node:path';
import { renderAsync } from '@resvg/resvg-js';
import { BarChart } from 'echarts/charts';
import { GridComponent, LegendComponent } from 'echarts/components';
import { init, use } from 'echarts/core';
import { SVGRenderer } from 'echarts/renderers';
import { createRequire } from 'node:module';
import type { Bars } from './layout.ts';

use([BarChart, GridComponent, LegendComponent, SVGRenderer]);

const size = { width: 860, height: 320 };
/** Resvg leaves out all text without a word where it has no font; pdfmake brings these. */
export const fontFolder = join(createRequire(import.meta.url).resolve('pdfmake/package.json'), '..', 'fonts', 'Roboto');

/** Draws stacked bars as a PNG, without a browser; pixels are made on another thread. */
export async function barsToPng(bars: Bars): Promise<Buffer> {
  const chart = init(null, undefined, { renderer: 'svg', ssr: true, ...size });
  try {
    chart.setOption({
      animation: false, backgroundColor: '#ffffff', textStyle: { fontFamily: 'Roboto' },
      grid: { left: 60, right: 20, top: 60, bottom: 40 }, legend: { top: 8, textStyle: { fontFamily: 'Roboto' } },
      xAxis: { type: 'category', data: [...bars.steps] }, yAxis: { type: 'value', minInterval: 1 },
      series: bars.series.map(({ name, color, values }) => ({ name, type: 'bar', stack: 'all', itemStyle: { color }, data: [...values] })),
    });
    const fonts = ['Roboto-Regular.ttf', 'Roboto-Medium.ttf'].map((file) => join(fontFolder, file));
    const picture = await renderAsync(chart.renderToSVGString(), {
      fitTo: { mode: 'zoom', value: 2 }, font: { fontFiles: fonts, loadSystemFonts: false, defaultFontFamily: 'Roboto', sansSerifFamily: 'Roboto' },
    });
    return picture.asPng();
  } finally {
    // Without it the process would stay alive.
    chart.dispose();
  }
}
