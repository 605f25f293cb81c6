import Type from 'typebox';
import type { Clock } from '#core/clock.ts';
import type { Database } from '#core/database/database.ts';
import { WatershedError } from '#core/errors.ts';
import { questionOf } from '#core/reports/content.ts';
import type { Definition, Reports } from '#core/reports/reports.ts';
import type { Store } from '#core/store/store.ts';
import { renderAlert } from '#dashboards/reports/alert.ts';
import { conditionSql, verdictOf } from '#dashboards/reports/conditions.ts';
import type { Layout, Parameters, Part, Rows } from '#dashboards/reports/layout.ts';
import { contentTypes, layouts, renderReport, type RenderedReport, type ReportFormat } from '#dashboards/reports/render.ts';
import type { JobDefinition } from './job.ts';
import type { Ask } from './report-ask.ts';
import { deleteOld, type RenderedFile, type Run, workOnRun } from './report-runs.ts';
import type { Send } from './report-send.ts';

export interface ReportJobOptions {
  readonly database: Database;
  readonly reports: Reports;
  readonly clock: Clock;
  readonly ask: Ask;
  readonly send: Send;
  /** Where `send` puts what goes to the object store: old files are deleted there. */
  readonly store: Store;
}

const Nothing = Type.Object({});
const planEveryMs = 20_000;
const deleteEveryMs = 3_600_000;
// While one waits for the lake or for a mail server, the other renders.
const runsAtOnce = 2;

/** The job that plans and delivers reports, and delivers what alerts tell: looks every twenty seconds. */
export function reportJob(options: ReportJobOptions): JobDefinition<typeof Nothing> {
  const { database, reports, clock, ask, send } = options;
  const working = { database, clock, send, render: (run: Run, signal: AbortSignal) => filesOf(ask, run, signal) };
  let deletedAtMs = -Infinity;
  return {
    name: 'report',
    description: 'Renders reports that are due, delivers them and what alerts tell, each once',
    payload: Nothing,
    schedule: { when: { everyMs: planEveryMs }, payload: {} },
    concurrency: 1,
    attempts: 1,
    async run(_payload, { signal, progress }) {
      let done = 0;
      // A busy hour must not put off what becomes due meanwhile.
      let plannedAtMs = clock.monotonic();
      await reports.plan();
      const worker = async (): Promise<void> => {
        while (!signal.aborted && await workOnRun(working, signal)) {
          await progress({ runs: ++done });
          if (clock.monotonic() - plannedAtMs < planEveryMs) continue;
          plannedAtMs = clock.monotonic();
          await reports.plan();
        }
      };
      const outcomes = await Promise.allSettled(Array.from({ length: runsAtOnce }, worker));
      for (const outcome of outcomes) if (outcome.status === 'rejected') throw outcome.reason;
      if (clock.monotonic() - deletedAtMs < deleteEveryMs) return;
      await deleteOld(options);
      deletedAtMs = clock.monotonic();
    },
  };
}

/** Renders a report as it would be at `at`, without writing or sending anything. */
export async function previewReport(
  { ask }: Pick<ReportJobOptions, 'ask'>, report: Definition, at: number, format: ReportFormat, signal: AbortSignal,
): Promise<{ readonly contentType: string; readonly bytes: Buffer }> {
  const rendered = await render(ask, report, at, [format], signal);
  return { contentType: contentTypes[format], bytes: rendered.files[format] ?? Buffer.alloc(0) };
}

async function filesOf(ask: Ask, { definition, slot, kind }: Run, signal: AbortSignal): Promise<{ files: RenderedFile[] } | { unmet: string }> {
  if ('detail' in definition) {
    const { html, json } = renderAlert(definition);
    return { files: [{ format: 'html', contentType: contentTypes.html, bytes: html }, { format: 'json', contentType: 'application/json', bytes: json }] };
  }
  const at = slot.getTime();
  const { condition } = definition;
  // A test is to be seen, whatever happens.
  if (condition !== null && kind !== 'test') {
    const { period } = parametersOf(definition, layoutOf(definition.layout), at);
    const verdict = verdictOf(condition, await ask(definition.owner, conditionSql(condition, at, period), signal), at);
    if (!verdict.holds) return { unmet: verdict.detail };
  }
  const formats = [...new Set<ReportFormat>(['html', ...definition.deliveries.flatMap(({ format }) => (format === 'json' ? [] : [format]))])];
  const { files } = await render(ask, definition, at, formats, signal);
  return { files: formats.map((format) => ({ format, contentType: contentTypes[format], bytes: files[format] ?? Buffer.alloc(0) })) };
}

async function render(ask: Ask, report: Definition, at: number, formats: readonly ReportFormat[], signal: AbortSignal): Promise<RenderedReport> {
  const layout = layoutOf(report.layout);
  const parameters = parametersOf(report, layout, at);
  const answers: Record<string, Rows> = {};
  for (const [name, question] of Object.entries(layout.questions(parameters))) answers[name] = await ask(report.owner, question, signal);
  return await renderReport(layout, parameters, answers, formats);
}

function parametersOf(report: Definition, layout: Layout, at: number): Parameters {
  const hours = report.parameters.hours ?? layout.hours;
  const period = { from: at - hours * 3_600_000, to: at };
  const event = report.parameters.event ?? '';
  const own = { event, hours, from: new Date(period.from).toISOString(), to: new Date(period.to).toISOString() };
  const content = report.content.map((part): Part => ({
    show: part.show, title: part.title ?? report.queries[part.query]?.name ?? part.query, question: questionOf(part, report.queries, own),
  }));
  return { event, period, title: report.name, content };
}

function layoutOf(name: string): Layout {
  const layout = layouts.find((candidate) => candidate.name === name);
  if (layout !== undefined) return layout;
  throw new WatershedError('not_found', `there is no layout ${name}`, { hint: `Layouts are ${layouts.map((known) => known.name).join(', ')}.` });
}
