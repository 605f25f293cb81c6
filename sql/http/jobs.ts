import { createBullBoard } from '@bull-board/api';
import { BullMQAdapter } from '@bull-board/api/bullMQAdapter';
import { FastifyAdapter } from '@bull-board/fastify';
import type { Queue as BullQueue } from 'bullmq';
import type { FastifyPluginAsync } from 'fastify';
import Type, { type Static } from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import { jobNames, type Queue } from '#core/queue/queue.ts';
import { principalOf } from './identity.ts';
import { problemOf } from './problems.ts';

export interface JobRoutesOptions {
  readonly queue: Queue;
  readonly names?: readonly string[];
}

/** Where the board stands. Its own pictures, scripts and API lie below. */
const boardPath = '/jobs/board';

const Listing = Type.Object({ limit: Type.Optional(Type.String({ pattern: '^[1-9][0-9]{0,2}$' })) });

/** The jobs of all programs as the queue knows them, putting back what was set aside, and BullMQ's board. */
export function jobRoutes({ queue, names = jobNames }: JobRoutesOptions): FastifyPluginAsync {
  return async (app) => {
    app.get<{ Querystring: Static<typeof Listing> }>('/api/jobs', {
      schema: { summary: 'Kinds of jobs, what waits and failed, and their last runs (limit: of each state)', querystring: Listing },
    }, async (request) => {
      requireCan(principalOf(request), 'read_status');
      const limit = Number(request.query.limit ?? 5);
      return { jobs: await Promise.all(names.map(async (name) => (
        { name, ...await queue.stats(name), recent: await queue.recent(name, limit) }))) };
    });
    app.post<{ Params: { name: string } }>('/api/jobs/:name/retry', {
      schema: { summary: 'Put back all jobs of a kind that were set aside' },
    }, async (request) => {
      requireCan(principalOf(request), 'operate');
      const { name } = request.params;
      if (!names.includes(name)) throw new WatershedError('not_found', `there is no job ${name}`, { hint: `there are ${names.join(', ')}` });
      return { retried: await queue.retryFailed(name) };
    });
    const { board } = queue;
    if (board !== undefined) await app.register(boardRoutes(names.map((name) => board(name))), { prefix: boardPath });
  };
}

/** bull-board behind our token: looking needs `read_status`, changing `operate`. */
function boardRoutes(queues: readonly unknown[]): FastifyPluginAsync {
  return async (app, { prefix = boardPath }: { prefix?: string }) => {
    app.addHook('onRequest', async (request, reply) => {
      requireCan(principalOf(request), request.method === 'GET' ? 'read_status' : 'operate');
      // Its page names by <base> where its files lie; nothing else may come from elsewhere here either.
      const policy = reply.getHeader('content-security-policy');
      if (typeof policy === 'string') void reply.header('content-security-policy', policy.replace("base-uri 'none'", "base-uri 'self'"));
    });
    const adapter = new FastifyAdapter();
    adapter.setBasePath(prefix);
    createBullBoard({
      // The queue hands out BullMQ's own handles.
      queues: queues.map((handle) => new BullMQAdapter(handle as BullQueue)),
      serverAdapter: adapter,
      options: { uiConfig: { boardTitle: 'Watershed jobs', hideRedisDetails: true } },
    });
    // Its own handler would answer 500 to who has no token.
    adapter.setErrorHandler((error) => {
      const known = isWatershedError(error) ? error : new WatershedError('internal', messageOf(error), { cause: error });
      const problem = problemOf(known);
      // The type lists only what the board itself sends; any status is passed on.
      return { status: problem.status as 500, body: Object.fromEntries(Object.entries(problem)) };
    });
    await app.register(adapter.registerPlugin());
  };
}
