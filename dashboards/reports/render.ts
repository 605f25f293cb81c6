import { barsToPng } from './charts.ts';
import { toHtml } from './html.ts';
import type { Answers, Layout, Parameters } from './layout.ts';
import { toPdf } from './pdf.ts';
import { queriesReport } from './queries.ts';
import { situationReport } from './situation.ts';
import { toCsv, toXlsx } from './tables.ts';
import { weeklyReport } from './weekly.ts';

/** The layouts that are shipped. */
export const layouts: readonly Layout[] = [situationReport, weeklyReport, queriesReport];

export const reportFormats = ['html', 'csv', 'xlsx', 'pdf'] as const;
export type ReportFormat = (typeof reportFormats)[number];

export const contentTypes: Readonly<Record<ReportFormat, string>> = {
  html: 'text/html; charset=utf-8',
  csv: 'text/csv; charset=utf-8',
  xlsx: 'application/vnd.openxmlformats-officedocument.spreadsheetml.sheet',
  pdf: 'application/pdf',
};

export interface RenderedReport {
  readonly title: string;
  /** True where the layout's first numbers are all zero: nothing happened. */
  readonly empty: boolean;
  readonly files: Readonly<Partial<Record<ReportFormat, Buffer>>>;
}

/** Turns answers into files of the formats asked for. Pure: the same answers give the same pages. */
export async function renderReport(
  layout: Layout, parameters: Parameters, answers: Answers, formats: readonly ReportFormat[] = reportFormats,
): Promise<RenderedReport> {
  const document = layout.compose(parameters, answers);
  const charts: Buffer[] = [];
  if (formats.some((format) => format === 'html' || format === 'pdf')) {
    // One after the other: a drawing takes some ten megabytes while it is made.
    for (const section of document.sections) if (section.kind === 'bars') charts.push(await barsToPng(section.bars));
  }
  const files: Partial<Record<ReportFormat, Buffer>> = {};
  for (const format of formats) {
    switch (format) {
      case 'html':
        files.html = Buffer.from(toHtml(document, (chart) => `data:image/png;base64,${charts[chart]?.toString('base64') ?? ''}`));
        break;
      case 'csv': files.csv = toCsv(document); break;
      case 'xlsx': files.xlsx = await toXlsx(document); break;
      case 'pdf': files.pdf = await toPdf(document, charts); break;
    }
  }
  const numbers = document.sections.flatMap((section) => (section.kind === 'numbers' ? section.numbers : []));
  return { title: document.title, empty: numbers.length > 0 && numbers.every(({ value }) => value === 0), files };
}
