import type { FastifyPluginAsync } from 'fastify';
import { requireCan } from '#core/auth/access.ts';
import type { Clock } from '#core/clock.ts';
import type { Landed } from '#core/landed.ts';
import { principalOf } from './identity.ts';

/** A proxy that sees nothing for half a minute may close the connection. */
const keepAliveMs = 15_000;
/** Then the browser connects anew and is asked anew who it is: a token that was revoked hears no more. */
const connectionMs = 5 * 60_000;
const clientsMax = 1_000;

export interface LiveOptions {
  /** Calls back for every commit of the writer, until disposed. */
  readonly listen: (tell: (landed: Landed) => void) => Promise<AsyncDisposable>;
  readonly clock: Clock;
}

/**
 * `GET /api/live`: server-sent events, one `landed` for each commit (landing, records kept), so that pages ask when there
 * is something new and not before. What it says is a hint: who misses one sees the rest.
 */
export function liveRoutes({ listen, clock }: LiveOptions): FastifyPluginAsync {
  return async (app) => {
    const clients = new Set<(text: string) => void>();
    const listening = await listen((landed) => {
      if (landed.kept === 0) return;
      for (const send of clients) send(`event: landed\ndata: ${JSON.stringify(landed)}\n\n`);
    });
    app.addHook('onClose', async () => await listening[Symbol.asyncDispose]());
    app.get('/api/live', { schema: { summary: 'Told of every commit, as server-sent events' } }, async (request, reply) => {
      requireCan(principalOf(request), 'read_events');
      reply.hijack();
      const { raw } = reply;
      raw.writeHead(clients.size < clientsMax ? 200 : 503, {
        'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff',
      });
      if (clients.size >= clientsMax) return raw.end();
      // A client that does not read is left out of what it would only queue up.
      const send = (text: string): void => void (raw.writableNeedDrain || raw.write(text));
      let cancelBeat = (): void => undefined;
      const beat = (): void => {
        send(': still here\n\n');
        cancelBeat = clock.timer(keepAliveMs, beat);
      };
      const cancelEnd = clock.timer(connectionMs, () => void raw.end());
      clients.add(send);
      raw.once('close', () => {
        clients.delete(send);
        cancelBeat();
        cancelEnd();
      });
      raw.write('retry: 2000\n\nevent: open\ndata: {}\n\n');
      beat();
      return undefined;
    });
  };
}
