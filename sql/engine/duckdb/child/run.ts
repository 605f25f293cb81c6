import {
  type DuckDBConnection,
  type DuckDBDataChunk,
  type DuckDBPreparedStatement,
  type DuckDBResult,
  type DuckDBType,
  DuckDBTypeId,
  ResultReturnType,
} from '@duckdb/node-api';
import { WatershedError } from '#core/errors.ts';
import { chunkOf, type EncodedColumn } from '../../../encode/column.ts';
import type { RowEncoder } from '../../../encode/encoder.ts';
import { encoderFor } from '../../../encode/registry.ts';
import { Sink } from '../../../encode/sink.ts';
import { splitStatements } from '../../../guard/lexer.ts';
import type { Encoding, Limits, Param, ResultColumn, ResultSummary } from '../../engine.ts';
import { bindParams, parameterName } from './constants.ts';
import { engineError } from './errors.ts';

/** Where a statement's output goes. `rows` resolves when more may be sent. */
export interface Output {
  columns(columns: readonly ResultColumn[], parameters: readonly string[]): void;
  rows(bytes: Uint8Array): Promise<void>;
  /** Whether the statement was cancelled meanwhile. */
  isCancelled(): boolean;
}

/** Bytes gathered before they are sent: the first rows go at once, the rest in pieces worth a system call. */
const sendBytes = 128 * 1024;

/** Binds a statement and says what it would give. */
export async function describeStatement(connection: DuckDBConnection, sql: string, output: Output): Promise<void> {
  const statement = await connection.prepare(sql);
  try {
    const parameters = parameterTypes(statement); // before any value is bound: that would decide them
    // With null in an open parameter some statements fail (`= any($1)`): then the columns stay open too.
    output.columns(preparedColumns(statement) ?? (await triedColumns(statement).catch(() => [])), parameters);
  } finally {
    statement.destroySync();
  }
}

/** Undefined where the types depend on parameters of which DuckDB cannot tell the type. */
function preparedColumns(statement: DuckDBPreparedStatement): ResultColumn[] | undefined {
  const columns: ResultColumn[] = [];
  for (let index = 0; index < statement.columnCount; index++) {
    // The type of an undecided column cannot be asked for: the bindings throw.
    if (statement.columnTypeId(index) === DuckDBTypeId.INVALID) return undefined;
    columns.push({ name: statement.columnName(index), type: settledType(() => statement.columnType(index)) });
  }
  return columns.length === 0 ? undefined : columns;
}

/**
 * Starts the statement with null for every parameter: then all types are known. Nothing is fetched; the rollback ends
 * it.
 */
async function triedColumns(statement: DuckDBPreparedStatement): Promise<ResultColumn[]> {
  for (let index = 1; index <= statement.parameterCount; index++) statement.bindNull(index);
  const result = await statement.stream();
  return result.columnTypes().map((type, index) => ({ name: result.columnName(index), type: typeName(type) }));
}

/** Runs a statement to its end or its limits. */
export async function runStatement(
  connection: DuckDBConnection,
  sql: string,
  params: readonly Param[],
  encoding: Encoding,
  limits: Limits,
  output: Output,
): Promise<Omit<ResultSummary, 'elapsedMs'>> {
  const factory = await encoderFor(encoding);
  if (factory === undefined) throw new WatershedError('unsupported', `rows cannot be encoded as ${encoding} here`);
  const statement = await connection.prepare(sql);
  try {
    bindParams(statement, params);
    const result = await statement.stream();
    const types = result.columnTypes();
    const columns: EncodedColumn[] = types.map((type, index) => ({ name: result.columnName(index), type }));
    output.columns(
      columns.map(({ name, type }) => ({ name, type: typeName(type) })),
      parameterTypes(statement),
    );
    const summary = await pump(result, types, factory(columns), limits, output);
    if (result.returnType === ResultReturnType.INVALID)
      throw await reasonOf(connection, sql, params, summary.rows, output);
    return summary;
  } finally {
    statement.destroySync();
  }
}

