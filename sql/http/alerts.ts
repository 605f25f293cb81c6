import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { can, requireCan } from '#core/auth/access.ts';
import type { Alert, AlertInput, Alerts } from '#core/reports/alerts.ts';
import type { Verdict } from '#core/reports/condition.ts';
import { ConditionBody } from './conditions.ts';
import { principalOf } from './identity.ts';

export interface AlertRoutesOptions {
  readonly alerts: Alerts;
  /** What a condition says now, asked with the rights of `owner`. `look` of transform/jobs/alert.ts. */
  readonly look: (alert: Pick<Alert, 'owner' | 'condition'>, signal: AbortSignal) => Promise<Verdict>;
  /** Asks for the job `report` soon, which delivers. */
  readonly hint: () => void;
}

const RecipientBody = Type.Object({
  kind: Type.Union([Type.Literal('mail'), Type.Literal('webhook')]),
  target: Type.String({ minLength: 1, maxLength: 2000 }),
}, { additionalProperties: false });
const fields = {
  name: Type.String({ minLength: 1, maxLength: 200 }),
  condition: ConditionBody,
  forMinutes: Type.Optional(Type.Integer({ minimum: 0, maximum: 1440, description: 'So long a change lasts before it is told' })),
  recipients: Type.Array(RecipientBody, { maxItems: 100 }),
};
const NewAlert = Type.Object(fields, { additionalProperties: false });
const Changes = Type.Partial(Type.Object({ ...fields, status: Type.Union([Type.Literal('active'), Type.Literal('paused')]) }), { additionalProperties: false });
const Looked = Type.Object({ condition: ConditionBody }, { additionalProperties: false });

type WithId = { Params: { id: string } };

/** The alerts' API. Reading asks for `read_reports`, changing, looking and sending for `change_reports`. */
export function alertRoutes({ alerts, look, hint }: AlertRoutesOptions): FastifyPluginAsync {
  return async (app) => {
    app.get('/api/alerts', { schema: { summary: 'All alerts, each with what was seen last' } }, async (request) => {
      const see = view(request);
      return { alerts: (await alerts.list()).map(see) };
    });
    app.post<{ Body: Static<typeof NewAlert> }>('/api/alerts', {
      schema: { summary: 'Watch a condition: told once when it begins, once when it is over', body: NewAlert },
    }, async (request, reply) => {
      const by = changer(request);
      return await reply.code(201).send(view(request)(await alerts.create(plain(request.body), by)));
    });
    app.post<{ Body: Static<typeof Looked> }>('/api/alerts/preview', {
      schema: { summary: 'What a condition says now; nothing is kept or sent', body: Looked },
    }, async (request) => look({ owner: changer(request), condition: plain(request.body).condition }, AbortSignal.timeout(60_000)));
    app.get<WithId>('/api/alerts/:id', { schema: { summary: 'One alert' } }, async (request) => view(request)(await alerts.get(request.params.id)));
    app.patch<WithId & { Body: Static<typeof Changes> }>('/api/alerts/:id', {
      schema: { summary: 'Change, pause or resume an alert; whoever changes it owns it', body: Changes },
    }, async (request) => {
      const by = changer(request);
      return view(request)(await alerts.edit(request.params.id, plain(request.body), by));
    });
    app.delete<WithId>('/api/alerts/:id', { schema: { summary: 'Delete an alert; what it told stays' } }, async (request, reply) => {
      await alerts.remove(request.params.id, changer(request));
      return await reply.code(204).send();
    });
    app.get<WithId>('/api/alerts/:id/runs', { schema: { summary: 'What was told to whom, newest first' } }, async (request) => {
      requireCan(principalOf(request), 'read_reports');
      return { runs: await alerts.runs(request.params.id, 200) };
    });
    app.post<WithId>('/api/alerts/:id/test', { schema: { summary: 'Tell its recipients what is seen now, as a test' } }, async (request, reply) => {
      changer(request);
      const run = await alerts.test(request.params.id, await look(await alerts.get(request.params.id), AbortSignal.timeout(60_000)));
      hint();
      return await reply.code(202).send({ run });
    });
  };
}

/** The schema was checked; exact optional properties are a finer point than it can say. */
function plain<Body extends object>(body: Body): Body & AlertInput {
  return body as Body & AlertInput; // codec: checked by Fastify against the schema above
}

/** Readers see no key that signs, and no address of a webhook, which may hold a secret of its own. */
function view(request: FastifyRequest): (alert: Alert) => Record<string, unknown> {
  const principal = principalOf(request);
  requireCan(principal, 'read_reports');
  const full = can(principal, 'change_reports');
  return ({ secret, recipients, ...alert }) => ({
    ...alert, ...(full ? { secret } : {}),
    recipients: full ? recipients : recipients.map((recipient) => (recipient.kind === 'webhook' ? { ...recipient, target: new URL(recipient.target).origin } : recipient)),
  });
}

function changer(request: FastifyRequest): string {
  const principal = principalOf(request);
  requireCan(principal, 'change_reports');
  return principal.name;
}
