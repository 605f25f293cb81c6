import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { can, requireCan } from '#core/auth/access.ts';
import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import type { Definition, Report, Reports } from '#core/reports/reports.ts';
import { nextSlot } from '#core/reports/slots.ts';
import { ConditionBody } from './conditions.ts';
import { principalOf } from './identity.ts';

export interface ReportRoutesOptions {
  readonly reports: Reports;
  readonly clock: Clock;
  /** Names and descriptions of what can be chosen. */
  readonly layouts: readonly { readonly name: string; readonly title: string; readonly description: string; readonly hours: number }[];
  /** Renders without writing or sending. `previewReport` of transform/jobs/report.ts. */
  readonly preview: (
    report: Definition, at: number, format: 'html' | 'csv' | 'xlsx' | 'pdf', signal: AbortSignal,
  ) => Promise<{ readonly contentType: string; readonly bytes: Buffer }>;
  /** Asks for the job `report` soon. */
  readonly hint: () => void;
}

const Format = Type.Union([Type.Literal('html'), Type.Literal('csv'), Type.Literal('xlsx'), Type.Literal('pdf')]);
const DeliveryBody = Type.Object({
  kind: Type.Union([Type.Literal('file'), Type.Literal('mail'), Type.Literal('webhook'), Type.Literal('store')]),
  target: Type.String({ maxLength: 2000 }),
  format: Format,
}, { additionalProperties: false });
const PartBody = Type.Object({
  query: Type.String({ minLength: 1, maxLength: 100, description: 'Id of a saved query' }),
  title: Type.Optional(Type.String({ minLength: 1, maxLength: 200 })),
  show: Type.Union([Type.Literal('table'), Type.Literal('bars'), Type.Literal('number')]),
  values: Type.Optional(Type.Record(Type.String(), Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()]),
    { description: 'Of its parameters; event, hours, from and to are the report\'s own where none is given' })),
}, { additionalProperties: false });
const Deliveries = Type.Array(DeliveryBody, { maxItems: 100 });
const fields = {
  name: Type.String({ minLength: 1, maxLength: 200 }),
  layout: Type.String({ minLength: 1, maxLength: 100 }),
  parameters: Type.Object({
    event: Type.Optional(Type.String({ maxLength: 200 })), hours: Type.Optional(Type.Number({ exclusiveMinimum: 0, maximum: 24 * 366 })),
  }, { additionalProperties: false }),
  cron: Type.String({ maxLength: 200 }),
  timeZone: Type.String({ maxLength: 100 }),
  catchUp: Type.Union([Type.Literal('skip'), Type.Literal('last'), Type.Literal('all')]),
  deliveries: Deliveries,
};
const more = {
  content: Type.Optional(Type.Array(PartBody, { maxItems: 50, description: 'What the layout queries shows' })),
  condition: Type.Optional(Type.Union([ConditionBody, Type.Null()], { description: 'Where it does not hold, nothing is sent' })),
  keepDays: Type.Optional(Type.Integer({ minimum: 1, maximum: 3660, description: 'Delivered files are deleted after so long' })),
};
const NewReport = Type.Object({ ...fields, ...more }, { additionalProperties: false });
const Changes = Type.Partial(Type.Object({ ...fields, ...more, status: Type.Union([Type.Literal('active'), Type.Literal('paused')]) }), { additionalProperties: false });
const Moment = Type.Object({ at: Type.Optional(Type.String({ format: 'date-time' })), format: Type.Optional(Format) }, { additionalProperties: false });
const Draft = Type.Object({ report: NewReport, at: Type.Optional(Type.String({ format: 'date-time' })), format: Type.Optional(Format) }, { additionalProperties: false });
const TestSend = Type.Object({ at: Type.Optional(Type.String({ format: 'date-time' })), deliveries: Type.Optional(Deliveries) }, { additionalProperties: false });

/** As long as a person waits for a preview. */
const previewMs = 120_000;

type WithId = { Params: { id: string } };

/** The reports' API. Reading asks for `read_reports`, changing, previewing and sending for `change_reports`. */
export function reportRoutes(options: ReportRoutesOptions): FastifyPluginAsync {
  const { reports } = options;
  return async (app) => {
    app.get('/api/reports', { schema: { summary: 'All reports, and the layouts there are' } }, async (request) => {
      const see = view(request, options.clock);
      return { reports: (await reports.list()).map(see), layouts: options.layouts.map(({ name, title, description, hours }) => ({ name, title, description, hours })) };
    });
    app.post<{ Body: Static<typeof NewReport> }>('/api/reports', { schema: { summary: 'Make a report', body: NewReport } }, async (request, reply) => {
      const by = changer(request);
      requireLayout(options.layouts, request.body.layout);
      return await reply.code(201).send(view(request, options.clock)(await reports.create(request.body, by)));
    });
    app.get<WithId>('/api/reports/:id', { schema: { summary: 'One report' } }, async (request) => view(request, options.clock)(await reports.get(request.params.id)));
    app.patch<WithId & { Body: Static<typeof Changes> }>('/api/reports/:id', {
      schema: { summary: 'Change, pause or resume a report; whoever changes it owns it', body: Changes },
    }, async (request) => {
      const by = changer(request);
      if (request.body.layout !== undefined) requireLayout(options.layouts, request.body.layout);
      return view(request, options.clock)(await reports.edit(request.params.id, request.body, by));
    });
    app.delete<WithId>('/api/reports/:id', { schema: { summary: 'Delete a report; its runs stay' } }, async (request, reply) => {
      await reports.remove(request.params.id, changer(request));
      return await reply.code(204).send();
    });
    await app.register(runRoutes(options));
  };
}

