import type { FastifyInstance } from 'fastify';
import { requireCan } from '#core/auth/access.ts';
import type { Limits } from '../engine/engine.ts';
import { formatOf } from './formats.ts';
import { principalOf } from './identity.ts';
import { acceptLosslessJson, limitsOf, paramOf, SqlBody, type SqlRequest } from './sql-routes.ts';
import type { LongStatements } from './statements.ts';

type WithId = { Params: { id: string } };

/**
 * Statements by id: start one, ask how far it is, fetch its result within an hour, cancel it. Each sees only one's
 * own.
 */
export function statementRoutes({
  statements,
  limits,
}: {
  statements: LongStatements;
  limits: Limits;
}): (app: FastifyInstance) => Promise<void> {
  return async (app) => {
    acceptLosslessJson(app);
    app.addHook('preHandler', async (request) => requireCan(principalOf(request), 'query'));
    app.post<{ Body: SqlRequest }>(
      '/api/statements',
      {
        schema: {
          summary: 'Start a statement and come back for its result',
          description: 'The format of the result is chosen here, as for /api/sql.',
          body: SqlBody,
        },
      },
      async (request, reply) => {
        const { sql, params = [] } = request.body;
        const info = statements.start(
          {
            sql,
            params: params.map(paramOf),
            limits: limitsOf(request.body, limits),
            limited: request.body.limits !== undefined,
            format: formatOf(request),
          },
          principalOf(request),
        );
        return await reply.code(202).header('location', `/api/statements/${info.id}`).send(info);
      },
    );
    app.get('/api/statements', { schema: { summary: 'Your statements' } }, async (request) => ({
      statements: statements.list(principalOf(request)),
    }));
    app.get<WithId>('/api/statements/:id', { schema: { summary: 'How far a statement is' } }, async (request) =>
      statements.get(request.params.id, principalOf(request)),
    );
    app.get<WithId>(
      '/api/statements/:id/result',
      { schema: { summary: 'The result of a statement that is done' } },
      async (request, reply) => {
        const { format, bytes, stream } = await statements.result(request.params.id, principalOf(request));
        return await reply
          .type(format.contentType)
          .header('content-length', bytes)
          .header('cache-control', 'no-store')
          .send(stream);
      },
    );
    app.delete<WithId>(
      '/api/statements/:id',
      { schema: { summary: 'Cancel a statement, or throw its result away' } },
      async (request, reply) => {
        await statements.remove(request.params.id, principalOf(request));
        return await reply.code(204).send();
      },
    );
  };
}
