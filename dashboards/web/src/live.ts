import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';

/** Grows with every commit that brought posts; pages that show newest things ask again when it does. */
export const landed = signal(0);

/** Whether the server tells of commits just now. Where it does not, pages ask every few seconds all the same. */
export const connected = signal(false);

let source: EventSource | undefined;
let listeners = 0;

/**
 * Listens while a component is there and its page is in sight: a browser keeps few connections to one host, and pages
 * in the background must not take them.
 */
export function useLive(): void {
  useEffect(() => {
    listeners += 1;
    follow();
    document.addEventListener('visibilitychange', follow);
    return () => {
      listeners -= 1;
      document.removeEventListener('visibilitychange', follow);
      follow();
    };
  }, []);
}

function follow(): void {
  const wanted = listeners > 0 && !document.hidden;
  if (!wanted) {
    source?.close();
    source = undefined;
    connected.value = false;
    return;
  }
  if (source !== undefined && source.readyState !== EventSource.CLOSED) return;
  const mine = new EventSource('/api/live');
  source = mine;
  mine.addEventListener('open', () => { connected.value = true; });
  mine.addEventListener('landed', (event) => {
    if (String(event.data).includes('"posts"')) landed.value += 1;
  });
  mine.addEventListener('error', () => {
    connected.value = false;
    // A refusal ends an EventSource for good: without a session, or behind a proxy that is not ready.
    if (mine.readyState === EventSource.CLOSED && source === mine) setTimeout(follow, 5_000);
  });
}
