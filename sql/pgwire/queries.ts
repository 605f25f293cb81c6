import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import type { Encoding, Engine, Limits } from '../engine/engine.ts';
import { describeOnEngine, fieldsOf, shifted } from './describe.ts';
import type { Format } from './encode-rows.ts';
import { planFields, planRows } from './explain.ts';
import { type BoundValue, boundValue, castParameters } from './parameters.ts';
import { type Description, explainsAs, firstWord, type Query } from './planned.ts';
import { checkForwarded, modernised } from './router.ts';
import { fromArray, type RowSource } from './rows.ts';
import type { Shadow } from './shadow.ts';

/** The values of a Bind: as they came for PostgreSQL, decoded for the engine and the door. */
export interface Binding {
  readonly values: readonly (Buffer | null)[];
  readonly formats: readonly Format[];
  readonly decoded: readonly BoundValue[];
}

export const noValues: Binding = { values: [], formats: [], decoded: [] };

/** Throws `bad_request` where the values are too many or too few (08P01) or malformed (22P02, 22P03, 22021). */
export function bindValues(
  query: Query | undefined,
  { parameters }: Description,
  values: readonly (Buffer | null)[],
  formats: readonly Format[],
): Binding {
  if (values.length !== parameters.length) {
    const message = `bind message supplies ${values.length} parameters, but prepared statement requires ${parameters.length}`;
    throw new WatershedError('bad_request', message, { context: { sqlstate: '08P01' } });
  }
  const decoded =
    query?.target !== 'catalogue'
      ? parameters.map(({ oid, engineType }, index) =>
          boundValue(values[index] ?? null, formats[formats.length === 1 ? 0 : index] ?? 0, oid, engineType),
        )
      : [];
  return { values, formats, decoded };
}

export interface QueryContext {
  readonly engine: Engine;
  readonly shadow: Shadow | undefined;
  readonly user: string;
  /** Whether schema store may be read. */
  readonly mayReadStore: boolean;
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
          ? describeHere(context, query, declared, signal)
          : describeOnShadow(context, query, declared, signal),
      ),
    run: (query, description, binding, formats, signal) =>
      told(query, signal, () =>
        query.target === 'engine'
          ? runOnEngine(context, query, binding, formats, signal)
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

function inClientTerms(
  error: unknown,
  query: Query,
  signal: AbortSignal,
  original = (position: number): number => position,
): unknown {
  if (signal.aborted) return cancelled(signal);
  if (!isWatershedError(error)) return error;
  const { position } = error.context;
  const isWrite = error.code === 'statement_refused' && writes.has(firstWord(query.statement));
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

async function describeHere(
  { engine, user, mayReadStore, limits }: QueryContext,
  { statement }: Query,
  declared: readonly number[],
  signal: AbortSignal,
): Promise<Description> {
  const how = { user, mayReadStore, limits: limits(), signal };
  const described = await describeOnEngine(engine, statement, declared, how);
  const plan = explainsAs(statement);
  return plan === undefined ? described : { ...described, fields: planFields(plan === 'json') };
}

async function runOnEngine(
  { engine, user, mayReadStore, limits }: QueryContext,
  query: Query,
  binding: Binding,
  formats: readonly Format[],
  signal: AbortSignal,
): Promise<RowSource> {
  const { statement } = query;
  const bound = binding.decoded;
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
      mayReadStore,
      encoding,
      limits: limits(),
      signal,
    });
    const plan = explainsAs(statement);
    const source: RowSource = {
      fields: fieldsOf(result.columns, statement.tokens),
      formats,
      chunks: toldChunks(result.chunks, query, signal, originalPosition),
      async notice() {
        const { truncated, rows } = await result.summary;
        return truncated ? `the result was cut after ${rows} rows, the most that one statement may return` : undefined;
      },
    };
    return plan === undefined ? source : planRows(source, plan === 'json');
  } catch (error) {
    throw shifted(error, originalPosition);
  }
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
    { sql: modernised(query.statement), oids: declared },
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
  const result = await shadow.run(
    {
      sql: modernised(query.statement),
      oids: description.parameters.map(({ oid }) => oid),
      bound: { values: binding.values, formats: binding.formats, resultFormats: formats },
    },
    signal,
  );
  return { fields: result.fields ?? [], formats, chunks: fromArray(result.rows) };
}
