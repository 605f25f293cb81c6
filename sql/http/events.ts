import type { FastifyPluginAsync, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import { collectorNames, CrisisEvent, Rule } from '#core/contract/event.ts';
import { WatershedError } from '#core/errors.ts';
import type { EventInput, Registry } from '#core/events/registry.ts';
import { principalOf } from './identity.ts';

const Nullable = Type.Union([Type.String({ format: 'date-time' }), Type.Null()]);
const fields = {
  description: Type.Optional(Type.String({ maxLength: 5000 })),
  start: Type.Optional(Nullable),
  end: Type.Optional(Nullable),
};
const Sources = Type.Array(Type.Union(collectorNames.map((name) => Type.Literal(name))), { uniqueItems: true });
const Name = Type.String({ minLength: 1, maxLength: 200 });
const NewEvent = Type.Object({ name: Name, sources: Sources, rule: Rule, ...fields }, { additionalProperties: false });
const Changes = Type.Object({
  name: Type.Optional(Name), sources: Type.Optional(Sources), rule: Type.Optional(Rule), ...fields,
  status: Type.Optional(Type.Union([Type.Literal('active'), Type.Literal('paused'), Type.Literal('archived')])),
}, { additionalProperties: false });
const List = Type.Object({ events: Type.Array(CrisisEvent) });

type WithId = { Params: { id: string } };

/** The events' API (architecture.md §8). Reading asks for `read_events`, changing for `change_events`. */
export function eventRoutes({ registry }: { registry: Registry }): FastifyPluginAsync {
  return async (app) => {
    app.get('/api/events', { schema: { summary: 'All events', response: { 200: List } } }, async (request) => {
      requireCan(principalOf(request), 'read_events');
      return { events: await registry.list() };
    });
    app.post<{ Body: Static<typeof NewEvent> }>('/api/events', {
      schema: { summary: 'Follow a new event', body: NewEvent, response: { 201: CrisisEvent } },
    }, async (request, reply) => {
      const event = await registry.create(request.body, changer(request));
      return await reply.code(201).header('location', `/api/events/${event.id}`).header('etag', `"${event.version}"`).send(event);
    });
    app.get<WithId>('/api/events/:id', { schema: { summary: 'One event', response: { 200: CrisisEvent } } }, async (request, reply) => {
      requireCan(principalOf(request), 'read_events', request.params.id);
      const event = await registry.get(request.params.id);
      return await reply.header('etag', `"${event.version}"`).send(event);
    });
    app.patch<WithId & { Body: Static<typeof Changes> }>('/api/events/:id', {
      schema: {
        summary: 'Change an event while it runs', body: Changes, response: { 200: CrisisEvent },
        description: 'With If-Match (the version, as ETag gave it) a change that somebody else was quicker with is refused.',
      },
    }, async (request, reply) => {
      const event = await change(registry, request.params.id, request.body, changer(request), versionOf(request));
      return await reply.header('etag', `"${event.version}"`).send(event);
    });
    app.delete<WithId & { Querystring: { name?: string }; Body: { name?: string } | undefined }>('/api/events/:id', {
      schema: { summary: 'Delete an event: hidden at once; asks for its name' },
    }, async (request, reply) => {
      const by = changer(request);
      const name = request.query.name ?? request.body?.name;
      if (name === undefined) {
        throw new WatershedError('bad_request', 'deleting an event asks for its name', { hint: 'send {"name": "…"} or ?name=…' });
      }
      await registry.remove(request.params.id, name, by);
      return await reply.code(204).send();
    });
    app.get<WithId>('/api/events/:id/history', { schema: { summary: 'Who changed what, when' } }, async (request) => {
      requireCan(principalOf(request), 'read_events', request.params.id);
      return { history: await registry.history(request.params.id) };
    });
    for (const [action, kind] of [['pause', 'paused'], ['resume', 'resumed'], ['archive', 'archived'], ['restore', 'restored']] as const) {
      app.post<WithId>(`/api/events/:id/${action}`, { schema: { summary: `${action} an event`, response: { 200: CrisisEvent } } },
        async (request) => registry.setStatus(request.params.id, kind, changer(request)));
    }
  };
}

async function change(
  registry: Registry, id: string, { status, ...changes }: Static<typeof Changes>, by: string, version: number | undefined,
): Promise<CrisisEvent> {
  const now = await registry.get(id);
  const event = Object.keys(changes).length === 0 && version === undefined ? now
    : await registry.edit(id, changes satisfies Partial<EventInput>, by, version);
  if (status === undefined || status === event.status) return event;
  const kind = status === 'archived' ? 'archived' : status === 'active' ? 'resumed' : event.status === 'archived' ? 'restored' : 'paused';
  return registry.setStatus(id, kind, by);
}

function changer(request: FastifyRequest): string {
  const principal = principalOf(request);
  requireCan(principal, 'change_events');
  return principal.name;
}

function versionOf(request: FastifyRequest): number | undefined {
  const given = request.headers['if-match'];
  if (given === undefined || given === '*') return undefined;
  const version = Number(given.replaceAll('"', ''));
  if (Number.isInteger(version)) return version;
  throw new WatershedError('bad_request', `If-Match is the version of the event, not ${given}`);
}
