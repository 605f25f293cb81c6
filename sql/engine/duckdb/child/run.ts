import { type DuckDBConnection, type DuckDBPreparedStatement, type DuckDBResult, type DuckDBType, DuckDBTypeId } from '@duckdb/node-api';
import { WatershedError } from '#core/errors.ts';
import { chunkOf, type EncodedColumn } from '../../../encode/column.ts';
import type { RowEncoder } from '../../../encode/encoder.ts';
import { encoderFor } from '../../../encode/registry.ts';
import { Sink } from '../../../encode/sink.ts';
import type { Encoding, Limits, Param, ResultColumn, ResultSummary } from '../../engine.ts';
import { bindParams, parameterName } from './constants.ts';

/** Where a statement's output goes. `rows` resolves when more may be sent. */
export interface Output {
  columns(columns: readonly ResultColumn[], parameters: readonly string[]): void;
  rows(bytes: Uint8Array): Promise<void>;
}

/** Bytes gathered before they are sent: the first rows go at once, the rest in pieces worth a system call. */
const sendBytes = 128 * 1024;

/** Binds a statement and says what it would give. */
export async function describeStatement(connection: DuckDBConnection, sql: string, output: Output): Promise<void> {
  const statement = await connection.prepare(sql);
  try {
    const parameters = parameterTypes(statement); // before any value is bound: that would decide them
    // With null in an open parameter some statements fail (`= any($1)`): then the columns stay open too.
    output.columns(preparedColumns(statement) ?? await triedColumns(statement).catch(() => []), parameters);
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

/** Starts the statement with null for every parameter: then all types are known. Nothing is fetched; the rollback ends it. */
async function triedColumns(statement: DuckDBPreparedStatement): Promise<ResultColumn[]> {
  for (let index = 1; index <= statement.parameterCount; index++) statement.bindNull(index);
  const result = await statement.stream();
  return result.columnTypes().map((type, index) => ({ name: result.columnName(index), type: typeName(type) }));
}

/** Runs a statement to its end or its limits. */
export async function runStatement(
  connection: DuckDBConnection, sql: string, params: readonly Param[], encoding: Encoding, limits: Limits, output: Output,
): Promise<Omit<ResultSummary, 'elapsedMs'>> {
  const factory = await encoderFor(encoding);
  if (factory === undefined) throw new WatershedError('unsupported', `rows cannot be encoded as ${encoding} here`);
  const statement = await connection.prepare(sql);
  try {
    bindParams(statement, params);
    const result = await statement.stream();
    const types = result.columnTypes();
    const columns: EncodedColumn[] = types.map((type, index) => ({ name: result.columnName(index), type }));
    output.columns(columns.map(({ name, type }) => ({ name, type: typeName(type) })), parameterTypes(statement));
    return await pump(result, types, factory(columns), limits, output);
  } finally {
    statement.destroySync();
  }
}

async function pump(
  result: DuckDBResult, types: readonly DuckDBType[], encoder: RowEncoder, limits: Limits, output: Output,
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
  while (!truncated) {
    const chunk = await result.fetchChunk();
    if (chunk === null || chunk.rowCount === 0) break;
    const view = chunkOf(chunk, types);
    const wanted = Math.min(view.rowCount, limits.rowsMax - rows);
    for (let from = 0; from < wanted && bytes + sink.length < limits.bytesMax;) {
      // Stops now and then inside a chunk of long rows, so that no single message grows large.
      const pause = Math.min(sink.length + 8 * sendBytes, limits.bytesMax - bytes);
      const next = encoder.rows(view, from, wanted, sink, pause);
      rows += next - from;
      from = next;
      if (sink.length >= sendBytes || bytes === 0) await send();
      truncated = from < wanted && bytes + sink.length >= limits.bytesMax;
    }
    truncated ||= wanted < view.rowCount;
    // At a limit one more chunk tells whether anything was left out.
    if (rows >= limits.rowsMax && !truncated) truncated = ((await result.fetchChunk())?.rowCount ?? 0) > 0;
    else if (bytes + sink.length >= limits.bytesMax && !truncated) truncated = ((await result.fetchChunk())?.rowCount ?? 0) > 0;
  }
  encoder.end?.(sink);
  await send();
  return { rows, bytes, truncated };
}

/** Types of the parameters by number; `UNKNOWN` where the statement leaves it open, and so for columns that hang on it. */
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
