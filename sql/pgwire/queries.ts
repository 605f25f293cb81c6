import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import type { Encoding, Engine, Limits } from '../engine/engine.ts';
import type { Field } from './backend.ts';
import type { Format } from './encode-rows.ts';
import { parameterCount } from './lexer.ts';
import { type BoundValue, boundValue, castParameters, declaredType } from './parameters.ts';
import { type Description, firstWord, type Query } from './planned.ts';
import { checkForwarded } from './router.ts';
import { fromArray, type RowSource } from './rows.ts';
import type { Shadow } from './shadow.ts';
import { oids, pgTypeOf } from './types.ts';

/** The values of a Bind, still as they came. */
export interface Binding {
  readonly values: readonly (Buffer | null)[];
  readonly formats: readonly Format[];
}

export const noValues: Binding = { values: [], formats: [] };

export interface QueryContext {
  readonly engine: Engine;
  readonly shadow: Shadow | undefined;
  readonly user: string;
  readonly limits: () => Limits;
}

/** Runs queries on the engine or on the PostgreSQL beside us; both answer with DataRow messages. */
export interface Queries {
  /** `declared`: the OIDs of Parse, 0 where the client leaves it to us. */
  describe(query: Query, declared: readonly number[], signal: AbortSignal): Promise<Description>;
  run(
    query: Query,
    description: Description,
    binding: Binding,
    formats: readonly Format[],
    signal: AbortSignal,
  ): Promise<RowSource>;
}

export function createQueries(context: QueryContext): Queries {
  return {
    describe: (query, declared, signal) =>
      told(query, signal, () =>
        query.target === 'engine'
          ? describeOnEngine(context, query, declared, signal)
          : describeOnShadow(context, query, declared, signal),
      ),
    run: (query, description, binding, formats, signal) =>
      told(query, signal, () =>
        query.target === 'engine'
          ? runOnEngine(context, query, description, binding, formats, signal)
          : runOnShadow(context, query, description, binding, formats, signal),
      ),
  };
}

/** Errors leave with a position in what the client sent, and as a cancellation where there was one. */
async function told<T>(query: Query, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw inClientTerms(error, query, signal);
  }
}

