import { join } from 'node:path';
import { renderAsync } from '@resvg/resvg-js';
import { init, use } from 'echarts/core';
import { install as bars } from 'echarts/lib/chart/bar/install.js';
import { install as grid } from 'echarts/lib/component/grid/installSimple.js';
import { install as legend } from 'echarts/lib/component/legend/installLegendPlain.js';
import { install as svg } from 'echarts/lib/renderer/installSVGRenderer.js';
import { drawable, fontFolder } from './glyphs.ts';
import type { Bars } from './layout.ts';
import { opaquePng } from './png.ts';

for (const part of [bars, grid, legend, svg]) use(part);

const size = { width: 860, height: 320 };
/** Draws stacked bars as a PNG, without a browser; pixels are made on another thread. */
export async function barsToPng({ steps, series }: Bars): Promise<Buffer> {
  const chart = init(null, undefined, { renderer: 'svg', ssr: true, ...size });
  try {
    chart.setOption({
      animation: false, backgroundColor: '#ffffff', textStyle: { fontFamily: 'Roboto' },
      grid: { left: 60, right: 20, top: 60, bottom: 40 }, legend: { top: 8, textStyle: { fontFamily: 'Roboto' } },
      xAxis: { type: 'category', data: steps.map(drawable) }, yAxis: { type: 'value', minInterval: 1 },
      series: series.map(({ name, color, values }) => ({ name: drawable(name), type: 'bar', stack: 'all', itemStyle: { color }, data: [...values] })),
    });
    const fonts = ['Roboto-Regular.ttf', 'Roboto-Medium.ttf'].map((file) => join(fontFolder, file));
    const picture = await renderAsync(chart.renderToSVGString(), {
      fitTo: { mode: 'zoom', value: 1.25 }, font: { fontFiles: fonts, loadSystemFonts: false, defaultFontFamily: 'Roboto', sansSerifFamily: 'Roboto' },
    });
    return await opaquePng(picture.pixels, picture.width, picture.height);
  } finally {
    // Without it the process would stay alive.
    chart.dispose();
  }
}
