import { isIP } from 'node:net';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Principal } from '#core/auth/access.ts';
import type { Auth } from '#core/auth/auth.ts';
import { sessionSeconds } from '#core/auth/codes.ts';
import { WatershedError } from '#core/errors.ts';

/**
 * Who may enter (architecture.md §9): every route but the open ones asks for a bearer token or a session cookie; a
 * foreign Host is refused, and a cookie changes things only from a page of ours.
 */
export interface IdentityOptions {
  readonly auth: Auth;
  /** Names besides `localhost` and IP addresses by which we may be called. */
  readonly hosts: readonly string[];
  /** The address people see when a proxy stands in front, such as https://lake.example.org. */
  readonly origin: string | undefined;
}

const openPaths = new Set(['/healthz', '/readyz']);

const principals = new WeakMap<FastifyRequest, Principal>();

/** Who sent the request. Throws `unauthorized` on an open route. */
export function principalOf(request: FastifyRequest): Principal {
  const principal = principals.get(request);
  if (principal === undefined) throw unauthorized();
  return principal;
}

export function addIdentity(app: FastifyInstance, options: IdentityOptions): void {
  const known = knownHosts(options);
  app.addHook('onRequest', async (request) => {
    if (!known(request.headers.host)) {
      throw new WatershedError('forbidden', `this server is not called ${request.headers.host ?? '(no Host header)'}`, {
        hint: 'Use the address that `watershed open` prints, or set WATERSHED_HTTP_ORIGIN to the name it has outside.',
      });
    }
    const path = request.url.split('?')[0] ?? '';
    if (openPaths.has(path) || isLogin(request, path)) return;
    const principal = await identify(request, options);
    if (principal === undefined) throw unauthorized();
    principals.set(request, principal);
  });
}

/** The two ways to a session: a code in the address of the page, a token in the form. */
function isLogin(request: FastifyRequest, path: string): boolean {
  return (
    (request.method === 'GET' && path === '/' && codeOf(request) !== undefined) ||
    (request.method === 'POST' && path === '/login')
  );
}

export function codeOf(request: FastifyRequest): string | undefined {
  return new URLSearchParams(request.url.split('?')[1] ?? '').get('code') ?? undefined;
}

function unauthorized(): WatershedError {
  return new WatershedError('unauthorized', 'no valid token or session', {
    hint: 'Send `Authorization: Bearer <token>`; in a browser, open the address that `watershed open` prints.',
  });
}

async function identify(request: FastifyRequest, options: IdentityOptions): Promise<Principal | undefined> {
  const header = request.headers.authorization;
  if (header !== undefined) {
    const token = /^Bearer +(\S+) *$/i.exec(header)?.[1];
    return token === undefined ? undefined : await options.auth.tokens.verify(token, request.ip);
  }
  const cookie = sessionOf(request);
  if (cookie === undefined) return undefined;
  if (!isSafe(request.method)) requireSameOrigin(request, options.origin);
  return await options.auth.sessions.verify(cookie);
}

function isSafe(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS';
}

/** Throws `forbidden` for a request that a page of somebody else may have caused. */
export function requireSameOrigin(request: FastifyRequest, origin: string | undefined): void {
  const site = request.headers['sec-fetch-site'];
  const said = request.headers.origin;
  if (site !== undefined ? site === 'same-origin' : said !== undefined && isOurs(said, request, origin)) return;
  throw new WatershedError('forbidden', 'a session may change things only from our own page', {
    hint: 'Programs send `Authorization: Bearer <token>` in place of the cookie.',
  });
}

function isOurs(said: string, request: FastifyRequest, origin: string | undefined): boolean {
  if (said === origin) return true;
  return URL.canParse(said) && new URL(said).host === request.headers.host?.toLowerCase();
}

/** A page can reach us under a name of its own (DNS rebinding), never under an address or `localhost`. */
function knownHosts({ hosts, origin }: IdentityOptions): (host: string | undefined) => boolean {
  const names = new Set(['localhost', ...hosts.map((host) => host.toLowerCase())]);
  if (origin !== undefined) names.add(new URL(origin).hostname);
  return (host) => {
    const name = host === undefined ? undefined : /^(\[[^\]]+\]|[^:]*)(:\d+)?$/.exec(host)?.[1]?.toLowerCase();
    if (name === undefined || name === '') return false;
    return names.has(name) || isIP(name.replace(/^\[|\]$/g, '')) !== 0;
  };
}

// Cookies are shared by all ports of a host: two lakes on one machine must not take each other's session.
function cookieName(request: FastifyRequest): string {
  return `watershed_session_${request.socket.localPort ?? 0}`;
}

export function sessionOf(request: FastifyRequest): string | undefined {
  const name = cookieName(request);
  for (const part of (request.headers.cookie ?? '').split(';')) {
    const [key, value] = part.trim().split('=', 2);
    if (key === name && value !== undefined && value !== '') return value;
  }
  return undefined;
}

/** Sets the session's cookie, or takes it away where `value` is undefined. */
export function setSession(
  request: FastifyRequest,
  reply: FastifyReply,
  value: string | undefined,
  origin: string | undefined,
): void {
  const secure = origin?.startsWith('https:') === true ? '; Secure' : '';
  const age = value === undefined ? 0 : sessionSeconds;
  void reply.header(
    'set-cookie',
    `${cookieName(request)}=${value ?? ''}; Path=/; HttpOnly; SameSite=Strict; Max-Age=${age}${secure}`,
  );
}