async function pump(
  result: DuckDBResult,
  types: readonly DuckDBType[],
  encoder: RowEncoder,
  limits: Limits,
  output: Output,
): Promise<Omit<ResultSummary, 'elapsedMs'>> {
  const sink = new Sink();
  let rows = 0;
  let bytes = 0;
  let truncated = false;
  const send = async (): Promise<void> => {
    bytes += sink.length;
    if (sink.length > 0) await output.rows(sink.take());
  };
  encoder.begin?.(sink);
  for (let chunk = await nextChunk(result); chunk !== undefined; chunk = await nextChunk(result)) {
    const view = chunkOf(chunk, types);
    const wanted = Math.min(view.rowCount, limits.rowsMax - rows);
    let next = 0;
    while (next < wanted && bytes + sink.length < limits.bytesMax) {
      const from = next;
      // Stops now and then inside a chunk of long rows, so that no single message grows large.
      next = encoder.rows(view, from, wanted, sink, Math.min(sink.length + 8 * sendBytes, limits.bytesMax - bytes));
      rows += next - from;
      if (sink.length >= sendBytes || bytes === 0) await send();
    }
    if (rows < limits.rowsMax && bytes + sink.length < limits.bytesMax) continue;
    // At a limit: was anything left out? A result that has ended must not be asked once more, that would count as an
    // error.
    truncated = next < view.rowCount || (await nextChunk(result)) !== undefined;
    break;
  }
  // A result that failed ends like one that is whole (`reasonOf`): its end must not be written.
  if (result.returnType !== ResultReturnType.INVALID) encoder.end?.(sink);
  await send();
  return { rows, bytes, truncated };
}

async function nextChunk(result: DuckDBResult): Promise<DuckDBDataChunk | undefined> {
  const chunk = await result.fetchChunk();
  return chunk === null || chunk.rowCount === 0 ? undefined : chunk;
}

/**
 * Why a statement failed amid its rows. The bindings end such a stream as if it were whole and do not hand out the
 * error;
 * only the type of the result tells. The statement is run again for its error, with nothing kept of its rows but a
 * hash.
 */
async function reasonOf(
  connection: DuckDBConnection,
  sql: string,
  params: readonly Param[],
  rows: number,
  output: Output,
): Promise<WatershedError> {
  if (output.isCancelled())
    return new WatershedError('cancelled', 'the statement was cancelled', { context: { sqlstate: '57014' } });
  const nothing = new WatershedError(
    'statement_failed',
    `the statement failed after ${rows} rows, and the engine does not say why`,
    {
      hint: 'Run it again; if it fails again, ask for less at a time.',
      context: { sqlstate: 'XX000' },
    },
  );
  const [statement] = splitStatements(sql);
  try {
    // The failure has ended the transaction.
    await connection.run('ROLLBACK');
    await connection.run('BEGIN TRANSACTION READ ONLY');
    const again = await connection.prepare(
      `SELECT bit_xor(hash(failed)) FROM (\n${statement?.text ?? sql}\n) AS failed`,
    );
    try {
      bindParams(again, params);
      await again.run();
      return nothing;
    } finally {
      again.destroySync();
    }
  } catch (error) {
    const reason = engineError(error, () => undefined);
    return reason.context['sqlstate'] === '42601' ? nothing : reason; // EXPLAIN and the like cannot be put in brackets
  }
}

/**
 * Types of the parameters by number; `UNKNOWN` where the statement leaves it open, and so for columns that hang on
 * it.
 */
function parameterTypes(statement: DuckDBPreparedStatement): string[] {
  const types: string[] = [];
  for (let index = 1; index <= statement.parameterCount; index++) {
    const number = Number(parameterName(statement, index));
    types[Number.isInteger(number) ? number - 1 : index - 1] = settledType(() => statement.parameterType(index));
  }
  return Array.from(types, (type) => type ?? 'UNKNOWN');
}

function settledType(read: () => DuckDBType): string {
  try {
    return typeName(read());
  } catch {
    return 'UNKNOWN'; // the bindings throw where DuckDB has not decided on a type
  }
}

/** `JSON` and other names that DuckDB gives a type in place of its own. */
function typeName(type: DuckDBType): string {
  return type.alias ?? String(type);
}
