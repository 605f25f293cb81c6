import { createServer, type Server, type ServerResponse } from 'node:http';
import { messageOf, systemCode, WatershedError } from './errors.ts';
import type { Metrics } from './metrics.ts';
import type { Service } from './service.ts';

export interface ProbesOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly metrics: Metrics;
  /** Why the program cannot work now; undefined when it can. */
  readonly unready: () => Promise<string | undefined>;
}

export interface Probes extends AsyncDisposable {
  readonly url: string;
  /** Does nothing but end when it is told to. */
  readonly service: Service;
}

/**
 * `/healthz`, `/readyz` and `/metrics` of a program without doors, for the orchestrator and Prometheus. It shows no
 * data and asks for no token: it belongs on a network of its own. Throws `bad_config` where the port is taken.
 */
export async function openProbes(options: ProbesOptions): Promise<Probes> {
  const { host, port } = options;
  const server = createServer((request, response) => {
    void answer(options, request.url ?? '/', response).catch((error: unknown) => send(response, 500, `${messageOf(error)}\n`));
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(new WatershedError('bad_config',
      `cannot listen on ${host}:${port} (${systemCode(error) ?? messageOf(error)})`, {
        cause: error, hint: 'set WATERSHED_METRICS_PORT to another port (0 takes a free one)',
      })));
    server.listen(port, host, resolve);
  });
  return {
    url: `http://${host.includes(':') ? `[${host}]` : host}:${portOf(server)}`,
    service: {
      name: 'probes',
      run: (signal) => new Promise((resolve) => {
        if (signal.aborted) resolve();
        signal.addEventListener('abort', () => resolve(), { once: true });
      }),
    },
    [Symbol.asyncDispose]: () => new Promise((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    }),
  };
}

async function answer({ metrics, unready }: ProbesOptions, url: string, response: ServerResponse): Promise<void> {
  switch (url.split('?')[0]) {
    case '/healthz': return send(response, 200, 'alive\n');
    case '/readyz': {
      const why = await unready();
      return send(response, why === undefined ? 200 : 503, `${why ?? 'ready'}\n`);
    }
    case '/metrics': return send(response, 200, await metrics.text(), 'text/plain; version=0.0.4; charset=utf-8');
    default: return send(response, 404, '/healthz, /readyz and /metrics are here\n');
  }
}

function send(response: ServerResponse, status: number, body: string, type = 'text/plain; charset=utf-8'): void {
  response.writeHead(status, { 'content-type': type }).end(body);
}

function portOf(server: Server): number {
  const address = server.address();
  return typeof address === 'object' && address !== null ? address.port : 0;
}
