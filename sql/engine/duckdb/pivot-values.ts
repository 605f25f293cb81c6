import type { Clock } from '#core/clock.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import { openPivot } from '../../guard/pivot.ts';
import type { Statement } from '../engine.ts';
import type { Conversation } from './conversation.ts';

/** So many columns one column may become: more is a mistake, and nobody reads it. */
const valuesMax = 2_000;
const valueBytesMax = 2 ** 20;

/**
 * Runs a statement; a PIVOT that does not say which values become columns is asked for them first. All of it together
 * keeps to the statement's time. Places in an error are left out then: the text that ran is not the one that was sent.
 */
export async function withPivotValues(
  statement: Statement,
  clock: Clock,
  lead: (statement: Statement, only?: 'run') => Promise<Conversation>,
): Promise<Conversation> {
  const pivot = openPivot(statement.sql);
  if (pivot === undefined) return await lead(statement);
  const endMs = clock.monotonic() + statement.limits.timeoutMs;
  const timed = (sql: string, limits: Partial<Statement['limits']> = {}): Statement => {
    const timeoutMs = Math.max(1, endMs - clock.monotonic());
    return { ...statement, sql, limits: { ...statement.limits, ...limits, timeoutMs } };
  };
  try {
    const lists: string[][] = [];
    for (const [index, sql] of pivot.asks(valuesMax).entries()) {
      const asked = timed(sql, { rowsMax: valuesMax + 1, bytesMax: valueBytesMax });
      lists.push(await readValues(await lead({ ...asked, encoding: 'json' }, 'run'), pivot.columns[index] ?? ''));
    }
    return await lead(timed(pivot.withValues(lists)));
  } catch (error) {
    throw withoutPlace(error);
  }
}

async function readValues(conversation: Conversation, column: string): Promise<string[]> {
  const pieces: Uint8Array[] = [];
  for await (const piece of conversation.rows()) pieces.push(piece);
  const rows = JSON.parse(`[${Buffer.concat(pieces).toString()}]`) as string[][]; // one column of text
  const hint = `Name the values: PIVOT … ON ${column} IN (…).`;
  if (rows.length > valuesMax || conversation.summary().truncated)
    throw new WatershedError('limit_exceeded', `${column} has more than ${valuesMax} values to make columns of`, {
      hint,
      context: { sqlstate: '54011' },
    });
  if (rows.length === 0)
    throw new WatershedError('statement_failed', `${column} has no values to make columns of`, {
      hint,
      context: { sqlstate: '22004' },
    });
  return rows.flat();
}

function withoutPlace(error: unknown): unknown {
  if (!isWatershedError(error) || error.context['position'] === undefined) return error;
  const { position: _position, ...context } = error.context;
  return new WatershedError(error.code, error.message, {
    context,
    cause: error.cause,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}
