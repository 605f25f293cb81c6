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
 * Parameter types and columns of a statement, told truly: what the client declared, else what the engine infers, else
 * the first guess that the statement can be bound with. `declared` are OIDs, 0 where the client leaves it open.
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
  let types: readonly (string | undefined)[] = known;
  const first = await attempt(() => ask(known), known.includes(undefined));
  types = known.map((type, index) => type ?? settled(first?.parameters[index]));
  if (first !== undefined && isSettled(types, first)) return description(types, declared, first);
  types = await settleOneByOne(types, ask);
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

type Types = readonly (string | undefined)[];

// More open parameters than a person writes are left to the common guess: each try is a question to the engine.
const oneByOneMax = 12;

/**
 * One parameter that the engine cannot tell makes it silent about all. So each is guessed alone, until one is found
 * that opens the others' types.
 */
async function settleOneByOne(types: Types, ask: (types: Types) => Promise<Described>): Promise<Types> {
  const open = types.flatMap((type, index) => (type === undefined ? [index] : []));
  if (open.length < 2 || open.length > oneByOneMax) return types;
  for (const index of open) {
    for (const guess of guesses) {
      const tried = types.with(index, guess);
      const answer = await attempt(() => ask(tried), true);
      if (answer === undefined) continue;
      const found = tried.map((type, at) => type ?? settled(answer.parameters[at]));
      if (found.filter((type) => type === undefined).length < open.length - 1) return found;
    }
  }
  return types;
}

function isSettled(types: Types, { columns }: Described): boolean {
  return !types.includes(undefined) && columns.every(({ type }) => settled(type) !== undefined);
}

function description(types: Types, declared: readonly number[], { columns }: Described): Description {
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
