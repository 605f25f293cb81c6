import type { Clock, Random } from '#core/clock.ts';

/** Why a connection ended, or could not be had. */
export interface Failure {
  readonly kind: 'stopped' | 'network' | 'server' | 'refused' | 'rate_limited' | 'too_large' | 'garbage' | 'finished';
  readonly cause: string;
  /** What the server said to it. */
  readonly said?: string;
  /** How long it asked us to wait. */
  readonly waitMs?: number;
}

export interface Host {
  readonly url: URL;
  /** How it failed last, and how often in a row in this way. */
  kind: Failure['kind'] | undefined;
  failures: number;
  notBeforeMs: number;
}

/**
 * The addresses of one network, in order of preference. A host that failed is left alone for a while, by kind of
 * failure: network errors from 250 ms, the server's own from 5 s, refusals (wrong address, certificate) from 10 s, 429
 * from 60 s or as it asks; doubling each time, with up to a quarter more by chance, so that many collectors do not come
 * back at once. Nothing is lost by waiting, for the network replays, but a crisis is to be seen again soon: a minute or
 * two is the most.
 */
export interface Hosts {
  /** The host to try next; resolves when its time has come. */
  next(signal: AbortSignal): Promise<Host>;
  /** How long this host is left alone now. */
  failed(host: Host, failure: Failure): number;
  /** It held: its next failure begins anew. */
  held(host: Host): void;
}

const waits: Readonly<Record<Failure['kind'], { readonly firstMs: number; readonly mostMs: number }>> = {
  stopped: { firstMs: 0, mostMs: 0 },
  finished: { firstMs: 0, mostMs: 0 },
  network: { firstMs: 250, mostMs: 60_000 },
  too_large: { firstMs: 250, mostMs: 60_000 },
  server: { firstMs: 5_000, mostMs: 60_000 },
  refused: { firstMs: 10_000, mostMs: 120_000 },
  rate_limited: { firstMs: 60_000, mostMs: 900_000 },
  garbage: { firstMs: 30_000, mostMs: 300_000 },
};

export function createHosts(urls: readonly URL[], clock: Clock, random: Random): Hosts {
  const hosts = urls.map((url): Host => ({ url, kind: undefined, failures: 0, notBeforeMs: 0 }));
  return {
    async next(signal) {
      const [first] = hosts.toSorted((a, b) => a.notBeforeMs - b.notBeforeMs);
      // By configuration there is at least one address.
      const host = hosts.find(({ notBeforeMs }) => notBeforeMs <= clock.monotonic()) ?? first as Host;
      const waitMs = host.notBeforeMs - clock.monotonic();
      if (waitMs > 0) await clock.sleep(waitMs, signal);
      return host;
    },
    failed(host, { kind, waitMs: asked }) {
      const { firstMs, mostMs } = waits[kind];
      if (kind !== host.kind) host.failures = 0;
      host.kind = kind;
      const waitMs = Math.min(firstMs * 2 ** host.failures, mostMs) * (1 + random() / 4);
      host.failures++;
      host.notBeforeMs = clock.monotonic() + Math.max(waitMs, asked ?? 0);
      return Math.max(waitMs, asked ?? 0);
    },
    held(host) {
      host.failures = 0;
    },
  };
}
