import {
  type DuckDBConnection,
  DuckDBDateValue,
  DuckDBDecimalValue,
  DuckDBTimestampTZValue,
  DuckDBTimestampValue,
  type DuckDBPreparedStatement,
  type DuckDBValue,
} from '@duckdb/node-api';
import { messageOf, WatershedError } from '#core/errors.ts';
import type { Filter } from '#warehouse/table/scan.ts';
import { isObject, type Json, type JsonObject, listOf, objectOf, parseTree, textOf } from '../../../guard/tree.ts';
import type { Comparison, Travel } from '../../../guard/verdict.ts';
import type { Param } from '../../engine.ts';

/** Computes the constant expressions of a statement, by DuckDB itself, from their parse trees. */
export function createConstants(
  connection: DuckDBConnection,
  params: readonly Param[],
): {
  /** Undefined where nothing can be said. What cannot be computed or told apart by files is left out. */
  filter(comparisons: readonly Comparison[]): Promise<Filter | undefined>;
  snapshot(travel: Travel): Promise<{ snapshotId: string } | { asOfMs: number }>;
} {
  return {
    async filter(comparisons) {
      const parts: Filter[] = [];
      for (const { column, operator, values } of comparisons) {
        if (values.length > listedMax) continue;
        const constants = (
          await Promise.all(
            values.map(async (value) => literal(value) ?? (await tryEvaluate(connection, value, params))),
          )
        ).map(plain);
        const known = constants.filter((value) => value !== undefined);
        if (known.length < constants.length) continue;
        const [value] = known;
        if (operator === 'in') parts.push({ kind: 'in', column, values: known });
        else if (value !== undefined) parts.push({ kind: 'compare', column, op: operator, value });
      }
      return parts.length === 0 ? undefined : { kind: 'and', of: parts };
    },
    async snapshot({ unit, expression }) {
      const value = await evaluate(connection, expression, params).catch((error: unknown) => {
        throw new WatershedError('statement_failed', `AT (${unit} => …) cannot be computed: ${messageOf(error)}`, {
          cause: error,
        });
      });
      if (unit === 'VERSION') {
        if (typeof value === 'number' || typeof value === 'bigint') return { snapshotId: String(value) };
        throw new WatershedError('statement_failed', 'AT (VERSION => …) wants the number of a snapshot', {
          context: { sqlstate: '42804' },
        });
      }
      const micros = plain(typeof value === 'string' ? await evaluateText(connection, value) : value);
      if (typeof micros === 'number') return { asOfMs: Math.floor(micros / 1000) };
      throw new WatershedError('statement_failed', 'AT (TIMESTAMP => …) wants an instant', {
        context: { sqlstate: '42804' },
      });
    },
  };
}

/** Of longer lists nothing is said: each value would be held against each file. */
const listedMax = 1_000;

/** Text, or a number that is held exactly, as it stands in the tree: the usual case, which needs no engine. */
function literal(node: JsonObject): string | number | undefined {
  const constant = textOf(node, 'class') === 'CONSTANT' ? objectOf(node, 'value') : undefined;
  const type = constant === undefined ? undefined : objectOf(constant, 'type');
  if (constant === undefined || type === undefined || constant['is_null'] === true) return undefined;
  const { value } = constant;
  const id = textOf(type, 'id');
  if (typeof value === 'string' && id === 'VARCHAR') return value;
  return typeof value === 'number' && ['INTEGER', 'BIGINT'].includes(id) ? value : undefined;
}

/** As the planner takes it: instants as microseconds, whole numbers, text, booleans; undefined for anything else. */
function plain(value: DuckDBValue | undefined): string | number | boolean | undefined {
  if (typeof value === 'string' || typeof value === 'boolean') return value;
  if (typeof value === 'number') return Number.isFinite(value) ? value : undefined;
  if (typeof value === 'bigint') return exact(value);
  if (value instanceof DuckDBTimestampTZValue || value instanceof DuckDBTimestampValue)
    return value.isFinite ? exact(value.micros) : undefined;
  if (value instanceof DuckDBDateValue) return value.isFinite ? exact(BigInt(value.days) * 86_400_000_000n) : undefined;
  if (value instanceof DuckDBDecimalValue) return value.toDouble();
  return undefined;
}

