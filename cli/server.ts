import { readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { findAdminToken } from '#core/auth/tokens.ts';
import { expandHome, type Config } from '#core/config.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';

/**
 * The running server as the command line reaches it: the address it wrote into the data folder, and the token there.
 */
export interface Server {
  readonly url: string;
  /** `fetch` with the token; rejects with `unavailable` and what to do when nothing answers. */
  readonly fetch: typeof fetch;
  request(path: string, options?: { method?: string; body?: unknown; accept?: string; signal?: AbortSignal }): Promise<Response>;
}

/** Finds the server of the data folder. Throws `unavailable` or `unauthorized` with what to do. */
export async function findServer(config: Config): Promise<Server> {
  const dataDir = resolve(expandHome(config.WATERSHED_DATA_DIR));
  const url = await addressIn(dataDir) ?? `http://127.0.0.1:${config.WATERSHED_HTTP_PORT}`;
  const token = await findAdminToken(dataDir, config.WATERSHED_ADMIN_TOKEN);
  if (token === undefined) {
    throw new WatershedError('unauthorized', `there is no token in ${dataDir}`, {
      hint: 'start Watershed once in this folder, set WATERSHED_DATA_DIR to its data, or give WATERSHED_ADMIN_TOKEN',
    });
  }
  const send: typeof fetch = async (address, init = {}) => {
    const headers = new Headers(init.headers);
    headers.set('authorization', `Bearer ${token}`);
    return await fetch(address, { ...init, headers }).catch((cause: unknown) => {
      if (init.signal?.aborted === true) throw new WatershedError('cancelled', 'stopped', { cause });
      throw new WatershedError('unavailable', `nothing answers at ${url}`, {
        cause, hint: 'start it with `watershed start` (or `npm start`), or set WATERSHED_DATA_DIR to the folder of the one that runs',
      });
    });
  };
  return {
    url,
    fetch: send,
    async request(path, { method = 'GET', body, accept = 'application/json', signal } = {}) {
      const response = await send(`${url}${path}`, {
        method, ...(signal === undefined ? {} : { signal }),
        headers: { accept, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      if (!response.ok) throw await problem(response);
      return response;
    },
  };
}

async function addressIn(dataDir: string): Promise<string | undefined> {
  try {
    const parsed: unknown = JSON.parse(await readFile(join(dataDir, 'address.json'), 'utf8'));
    return typeof parsed === 'object' && parsed !== null && 'http' in parsed && typeof parsed.http === 'string' ? parsed.http : undefined;
  } catch (error) {
    if (isWatershedError(error)) throw error;
    return undefined;
  }
}

async function problem(response: Response): Promise<WatershedError> {
  const body: unknown = await response.json().catch(() => undefined);
  const text = (name: string): string | undefined => {
    const value: unknown = typeof body === 'object' && body !== null ? Reflect.get(body, name) : undefined;
    return typeof value === 'string' ? value : undefined;
  };
  const hint = text('hint');
  const code = response.status === 401 ? 'unauthorized' : response.status === 404 ? 'not_found' : response.status === 409 ? 'conflict'
    : response.status < 500 ? 'statement_failed' : 'unavailable';
  return new WatershedError(code, text('detail') ?? text('title') ?? `the server answered ${response.status}`, {
    ...(hint === undefined ? {} : { hint }),
  });
}
