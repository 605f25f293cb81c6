import { createServer, request } from 'node:http';
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

/**
 * What goes wrong with a request:
 * - a number: that status is answered and the service never hears of it;
 * - `silence`: the service never hears of it, and no answer comes;
 * - `cut`: the connection breaks before the service hears of it;
 * - `half`: the service answers, and the connection breaks in the middle of the body;
 * - `lost`: the service does it, and 500 is answered;
 * - `lost-cut`: the service does it, and the connection breaks before the answer.
 */
export type Fault = number | 'silence' | 'cut' | 'half' | 'lost' | 'lost-cut';

export interface FaultProxy extends AsyncDisposable {
  readonly url: string;
  /** The next `times` requests that match suffer the fault; a new call replaces the last one. */
  inject(fault: Fault, times: number, matches?: (request: IncomingMessage) => boolean): void;
  /** How many requests have suffered a fault so far. */
  readonly suffered: number;
  /** While true, a refused conditional write is answered as if it had been carried out, as stores do that ignore conditions. */
  ignoreConditions: boolean;
  stop(): Promise<void>;
}

/** An HTTP proxy before a service, on a port of its own. The Host header stays, for signatures cover it. */
export async function startFaultProxy(target: string): Promise<FaultProxy> {
  const { hostname, port } = new URL(target);
  let plan: { fault: Fault; left: number; matches: (request: IncomingMessage) => boolean } | undefined;
  let suffered = 0;
  const server = createServer((incoming, outgoing) => {
    const fault = plan !== undefined && plan.left > 0 && plan.matches(incoming) ? plan.fault : undefined;
    if (plan !== undefined && fault !== undefined) {
      plan.left--;
      suffered++;
    }
    void serve(incoming, outgoing, { fault, ignoreConditions: proxy.ignoreConditions }, { hostname, port, headers: incoming.headers });
  });
  server.keepAliveTimeout = 1000;
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  const proxy: FaultProxy = {
    url: `http://127.0.0.1:${portOf(server.address())}`,
    inject(fault, times, matches = () => true) {
      plan = { fault, left: times, matches };
    },
    get suffered() {
      return suffered;
    },
    ignoreConditions: false,
    stop,
    [Symbol.asyncDispose]: stop,
  };
  return proxy;
}

function portOf(address: string | AddressInfo | null): number {
  if (typeof address !== 'object' || address === null) throw new Error('the proxy has no address');
  return address.port;
}

async function serve(
  incoming: IncomingMessage, outgoing: ServerResponse, { fault, ignoreConditions }: { readonly fault: Fault | undefined; readonly ignoreConditions: boolean },
  target: { readonly hostname: string; readonly port: string; readonly headers: OutgoingHttpHeaders },
): Promise<void> {
  const body = await readAll(incoming).catch(() => undefined);
  if (body === undefined) return;
  if (fault === 'cut') return void incoming.socket.destroy();
  if (fault === 'silence') return;
  if (typeof fault === 'number') return answer(outgoing, fault);
  const upstream = request({ ...target, method: incoming.method, path: incoming.url }, (response) => {
    void readAll(response).then((bytes) => {
      if (fault === 'lost') return answer(outgoing, 500);
      if (fault === 'lost-cut') return incoming.socket.destroy();
      if (ignoreConditions && response.statusCode === 412) return outgoing.writeHead(200, { etag: '"pretended"' }).end();
      outgoing.writeHead(response.statusCode ?? 502, response.headers);
      if (fault !== 'half') return outgoing.end(bytes);
      // Bytes that are written and not flushed would be lost with the socket.
      return outgoing.write(bytes.subarray(0, Math.floor(bytes.length / 2)), () => incoming.socket.destroy());
    });
  });
  upstream.once('error', () => incoming.socket.destroy());
  upstream.end(body);
}

function answer(outgoing: ServerResponse, status: number): void {
  const code = status === 503 ? 'SlowDown' : 'InternalError';
  outgoing.writeHead(status, { 'content-type': 'application/xml' });
  outgoing.end(`<?xml version="1.0" encoding="UTF-8"?><Error><Code>${code}</Code><Message>injected</Message></Error>`);
}

async function readAll(stream: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces);
}
