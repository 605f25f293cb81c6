import type { FastifyPluginAsync } from 'fastify';
import Type, { type Static } from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import type { Auth } from '#core/auth/auth.ts';
import { principalOf } from './identity.ts';

const NewToken = Type.Object({
  name: Type.String({ pattern: '^[a-z][a-z0-9_-]{1,39}$', description: 'Also the user name on the Postgres wire' }),
  kind: Type.Union([Type.Literal('admin'), Type.Literal('read')]),
}, { additionalProperties: false });

/** Named tokens, and one-time codes by which a browser gets its session (architecture.md §9). */
export function tokenRoutes({ auth }: { auth: Auth }): FastifyPluginAsync {
  return async (app) => {
    app.post('/api/codes', { schema: { summary: 'A one-time code for the page, of the token that asks' } }, async (request) => (
      { code: await auth.codes.create(principalOf(request)) }));
    app.get('/api/tokens', { schema: { summary: 'Named tokens, without their secrets' } }, async (request) => {
      requireCan(principalOf(request), 'manage_tokens');
      return { tokens: await auth.tokens.list() };
    });
    app.post<{ Body: Static<typeof NewToken> }>('/api/tokens', {
      schema: { summary: 'Make a token: the answer is the only time anybody sees it', body: NewToken },
    }, async (request, reply) => {
      const principal = principalOf(request);
      requireCan(principal, 'manage_tokens');
      const { name, kind } = request.body;
      return await reply.code(201).send({ name, kind, token: await auth.tokens.create(name, kind, principal) });
    });
    app.delete<{ Params: { name: string } }>('/api/tokens/:name', { schema: { summary: 'Revoke a token and its sessions' } }, async (request, reply) => {
      requireCan(principalOf(request), 'manage_tokens');
      await auth.tokens.revoke(request.params.name);
      return await reply.code(204).send();
    });
  };
}
