import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Result } from '../engine/engine.ts';
import type { Format } from './formats.ts';
import { knownError, problemOf } from './problems.ts';

/**
 * The body of an answer, rows as they come. Resolves when the first of them is there, so that what fails before can
 * still
 * be answered with a status of its own. `limited`: the caller asked for limits, and expects to be cut short. `pace`
 * may read
 * ahead of a slow client.
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
  return format.encoding === 'json'
    ? jsonBody(result, first, chunks, logger)
    : plainBody(result, first, chunks, format, limited);
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
  logger: Logger,
): AsyncGenerator<Uint8Array> {
  const columns = result.columns.map(({ name, type }) => ({ name, type }));
  yield Buffer.from(`{"columns":${JSON.stringify(columns)},"rows":[`);
  try {
    yield* rest(first, chunks);
    const { rows, truncated, elapsedMs } = await result.summary;
    yield Buffer.from(
      `],"rowCount":${rows},"truncated":${truncated},"elapsedMs":${Math.round(elapsedMs * 1000) / 1000}}\n`,
    );
  } catch (error) {
    // The status is out already: say what happened, then break off, so that nobody takes this for the whole.
    yield Buffer.from(`],"error":${JSON.stringify(problemOf(knownError(error, logger)))}}\n`);
    throw error;
  }
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
    );
}
