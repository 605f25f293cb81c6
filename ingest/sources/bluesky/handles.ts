import type { Clock } from '#core/clock.ts';
import type { CrisisEvent } from '#core/contract/event.ts';

/** Finds the DID behind a handle; undefined where there is none. Rejects when nobody could be asked. */
export type ResolveHandle = (handle: string, signal: AbortSignal) => Promise<string | undefined>;

const timeoutMs = 10_000;

/**
 * Asks a server of the network (`com.atproto.identity.resolveHandle`). `apiUrl` such as https://public.api.bsky.app.
 */
export function askForHandles(apiUrl: string): ResolveHandle {
  return async (handle, signal) => {
    const url = new URL(`/xrpc/com.atproto.identity.resolveHandle?handle=${encodeURIComponent(handle)}`, apiUrl);
    const response = await fetch(url, { signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]), redirect: 'error' });
    if (response.status === 400) return undefined;
    if (!response.ok) throw new Error(`HTTP status ${response.status}`);
    const answer: unknown = await response.json();
    const did = typeof answer === 'object' && answer !== null && 'did' in answer ? answer.did : undefined;
    return typeof did === 'string' && did.startsWith('did:') ? did : undefined;
  };
}

/**
 * Which DIDs the handles in rules stand for: Jetstream names authors by DID only. What a handle stands for changes; the
 * network tells by identity messages.
 */
export interface Handles {
  /** The rules with handles replaced by DIDs; one that nobody has stands for nobody. */
  translate<Event extends Pick<CrisisEvent, 'rule'>>(events: readonly Event[]): Event[];
  /** As the analyst wrote it, for a term of a translated rule. */
  writtenAs(term: string): string;
  /**
   * Asks for what is not known yet; true when something was learned. Handles that nobody could be asked for are in
   * `unknown`.
   */
  learn(
    events: readonly CrisisEvent[], signal: AbortSignal,
  ): Promise<{ readonly changed: boolean; readonly unknown: readonly string[] }>;
  /** From an identity message; true when a rule is concerned. */
  tell(did: string, handle: string): boolean;
}

/** Asked anew after this, should an identity message have been missed. */
const validMs = 3_600_000;

export function createHandles(resolve: ResolveHandle, clock: Clock): Handles {
  const known = new Map<string, { did: string | undefined; atMs: number }>();
  const written = new Map<string, string>();
  const keyOf = (account: string): string => account.trim().replace(/^[@＠]/u, '').toLowerCase();
  const handlesIn = (events: readonly CrisisEvent[]): Set<string> =>
    new Set(events.flatMap(({ rule }) => (rule.accounts ?? []).map(keyOf)).filter((key) => /^[^:]+\.[^:]+$/.test(key)));
  const translateAccount = (account: string): string => {
    const key = keyOf(account);
    if (key.startsWith('did:')) return account.trim();
    const did = known.get(key)?.did ?? `did:none:${key.replace(/[^a-z0-9.-]/g, '-')}`;
    written.set(did, account);
    return did;
  };
  return {
    translate: (events) => events.map((event) => event.rule.accounts === undefined ? event
      : { ...event, rule: { ...event.rule, accounts: event.rule.accounts.map(translateAccount) } }),
    writtenAs: (term) => written.get(term) ?? term,
    async learn(events, signal) {
      let changed = false;
      const unknown: string[] = [];
      for (const handle of handlesIn(events)) {
        const before = known.get(handle);
        if (before !== undefined && clock.now() - before.atMs < validMs) continue;
        try {
          const did = await resolve(handle, signal);
          known.set(handle, { did, atMs: clock.now() });
          changed ||= did !== before?.did;
          if (did === undefined) unknown.push(handle);
        } catch {
          if (signal.aborted) break;
          // Nobody could be asked: what was known stays, and it is tried again later.
          unknown.push(handle);
        }
      }
      return { changed, unknown };
    },
    tell(did, handle) {
      const before = known.get(handle);
      if (before === undefined || before.did === did) return false;
      known.set(handle, { did, atMs: clock.now() });
      return true;
    },
  };
}
