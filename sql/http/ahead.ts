import type { Clock } from '#core/clock.ts';
import { Spool, type SpoolLimits } from '../pgwire/spool.ts';

/**
 * A client that takes nothing for so long is slow: the rest of its rows is set aside, so that the engine's child is
 * free.
 */
const stallMs = 1_000;

/**
 * Hands rows on at the pace of whoever takes them, until they are left lying for a second: from then on they are
 * drained into
 * memory and a file, and handed on from there.
 */
export async function* readAhead(
  source: AsyncIterator<Uint8Array>,
  limits: SpoolLimits,
  clock: Clock,
): AsyncGenerator<Uint8Array> {
  let aside: Spool | undefined;
  let isOver = false;
  try {
    while (aside === undefined) {
      const next = await source.next();
      if (next.done === true) {
        isOver = true;
        return;
      }
      const cancel = clock.timer(stallMs, () => {
        aside = new Spool(source, limits);
      });
      try {
        yield next.value;
      } finally {
        cancel();
      }
    }
    for (let bytes = await aside.next(); bytes !== undefined; bytes = await aside.next()) yield bytes;
    isOver = true;
  } finally {
    if (aside !== undefined) await aside.close();
    else if (!isOver) await source.return?.();
  }
}
