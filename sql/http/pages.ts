import { existsSync } from 'node:fs';
import { join } from 'node:path';
import fastifyStatic from '@fastify/static';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Auth } from '#core/auth/auth.ts';
import { actions, can } from '#core/auth/access.ts';
import { WatershedError } from '#core/errors.ts';
import { codeOf, principalOf, requireSameOrigin, sessionOf, setSession } from './identity.ts';

export interface PagesOptions {
  readonly auth: Auth;
  readonly origin: string | undefined;
  /** The folder of the built page; undefined where this server has none. */
  readonly webRoot: string | undefined;
}

/** The page, and the ways into it and out of it. */
export function pages(options: PagesOptions): (app: FastifyInstance) => Promise<void> {
  const { auth, origin, webRoot } = options;
  const built = webRoot !== undefined && existsSync(join(webRoot, 'index.html'));
  return async (app) => {
    app.addContentTypeParser(
      'application/x-www-form-urlencoded',
      { parseAs: 'string', bodyLimit: 10_000 },
      async (_request: FastifyRequest, body: string) => Object.fromEntries(new URLSearchParams(body)),
    );

    app.get('/', { schema: { hide: true } }, async (request, reply) => {
      const code = codeOf(request);
      if (code === undefined) return await index(reply);
      const cookie = await auth.codes.spend(code, request.ip);
      if (cookie === undefined) return await loginPage(reply, 'This code was used already or is too old.');
      setSession(request, reply, cookie, origin);
      return await reply.redirect('/', 303);
    });
    app.post<{ Body: { token?: string } }>('/login', { schema: { hide: true } }, async (request, reply) => {
      requireSameOrigin(request, origin);
      const principal = await auth.tokens.verify(request.body.token ?? '', request.ip);
      if (principal === undefined) return await loginPage(reply, 'This is no valid token.');
      const cookie = await auth.codes.spend(await auth.codes.create(principal), request.ip);
      if (cookie === undefined)
        throw new WatershedError('unavailable', 'the session could not be made', { hint: 'Try again.' });
      setSession(request, reply, cookie, origin);
      return await reply.redirect('/', 303);
    });
    app.get('/api/session', { schema: { summary: 'Who you are and what you may do' } }, async (request) => {
      const principal = principalOf(request);
      return {
        name: principal.name,
        kind: principal.kind,
        actions: actions.filter((action) => can(principal, action)),
      };
    });
    app.delete('/api/session', { schema: { summary: 'End the session of this browser' } }, async (request, reply) => {
      const cookie = sessionOf(request);
      if (cookie !== undefined) await auth.sessions.end(cookie);
      setSession(request, reply, undefined, origin);
      return await reply.code(204).send();
    });
    // The page keeps its state in the address: these are places of it, not files.
    for (const place of ['/event/:id', '/sql', '/operations', '/reports', '/alerts']) {
      app.get(place, { schema: { hide: true } }, async (_request, reply) => await index(reply));
    }
    if (!built) return;
    await app.register(fastifyStatic, {
      root: webRoot,
      index: false,
      wildcard: true,
      cacheControl: false,
      setHeaders(reply, path) {
        // Built files carry a hash in their name: they never change.
        void reply.header(
          'cache-control',
          /-[\w-]{8,}\.\w+$/.test(path) ? 'private, max-age=31536000, immutable' : 'no-cache',
        );
      },
    });
  };

  async function index(reply: FastifyReply): Promise<FastifyReply> {
    if (built) return await reply.header('cache-control', 'no-cache').sendFile('index.html');
    return await reply
      .code(404)
      .type('text/plain; charset=utf-8')
      .send('The page was not built. `npm run build` builds it; the API is at /api.\n');
  }
}

/** Answers somebody without a session who came with a browser. */
export async function loginPage(reply: FastifyReply, notice = ''): Promise<FastifyReply> {
  return await reply.code(401).type('text/html; charset=utf-8').header('cache-control', 'no-store')
    .send(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>Watershed: sign in</title>
<style>
  :root { color-scheme: light dark }
  body { font: 16px/1.5 system-ui, sans-serif; max-width: 34rem; margin: 15vh auto; padding: 0 1rem }
  code { padding: .1em .3em; border-radius: 4px; background: color-mix(in srgb, currentColor 10%, transparent) }
  input, button { font: inherit; padding: .4rem .6rem } input { width: 100%; box-sizing: border-box; margin: .3rem 0 .6rem }
</style></head><body><main>
<h1>Watershed</h1>
${notice === '' ? '' : `<p role="alert"><strong>${notice}</strong></p>`}
<p>There is no session in this browser. On the machine that runs Watershed, run</p>
<p><code>npm run watershed -- open</code></p>
<p>and follow the address it prints. It works once.</p>
<form method="post" action="/login"><label>Or sign in with a token
<input type="password" name="token" autocomplete="current-password" required></label><button>Sign in</button></form>
</main></body></html>
`);
}
