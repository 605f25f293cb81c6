import { createReadStream } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import type { DuckDBConnection } from '@duckdb/node-api';
import { systemClock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import { splitStatements } from '../../../guard/lexer.ts';
import type { Limits, Param, ResultSummary } from '../../engine.ts';
import { bindParams } from './constants.ts';
import { describeStatement, type Output } from './run.ts';

/** How often the growing file is measured. */
const lookIntervalMs = 100;
const pieceBytes = 256 * 1024;

/**
 * Runs a statement into a Parquet file of the child's own folder and sends that: Parquet's footer is written last, so
 * nothing of it can be sent before. A result that is larger than its limit of bytes is an error, not a cut file.
 */
export async function runToParquet(
  connection: DuckDBConnection,
  sql: string,
  params: readonly Param[],
  limits: Limits,
  tempDir: string,
  output: Output,
): Promise<Omit<ResultSummary, 'elapsedMs'>> {
  const path = join(tempDir, 'result.parquet');
  const [statement] = splitStatements(sql);
  const limit = Math.min(limits.rowsMax, Number.MAX_SAFE_INTEGER);
  await describeStatement(connection, sql, output);
  // A subquery, so that two columns of a name get names of their own, as Parquet wants it. A line of its own, for a
  // comment at the end.
  const copy = await connection.prepare(`COPY (SELECT * FROM (\n${statement?.text ?? sql}\n) LIMIT ${limit})
    TO '${path.replaceAll("'", "''")}' (FORMAT parquet, COMPRESSION zstd)`);
  const over = new AbortController();
  try {
    bindParams(copy, params);
    const growing = watchSize(path, limits.bytesMax, () => connection.interrupt(), over.signal);
    const result = await copy.runAndReadAll().catch(async (error: unknown) => {
      over.abort();
      throw (await growing) ? tooLarge(limits.bytesMax) : error;
    });
    over.abort();
    const bytes = (await stat(path)).size;
    if (bytes > limits.bytesMax) throw tooLarge(limits.bytesMax);
    for await (const piece of createReadStream(path, { highWaterMark: pieceBytes })) {
      if (piece instanceof Uint8Array) await output.rows(Uint8Array.from(piece));
    }
    const rows = Number(result.getRows()[0]?.[0] ?? 0);
    return { rows, bytes, truncated: rows >= limits.rowsMax };
  } finally {
    over.abort();
    copy.destroySync();
    await rm(path, { force: true });
  }
}

/**
 * Resolves to true once the file is larger than it may be, having called `stop`; to false when the signal is aborted.
 */
async function watchSize(path: string, bytesMax: number, stop: () => void, over: AbortSignal): Promise<boolean> {
  while (!over.aborted) {
    await systemClock.sleep(lookIntervalMs, over).catch(() => undefined);
    const size = await stat(path).then(
      ({ size: bytes }) => bytes,
      () => 0,
    );
    if (size <= bytesMax || over.aborted) continue;
    stop();
    return true;
  }
  return false;
}

function tooLarge(bytesMax: number): WatershedError {
  return new WatershedError('limit_exceeded', `the result takes more than ${bytesMax} bytes as Parquet`, {
    hint: 'Ask for fewer rows or columns, or raise WATERSHED_SQL_BYTES.',
    context: { sqlstate: '53400' },
  });
}
