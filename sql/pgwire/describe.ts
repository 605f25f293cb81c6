import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Engine, Statement as EngineStatement } from '../engine/engine.ts';
import type { Field } from './backend.ts';
import { parameterCount, type Statement, type Token } from './lexer.ts';
import { columnNames } from './names.ts';
import { bareNumeric, castParameters, declaredType } from './parameters.ts';
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
  const numerics = bareNumeric(statement.tokens);
  const known = Array.from(
    { length: count },
    (_, index) => declaredType(declared[index]) ?? declaredType(numerics.get(index + 1)),
  );
  const ask = async (types: Types, withValues = false): Promise<Described> => {
    const { sql, originalPosition } = castParameters(statement.sql, statement.tokens, types);
    try {
      return await engine.describe({ sql: withValues ? withSamples(sql) : sql, params: [], encoding: 'pg.text', ...how });
    } catch (error) {
      throw shifted(error, originalPosition);
    }
  };
  let types: readonly (string | undefined)[] = known;
  const first = await attempt(() => ask(known), known.includes(undefined));
  types = known.map((type, index) => type ?? settled(first?.parameters[index]));
  if (first !== undefined && isSettled(types, first)) return description(types, declared, first, statement.tokens);
  types = await settleOneByOne(types, ask);
  let failure: unknown;
  for (const guess of guesses) {
    const guessed = types.map((type) => type ?? guess);
    try {
      const described = await ask(guessed);
      // A table function is bound only once its arguments are there: any type would seem to do.
      if (callsTableFunction(statement.tokens)) await ask(guessed, true);
      return description(guessed, declared, described, statement.tokens);
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

function callsTableFunction(tokens: readonly Token[]): boolean {
  return tokens.some(({ kind, text }) => kind === 'word' && tableFunctions.has(text));
}

// A value of each type that we guess, for those who need one.
const samples: Readonly<Record<string, string>> = {
  'VARCHAR[]': '[1]',
  'BIGINT[]': '[1]',
  TIMESTAMP: '2000-01-01',
};

function withSamples(sql: string): string {
  return sql.replaceAll(/CAST\(\$\d+ AS ([A-Z]+(?:\[\])?)\)/g, (_, type: string) => `CAST('${samples[type] ?? '1'}' AS ${type})`);
}

const tableFunctions = new Set(['generate_series', 'range', 'unnest']);

function description(
  types: Types,
  declared: readonly number[],
  { columns }: Described,
  tokens: readonly Token[],
): Description {
  return {
    parameters: types.map((type, index) => {
      const oid = declared[index] ?? 0;
      const engineType = type ?? 'VARCHAR';
      return { oid: oid === 0 || oid === oids.unknown ? pgTypeOf(engineType).oid : oid, engineType };
    }),
    fields: fieldsOf(columns, tokens),
  };
}

/** Columns as clients see them. */
export function fieldsOf(columns: Described['columns'], tokens: readonly Token[]): Field[] {
  const names = columnNames(columns.map(({ name }) => withoutCasts(name)), tokens);
  return columns.map(({ name, type }, index) => ({ name: names[index] ?? name, type: pgTypeOf(type) }));
}

// The casts that we put around parameters are not part of a column's name.
function withoutCasts(name: string): string {
  let shown = name;
  for (let before = ''; before !== shown;) {
    before = shown;
    shown = shown.replaceAll(/CAST\((\$\d+) AS [^()]*(?:\([^()]*\)[^()]*)?\)/g, '$1');
  }
  return shown;
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