export function inClientTerms(
  error: unknown,
  query: Query,
  signal: AbortSignal,
  original = (position: number): number => position,
): unknown {
  if (signal.aborted) return cancelled(signal);
  if (!isWatershedError(error)) return error;
  const { position } = error.context;
  const isWrite =
    error.code === 'statement_refused' &&
    error.context['sqlstate'] === undefined &&
    writes.has(firstWord(query.statement));
  if (typeof position !== 'number' && !isWrite) return error;
  const context = {
    ...error.context,
    ...(typeof position === 'number' ? { position: query.offset + original(position) } : {}),
    ...(isWrite ? { sqlstate: '25006' } : {}),
  };
  return new WatershedError(error.code, error.message, {
    cause: error,
    context,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

const writes = new Set([
  'insert',
  'update',
  'delete',
  'merge',
  'create',
  'alter',
  'drop',
  'truncate',
  'grant',
  'revoke',
  'comment',
  'vacuum',
]);

function cancelled(signal: AbortSignal): unknown {
  const reason: unknown = signal.reason;
  return isWatershedError(reason) ? reason : new WatershedError('cancelled', messageOf(reason), { cause: reason });
}

// Where a statement leaves a parameter's type open, these are tried for all that are open, first to last: text is what
// PostgreSQL would take, then what its overloads would prefer.
const guesses = ['VARCHAR', 'BIGINT', 'DOUBLE', 'VARCHAR[]', 'BIGINT[]', 'TIMESTAMP', 'BOOLEAN'];

async function describeOnEngine(
  { engine, user, limits }: QueryContext,
  { statement }: Query,
  declared: readonly number[],
  signal: AbortSignal,
): Promise<Description> {
  const count = Math.max(parameterCount(statement.tokens), declared.length);
  const known = Array.from({ length: count }, (_, index) => declaredType(declared[index]));
  const ask = (types: readonly (string | undefined)[]): ReturnType<Engine['describe']> =>
    engine.describe({
      sql: castParameters(statement.sql, statement.tokens, types).sql,
      params: [],
      user,
      encoding: 'pg.text',
      limits: limits(),
      signal,
    });
  const finish = (
    types: readonly (string | undefined)[],
    columns: readonly { name: string; type: string }[],
  ): Description => ({
    parameters: types.map((type, index) => {
      const oid = declared[index];
      const engineType = type ?? 'VARCHAR';
      return {
        oid: oid === undefined || oid === 0 || oid === oids.unknown ? pgTypeOf(engineType).oid : oid,
        engineType,
      };
    }),
    fields: columns.map(({ name, type }): Field => ({ name, type: pgTypeOf(type) })),
  });
  const first = await attempt(
    () => ask(known),
    known.some((type) => type === undefined),
  );
  const types = known.map((type, index) => type ?? settled(first?.parameters[index]));
  if (
    first !== undefined &&
    types.every((type) => type !== undefined) &&
    first.columns.every(({ type }) => settled(type) !== undefined)
  ) {
    return finish(types, first.columns);
  }
  let failure: unknown;
  for (const guess of guesses) {
    const guessed = types.map((type) => type ?? guess);
    try {
      return finish(guessed, (await ask(guessed)).columns);
    } catch (error) {
      if (!isWatershedError(error, 'statement_failed')) throw error;
      failure ??= error;
    }
  }
  throw failure;
}

async function attempt<T>(work: () => Promise<T>, mayFail: boolean): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (mayFail && (isWatershedError(error, 'statement_failed') || isWatershedError(error, 'unsupported')))
      return undefined;
    throw error;
  }
}

// What engines call a type that is not settled yet.
function settled(type: string | undefined): string | undefined {
  return type === undefined || /^("NULL"|NULL|UNKNOWN|INVALID|ANY|SQLNULL|STRING_LITERAL|INTEGER_LITERAL)$/i.test(type)
    ? undefined
    : type;
}

async function runOnEngine(
  { engine, user, limits }: QueryContext,
  query: Query,
  description: Description,
  binding: Binding,
  formats: readonly Format[],
  signal: AbortSignal,
): Promise<RowSource> {
  const { statement } = query;
  const bound = boundValues(description, binding);
  const { sql, originalPosition } = castParameters(
    statement.sql,
    statement.tokens,
    bound.map(({ cast }) => cast),
  );
  const encoding = encodingFor(formats);
  try {
    const result = await engine.run({
      sql,
      params: bound.map(({ value }) => value),
      user,
      encoding,
      limits: limits(),
      signal,
    });
    return {
      fields: result.columns.map(({ name, type }): Field => ({ name, type: pgTypeOf(type) })),
      formats,
      chunks: toldChunks(result.chunks, query, signal, originalPosition),
      async notice() {
        const { truncated, rows } = await result.summary;
        return truncated ? `the result was cut after ${rows} rows, the most that one statement may return` : undefined;
      },
    };
  } catch (error) {
    throw shifted(error, originalPosition);
  }
}

function shifted(error: unknown, original: (position: number) => number): unknown {
  if (!isWatershedError(error) || typeof error.context['position'] !== 'number') return error;
  return new WatershedError(error.code, error.message, {
    cause: error,
    context: { ...error.context, position: original(error.context['position']) },
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

async function* toldChunks(
  chunks: AsyncIterable<Uint8Array>,
  query: Query,
  signal: AbortSignal,
  original: (position: number) => number,
): AsyncGenerator<Uint8Array> {
  try {
    yield* chunks;
  } catch (error) {
    throw inClientTerms(error, query, signal, original);
  }
}

/** Throws `bad_request` where values are missing (08P01) or malformed. */
function boundValues(description: Description, { values, formats }: Binding): BoundValue[] {
  checkCount(values.length, description.parameters.length);
  return description.parameters.map(({ oid, engineType }, index) =>
    boundValue(values[index] ?? null, formats[formats.length === 1 ? 0 : index] ?? 0, oid, engineType),
  );
}

function checkCount(given: number, needed: number): void {
  if (given === needed) return;
  throw new WatershedError(
    'bad_request',
    `bind message supplies ${given} parameters, but prepared statement requires ${needed}`,
    { context: { sqlstate: '08P01' } },
  );
}

function encodingFor(formats: readonly Format[]): Encoding {
  if (formats.every((format) => format === 0)) return 'pg.text';
  return formats.every((format) => format === 1) ? 'pg.binary' : `pg.mixed:${formats.join('')}`;
}

function shadowOf({ shadow }: QueryContext, { statement }: Query): Shadow {
  if (shadow === undefined) {
    throw new WatershedError(
      'unsupported',
      'catalogue questions are not answered here: there is no database for them',
      { hint: 'ask the lake with SHOW TABLES and DESCRIBE' },
    );
  }
  checkForwarded(statement, (name) => shadow.isDenied(name));
  return shadow;
}

async function describeOnShadow(
  context: QueryContext,
  query: Query,
  declared: readonly number[],
  signal: AbortSignal,
): Promise<Description> {
  const { parameters, fields } = await shadowOf(context, query).run(
    { sql: query.statement.sql, oids: declared },
    signal,
  );
  return { parameters: parameters.map((oid) => ({ oid, engineType: '' })), fields };
}

async function runOnShadow(
  context: QueryContext,
  query: Query,
  description: Description,
  binding: Binding,
  formats: readonly Format[],
  signal: AbortSignal,
): Promise<RowSource> {
  const shadow = shadowOf(context, query);
  checkCount(binding.values.length, description.parameters.length);
  const result = await shadow.run(
    {
      sql: query.statement.sql,
      oids: description.parameters.map(({ oid }) => oid),
      bound: { ...binding, resultFormats: formats },
    },
    signal,
  );
  return { fields: result.fields ?? [], formats, chunks: fromArray(result.rows) };
}
