import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Encoding, Result } from '../engine/engine.ts';
import type { Format } from './formats.ts';
import { knownError, type Problem, problemOf } from './problems.ts';

/**
 * The body of an answer, rows as they come. Resolves when the first of them is there, so that what fails before can
 * still be answered with a status of its own. What fails later is told in the body, as its last line, before the
 * generator throws it. `limited`: the caller asked for limits, and expects to be cut short. `pace` may read ahead of a
 * slow client.
 */
export async function bodyOf(
  result: Result,
  format: Format,
  limited: boolean,
  logger: Logger,
  pace: (source: AsyncIterator<Uint8Array>) => AsyncIterator<Uint8Array> = (source) => source,
): Promise<AsyncGenerator<Uint8Array>> {
  const chunks = pace(result.chunks[Symbol.asyncIterator]());
  const first = await chunks.next();
  const body = format.encoding === 'json' ? jsonBody(result, first, chunks) : plainBody(result, first, chunks, format, limited);
  return toldBody(body, format.encoding, logger);
}

/**
 * A body for a response. Where it fails midway, all that was written is still delivered, the reason at its end among
 * it; then the connection ends without the mark by which a whole answer is known (RFC 9112, section 8), so that every
 * client sees that this one is not.
 */
export function streamOf(body: AsyncGenerator<Uint8Array>, response: ServerResponse): Readable {
  return Readable.from(leftUnfinished(body, response), { objectMode: false });
}

async function* leftUnfinished(body: AsyncGenerator<Uint8Array>, response: ServerResponse): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch {
    // Told in the body already. `end` would write the mark; a socket that is destroyed would lose what it still holds.
    Object.assign(response, {
      end: (): ServerResponse => {
        response.socket?.end();
        return response;
      },
    });
  }
}

/** A body that says at its end why it failed, where it does. */
export async function* toldBody(
  body: AsyncGenerator<Uint8Array>,
  encoding: Encoding | 'file',
  logger: Logger,
): AsyncGenerator<Uint8Array> {
  try {
    yield* body;
  } catch (error) {
    yield reasonIn(encoding, problemOf(knownError(error, logger)));
    throw error;
  }
}

/** What ends a body that failed midway: a line `{"error": …}`, as far as the format can hold one. */
function reasonIn(encoding: Encoding | 'file', problem: Problem): Buffer {
  const line = JSON.stringify({ error: problem });
  // The rows' bracket is open.
  if (encoding === 'json') return Buffer.from(`],${line.slice(1)}\n`);
  return encoding === 'arrow' ? arrowFrame(line) : Buffer.from(`${line}\n`);
}

/**
 * Framed as a message of an Arrow stream is (Encapsulated message format: a continuation mark, a length of whole
 * eights), but no message: PyArrow stops there with an error, however little it looks at the connection.
 */
function arrowFrame(line: string): Buffer {
  const bytes = Buffer.from(line);
  const head = Buffer.alloc(8);
  head.writeUInt32LE(0xff_ff_ff_ff, 0);
  const padding = 8 - (bytes.length % 8);
  head.writeUInt32LE(bytes.length + padding, 4);
  return Buffer.concat([head, bytes, Buffer.from('\n'.padStart(padding))]);
}

async function* rest(first: IteratorResult<Uint8Array>, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await chunks.next()) yield next.value;
  } finally {
    await chunks.return?.();
  }
}

async function* jsonBody(
  result: Result,
  first: IteratorResult<Uint8Array>,
  chunks: AsyncIterator<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  const columns = result.columns.map(({ name, type }) => ({ name, type }));
  yield Buffer.from(`{"columns":${JSON.stringify(columns)},"rows":[`);
  yield* rest(first, chunks);
  const { rows, truncated, elapsedMs } = await result.summary;
  yield Buffer.from(
    `],"rowCount":${rows},"truncated":${truncated},"elapsedMs":${Math.round(elapsedMs * 1000) / 1000}}\n`,
  );
}

async function* plainBody(
  result: Result,
  first: IteratorResult<Uint8Array>,
  chunks: AsyncIterator<Uint8Array>,
  format: Format,
  limited: boolean,
): AsyncGenerator<Uint8Array> {
  yield* rest(first, chunks);
  const { truncated } = await result.summary;
  // These formats have no place for a remark; only who asked for a limit expects to be cut short.
  if (truncated && !limited)
    throw new WatershedError(
      'limit_exceeded',
      `the result is larger than the server's limits; ${format.name} was cut short`,
      { hint: 'Ask for less, or say `limits`: then the cut is what was asked for.', context: { sqlstate: '53400' } },
    );
}