function runRoutes({ reports, preview, hint, clock, layouts }: ReportRoutesOptions): FastifyPluginAsync {
  return async (app) => {
    app.post<WithId & { Body: Static<typeof Moment> }>('/api/reports/:id/preview', {
      schema: { summary: 'The report as it would be now, or at a moment; nothing is sent', body: Moment },
    }, async (request, reply) => {
      // It is rendered with the rights of who asks, not of who owns it.
      const owner = changer(request);
      const report = await reports.definition(request.params.id);
      const at = request.body.at === undefined ? clock.now() : Date.parse(request.body.at);
      const { contentType, bytes } = await preview({ ...report, owner }, at, request.body.format ?? 'html', AbortSignal.timeout(previewMs));
      return await reply.type(contentType).header('cache-control', 'no-store').send(bytes);
    });
    app.post<{ Body: Static<typeof Draft> }>('/api/reports/preview', {
      schema: { summary: 'A report that is not kept yet, as it would be now, or at a moment', body: Draft },
    }, async (request, reply) => {
      const { report, at, format } = request.body;
      requireLayout(layouts, report.layout);
      const draft = await reports.draft(report, changer(request));
      const { contentType, bytes } = await preview(draft, at === undefined ? clock.now() : Date.parse(at), format ?? 'html', AbortSignal.timeout(previewMs));
      return await reply.type(contentType).header('cache-control', 'no-store').send(bytes);
    });
    app.post<WithId & { Body: Static<typeof TestSend> }>('/api/reports/:id/test', {
      schema: { summary: 'Render and send it once, beside the schedule', body: TestSend },
    }, async (request, reply) => {
      changer(request);
      const at = request.body.at === undefined ? undefined : Date.parse(request.body.at);
      const run = await reports.test(request.params.id, request.body.deliveries, at);
      hint();
      return await reply.code(202).send({ run });
    });
    app.get<WithId>('/api/reports/:id/runs', { schema: { summary: 'What was sent to whom, newest first' } }, async (request) => {
      requireCan(principalOf(request), 'read_reports');
      return { runs: await reports.runs(request.params.id, 200) };
    });
    app.get<{ Params: { run: string; format: string } }>('/api/report-runs/:run/:format', { schema: { summary: 'The file of a run' } }, async (request, reply) => {
      requireCan(principalOf(request), 'read_reports');
      const { contentType, bytes, name } = await reports.output(request.params.run, request.params.format);
      return await reply.type(contentType).header('content-disposition', `attachment; filename="${name}"`).send(bytes);
    });
    app.post<{ Params: { run: string } }>('/api/report-runs/:run/retry', { schema: { summary: 'Try again what failed of a run' } }, async (request, reply) => {
      changer(request);
      await reports.retry(request.params.run);
      hint();
      return await reply.code(202).send({ run: request.params.run });
    });
  };
}

/** Readers see no key that signs, and no address of a webhook, which may hold a secret of its own. */
function view(request: FastifyRequest, clock: Clock): (report: Report) => Record<string, unknown> {
  const principal = principalOf(request);
  requireCan(principal, 'read_reports');
  const full = can(principal, 'change_reports');
  return ({ secret, deliveries, ...report }) => ({
    ...report, ...(full ? { secret } : {}), nextAt: report.status === 'active' ? nextAt(report, clock) : null,
    deliveries: full ? deliveries : deliveries.map((delivery) => (delivery.kind === 'webhook' ? { ...delivery, target: new URL(delivery.target).origin } : delivery)),
  });
}

function nextAt({ cron, timeZone }: Pick<Report, 'cron' | 'timeZone'>, clock: Clock): string | null {
  const next = nextSlot(cron, timeZone, clock.now());
  return next === undefined ? null : new Date(next).toISOString();
}

function changer(request: FastifyRequest): string {
  const principal = principalOf(request);
  requireCan(principal, 'change_reports');
  return principal.name;
}

function requireLayout(layouts: ReportRoutesOptions['layouts'], name: string): void {
  if (layouts.some((layout) => layout.name === name)) return;
  throw new WatershedError('bad_request', `there is no layout ${name}`, { hint: `Layouts are ${layouts.map((layout) => layout.name).join(', ')}.` });
}
