// What bars need of ECharts, file by file: its own lists of charts and components load all of them, 40 MB more.
type Install = Parameters<typeof import('echarts/core').use>[0];

declare module 'echarts/lib/chart/bar/install.js' {
  export const install: Install;
}
declare module 'echarts/lib/component/grid/installSimple.js' {
  export const install: Install;
}
declare module 'echarts/lib/component/legend/installLegendPlain.js' {
  export const install: Install;
}
declare module 'echarts/lib/renderer/installSVGRenderer.js' {
  export const install: Install;
}