function exact(value: bigint): number | undefined {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

async function tryEvaluate(
  connection: DuckDBConnection,
  expression: JsonObject,
  params: readonly Param[],
): Promise<DuckDBValue | undefined> {
  try {
    return await evaluate(connection, expression, params);
  } catch {
    return undefined; // the statement itself will say what is wrong with it
  }
}

async function evaluate(
  connection: DuckDBConnection,
  expression: JsonObject,
  params: readonly Param[],
): Promise<DuckDBValue> {
  const template = await templateOf(connection);
  const tree = JSON.stringify(withExpression(template, expression, params.length));
  const text = await connection.runAndReadAll('SELECT json_deserialize_sql($1::JSON)', [tree]);
  const statement = await connection.prepare(String(text.getRows()[0]?.[0]));
  try {
    bindParams(statement, params);
    const result = await statement.runAndReadAll();
    return result.getRows()[0]?.[0] ?? null;
  } finally {
    statement.destroySync();
  }
}

async function evaluateText(connection: DuckDBConnection, instant: string): Promise<DuckDBValue> {
  const result = await connection.runAndReadAll('SELECT $1::TIMESTAMPTZ', [instant]);
  return result.getRows()[0]?.[0] ?? null;
}

let template: Json | undefined; // the parse tree of `SELECT 1`, the same for the life of the process

async function templateOf(connection: DuckDBConnection): Promise<Json> {
  if (template === undefined) {
    const result = await connection.runAndReadAll("SELECT json_serialize_sql('SELECT 1')");
    template = parseTree(String(result.getRows()[0]?.[0]));
  }
  return template;
}

// DuckDB cannot bind $2 in a statement that has no $1: all parameters are put behind the expression.
function withExpression(tree: Json, expression: JsonObject, paramCount: number): Json {
  const statement = isObject(tree) ? listOf(tree, 'statements')[0] : undefined;
  const node = isObject(statement) ? statement['node'] : undefined;
  if (!isObject(tree) || !isObject(statement) || !isObject(node))
    throw new WatershedError('internal', 'SELECT 1 has no parse tree');
  const params = Array.from({ length: paramCount }, (_, index) => ({
    class: 'PARAMETER',
    type: 'VALUE_PARAMETER',
    alias: '',
    query_location: 0,
    identifier: String(index + 1),
  }));
  return {
    ...tree,
    statements: [{ ...statement, node: { ...node, select_list: [{ ...expression, alias: '' }, ...params] } }],
  };
}

/** Binds parameters by their number; a statement that wants one that was not given is the user's mistake. */
export function bindParams(statement: DuckDBPreparedStatement, params: readonly Param[]): void {
  for (let index = 1; index <= statement.parameterCount; index++) {
    const name = parameterName(statement, index);
    const number = Number(name);
    const value = params[number - 1];
    if (!Number.isInteger(number) || value === undefined) {
      throw new WatershedError('statement_failed', `there is no value for parameter $${name}`, {
        hint: 'Parameters are $1, $2, … or ?, with one value each.',
        context: { sqlstate: '42P02' },
      });
    }
    bindParam(statement, index, value);
  }
}

/** The name of a parameter, which is its number for those that are numbered. */
export function parameterName(statement: DuckDBPreparedStatement, index: number): string {
  try {
    return statement.parameterName(index);
  } catch (cause) {
    throw new WatershedError('statement_failed', 'parameters are numbered from $1 on, without gaps', {
      cause,
      context: { sqlstate: '42P02' },
    });
  }
}

function bindParam(statement: DuckDBPreparedStatement, index: number, value: Param): void {
  if (value === null) statement.bindNull(index);
  else if (typeof value === 'boolean') statement.bindBoolean(index, value);
  else if (typeof value === 'string') statement.bindVarchar(index, value);
  else if (typeof value === 'number' && !Number.isSafeInteger(value)) statement.bindDouble(index, value);
  else if (BigInt.asIntN(64, BigInt(value)) === BigInt(value)) statement.bindBigInt(index, BigInt(value));
  else statement.bindHugeInt(index, BigInt(value));
}
