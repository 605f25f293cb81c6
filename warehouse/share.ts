import { isWatershedError } from '#core/errors.ts';
import type { Log, LogChunk, ReadOptions } from '#core/log/log.ts';

/**
 * The reading side of a log for two readers that follow each other through a topic, as landings `posts` and `raw` do:
 * what one has read is kept until the other asks for it, at most `bytesMax`. So the bytes are fetched and decompressed
 * once, and one wait serves both at the head of the log. What is no longer kept is read again; no reader is held back
 * for the other. Errors are those of the log.
 */
export function shareReads(log: Pick<Log, 'read'>, bytesMax: number): Pick<Log, 'read'> {
  const kept = new Map<string, LogChunk>();
  const underWay = new Map<string, Promise<readonly LogChunk[]>>();
  let bytes = 0;

  const forget = (key: string): void => {
    bytes -= kept.get(key)?.lines.byteLength ?? 0;
    kept.delete(key);
  };
  const keep = (partition: string, chunks: readonly LogChunk[]): void => {
    for (const chunk of chunks) {
      const key = `${partition}/${chunk.baseOffset}`;
      forget(key);
      kept.set(key, chunk);
      bytes += chunk.lines.byteLength;
    }
    for (const oldest of kept.keys()) {
      if (bytes <= bytesMax) break;
      forget(oldest);
    }
  };
  /** The chunks from `from` on that follow each other without a hole. */
  const take = (partition: string, from: bigint, maxBytes: number): LogChunk[] => {
    const chunks: LogChunk[] = [];
    let taken = 0;
    for (let next = from; taken < maxBytes;) {
      const chunk = kept.get(`${partition}/${next}`);
      if (chunk === undefined) break;
      forget(`${partition}/${next}`);
      chunks.push(chunk);
      taken += chunk.lines.byteLength;
      next += BigInt(chunk.count);
    }
    return chunks;
  };
  const readAndKeep = async (topic: string, partition: number, from: bigint, options: ReadOptions): Promise<LogChunk[]> => {
    const place = `${topic}/${partition}`;
    const reading = log.read(topic, partition, from, options);
    underWay.set(`${place}/${from}`, reading);
    try {
      const chunks = await reading;
      keep(place, chunks);
      return chunks;
    } finally {
      underWay.delete(`${place}/${from}`);
    }
  };
  return {
    async read(topic, partition, from, options) {
      const place = `${topic}/${partition}`;
      const other = underWay.get(`${place}/${from}`);
      if (other !== undefined) {
        await other.catch((error: unknown) => {
          // What the log says holds for both; that the other reader was ended does not.
          if (isWatershedError(error)) throw error;
        });
        options.signal?.throwIfAborted();
      }
      const chunks = take(place, from, options.maxBytes);
      return chunks.length > 0 ? chunks : readAndKeep(topic, partition, from, options);
    },
  };
}
