import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Engine, Statement as EngineStatement } from '../engine/engine.ts';
import type { Field } from './backend.ts';
import { parameterCount, type Statement } from './lexer.ts';
import { castParameters, declaredType } from './parameters.ts';
import type { Description } from './planned.ts';
import { oids, pgTypeOf } from './types.ts';

// Where a statement leaves a parameter's type open, these are tried for all that are open, first to last: text is what
// PostgreSQL would take, then what its overloads would prefer.
const guesses = ['VARCHAR', 'BIGINT', 'DOUBLE', 'VARCHAR[]', 'BIGINT[]', 'TIMESTAMP', 'BOOLEAN'];

type Described = Awaited<ReturnType<Engine['describe']>>;

/**
 * Parameter types and columns of a statement, told truly: what the client declared, else what the engine infers, else the
 * first guess that the statement can be bound with. `declared` are OIDs, 0 where the client leaves it open.
 */
export async function describeOnEngine(
  engine: Engine,
  statement: Statement,
  declared: readonly number[],
  how: Omit<EngineStatement, 'sql' | 'params' | 'encoding'>,
): Promise<Description> {
  const count = Math.max(parameterCount(statement.tokens), declared.length);
  const known = Array.from({ length: count }, (_, index) => declaredType(declared[index]));
  const ask = async (types: readonly (string | undefined)[]): Promise<Described> => {
    const { sql, originalPosition } = castParameters(statement.sql, statement.tokens, types);
    try {
      return await engine.describe({ sql, params: [], encoding: 'pg.text', ...how });
    } catch (error) {
      throw shifted(error, originalPosition);
    }
  };
  const first = await attempt(() => ask(known), known.includes(undefined));
  const types = known.map((type, index) => type ?? settled(first?.parameters[index]));
  if (
    first !== undefined &&
    !types.includes(undefined) &&
    first.columns.every(({ type }) => settled(type) !== undefined)
  ) {
    return description(types, declared, first);
  }
  let failure: unknown;
  for (const guess of guesses) {
    const guessed = types.map((type) => type ?? guess);
    try {
      return description(guessed, declared, await ask(guessed));
    } catch (error) {
      if (!isWatershedError(error, 'statement_failed')) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

function description(
  types: readonly (string | undefined)[],
  declared: readonly number[],
  { columns }: Described,
): Description {
  return {
    parameters: types.map((type, index) => {
      const oid = declared[index] ?? 0;
      const engineType = type ?? 'VARCHAR';
      return { oid: oid === 0 || oid === oids.unknown ? pgTypeOf(engineType).oid : oid, engineType };
    }),
    fields: columns.map(({ name, type }) => fieldOf(name, type)),
  };
}

/** A column as clients see it: the casts that we put around parameters are not part of its name. */
export function fieldOf(name: string, engineType: string): Field {
  let shown = name;
  for (let before = ''; before !== shown;) {
    before = shown;
    shown = shown.replaceAll(/CAST\((\$\d+) AS [^()]*(?:\([^()]*\)[^()]*)?\)/g, '$1');
  }
  return { name: shown, type: pgTypeOf(engineType) };
}

/** An error's position, taken back from the text with casts to the text without. */
export function shifted(error: unknown, original: (position: number) => number): unknown {
  if (!isWatershedError(error) || typeof error.context['position'] !== 'number') return error;
  return new WatershedError(error.code, error.message, {
    cause: error,
    context: { ...error.context, position: original(error.context['position']) },
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

// States of errors that an open parameter can be the reason for; others are the statement's own fault.
const openStates = new Set(['42000', '42P18', '42883', '42804', '42725', '0A000', '22023']);

async function attempt<T>(work: () => Promise<T>, mayFail: boolean): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    const isOpen =
      isWatershedError(error) && error.code !== 'cancelled' && openStates.has(String(error.context['sqlstate']));
    if (mayFail && isOpen) return undefined;
    throw error;
  }
}

// What engines call a type that is not settled yet.
function settled(type: string | undefined): string | undefined {
  const open = /^("NULL"|NULL|UNKNOWN|INVALID|ANY|SQLNULL|STRING_LITERAL|INTEGER_LITERAL)$/i;
  return type === undefined || open.test(type) ? undefined : type;
}
