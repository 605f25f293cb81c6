import type { FastifyInstance, FastifyPluginAsync, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import { collectorNames, CrisisEvent, Rule } from '#core/contract/event.ts';
import { WatershedError } from '#core/errors.ts';
import type { Registry } from '#core/events/registry.ts';
import { principalOf } from './identity.ts';
import type { PreviewRule } from './preview.ts';

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
  version: Type.Optional(Type.Integer({ minimum: 1, description: 'The version that was read, where If-Match is not sent' })),
}, { additionalProperties: false });
const PreviewQuestion = Type.Object({
  rule: Rule, posts: Type.Optional(Type.Integer({ minimum: 0, maximum: 200 })),
}, { additionalProperties: false });
const PreviewAnswer = Type.Object({
  looked: Type.Integer(), complete: Type.Boolean(), since: Type.Union([Type.String(), Type.Null()]), matched: Type.Integer(),
  posts: Type.Array(Type.Object({
    source: Type.String(), postId: Type.String(), createdAt: Type.String(), author: Type.Union([Type.String(), Type.Null()]),
    text: Type.String(), matched: Type.Array(Type.String()), events: Type.Array(Type.String()),
  })),
});
const List = Type.Object({ events: Type.Array(CrisisEvent) });

type WithId = { Params: { id: string } };

/** The events' API (architecture.md §8). Reading asks for `read_events`, changing for `change_events`. */
export function eventRoutes({ registry, preview }: { registry: Registry; preview?: PreviewRule }): FastifyPluginAsync {
  return async (app) => {
    if (preview !== undefined) addPreview(app, preview);
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
        description: 'With If-Match (the version, as ETag gave it) or `version` a change that somebody else was quicker with is refused.',
      },
    }, async (request, reply) => {
      const { version, ...changes } = request.body;
      const event = await registry.edit(request.params.id, changes, changer(request), versionOf(request) ?? version);
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

function addPreview(app: FastifyInstance, preview: PreviewRule): void {
  app.post<{ Body: Static<typeof PreviewQuestion> }>('/api/events/preview', {
    schema: {
      summary: 'What a rule would match among the newest posts in the lake',
      description: 'Looks at no more than the newest 20,000 posts, with the matcher that collectors use. Nothing is changed.',
      body: PreviewQuestion, response: { 200: PreviewAnswer },
    },
  }, async (request, reply) => {
    const principal = principalOf(request);
    requireCan(principal, 'read_events');
    requireCan(principal, 'query');
    const gone = new AbortController();
    reply.raw.once('close', () => gone.abort(new WatershedError('cancelled', 'the client has gone')));
    return await preview(request.body.rule, request.body.posts ?? 20, principal.name, gone.signal);
  });
}

function changer(request: FastifyRequest): string {
  const principal = principalOf(request);
  requireCan(principal, 'change_events');
  return principal.name;
}

function versionOf(request: FastifyRequest): number | undefined {
  const given = request.headers['if-match'];
  if (given === undefined || given === '*') return undefined;
  // A proxy that compresses makes the tag a weak one.
  const version = Number(given.replace(/^W\//, '').replaceAll('"', ''));
  if (Number.isInteger(version)) return version;
  throw new WatershedError('bad_request', `If-Match is the version of the event, not ${given}`);
}
