import { DuckDBInstance, type DuckDBPreparedStatement, type DuckDBValue } from '@duckdb/node-api';
import { isWatershedError, messageOf, WatershedError } from '#core/errors.ts';
import { chunkOf } from '#sql/encode/column.ts';
import { encoderFor } from '#sql/encode/registry.ts';
import { Sink } from '#sql/encode/sink.ts';
import type { Engine, Param, ResultColumn, ResultSummary, Statement, TableInfo } from '#sql/engine/engine.ts';
import { typeName } from '#sql/pgwire/encode-text.ts';

const session = "set timezone = 'UTC'; set search_path = 'lake'";

/**
 * The port Engine over a DuckDB in this process, with tables of the test's own and no guard: what the wire door does is
 * shown against real rows without a lake. Statements run one at a time per call, each on a connection of its own.
 */
export async function createLocalEngine(setup: string): Promise<Engine & { readonly running: () => number }> {
  const instance = await DuckDBInstance.create(':memory:');
  const first = await instance.connect();
  await first.run(`set timezone = 'UTC'; ${setup}`);
  let running = 0;

  async function* chunks(
    statement: Statement,
    prepared: DuckDBPreparedStatement,
    release: () => void,
    ended: PromiseWithResolvers<ResultSummary>,
  ): AsyncGenerator<Uint8Array> {
    let rows = 0;
    let bytes = 0;
    let truncated = false;
    try {
      const result = await prepared.stream();
      const types = result.columnTypes();
      const encoder = (await encoderFor(statement.encoding))?.(
        types.map((type, index) => ({ name: result.columnName(index), type })),
      );
      if (encoder === undefined) throw new WatershedError('unsupported', statement.encoding);
      const sink = new Sink();
      for (;;) {
        const chunk = await result.fetchChunk();
        if (chunk === null || chunk.rowCount === 0 || truncated) break;
        const to = Math.min(chunk.rowCount, statement.limits.rowsMax - rows);
        truncated = to < chunk.rowCount;
        for (let row = 0; row < to;) {
          row = encoder.rows(chunkOf(chunk, types), row, to, sink, 256 * 1024);
          bytes += sink.length;
          yield sink.take();
        }
        rows += to;
      }
      ended.resolve({ rows, bytes, elapsedMs: 0, truncated });
    } catch (error) {
      throw failure(error, statement.sql);
    } finally {
      ended.resolve({ rows, bytes, elapsedMs: 0, truncated });
      release();
    }
  }

  return {
    kind: 'duckdb',
    running: () => running,
    async run(statement) {
      if (statement.signal.aborted) throw new WatershedError('cancelled', 'cancelled');
      const connection = await instance.connect();
      await connection.run(session);
      const onAbort = (): void => connection.interrupt();
      statement.signal.addEventListener('abort', onAbort, { once: true });
      const timer = setTimeout(onAbort, statement.limits.timeoutMs);
      running++;
      let isReleased = false;
      const release = (): void => {
        if (isReleased) return;
        isReleased = true;
        running--;
        clearTimeout(timer);
        statement.signal.removeEventListener('abort', onAbort);
        connection.closeSync();
      };
      try {
        const prepared = await connection.prepare(statement.sql);
        statement.params.forEach((value, index) => prepared.bindValue(index + 1, valueOf(value)));
        const columns = columnsOf(prepared);
        const ended = Promise.withResolvers<ResultSummary>();
        const rows = chunks(statement, prepared, release, ended);
        const end = async (): Promise<IteratorResult<Uint8Array>> => {
          const returned = await rows.return(undefined);
          release();
          return returned;
        };
        return {
          columns,
          chunks: { [Symbol.asyncIterator]: () => ({ next: () => rows.next(), return: end }) },
          summary: ended.promise,
        };
      } catch (error) {
        release();
        throw failure(error, statement.sql);
      }
    },
    async describe(statement) {
      const connection = await instance.connect();
      await connection.run(session);
      try {
        const prepared = await connection.prepare(statement.sql);
        const parameters = Array.from({ length: prepared.parameterCount }, (_, index) =>
          prepared.parameterTypeId(index + 1) === 0 ? 'UNKNOWN' : prepared.parameterType(index + 1).toString(),
        );
        return { columns: parameters.includes('UNKNOWN') ? [] : columnsOf(prepared), parameters };
      } catch (error) {
        throw failure(error, statement.sql);
      } finally {
        connection.closeSync();
      }
    },
    tables: () => tablesOf(instance),
    [Symbol.asyncDispose]: () => {
      first.closeSync();
      instance.closeSync();
      return Promise.resolve();
    },
  };
}

function valueOf(param: Param): DuckDBValue {
  return param;
}

function columnsOf(prepared: DuckDBPreparedStatement): ResultColumn[] {
  return Array.from({ length: prepared.columnCount }, (_, index) => ({
    name: prepared.columnName(index),
    type: typeName(prepared.columnType(index)),
  }));
}

async function tablesOf(instance: DuckDBInstance): Promise<TableInfo[]> {
  const connection = await instance.connect();
  const read =
    await connection.runAndReadAll(`select schema_name, table_name, column_name, data_type, coalesce(comment, '')
    from duckdb_columns() where not internal and schema_name in ('lake', 'store') order by schema_name, table_name, column_index`);
  connection.closeSync();
  const tables = new Map<string, TableInfo & { columns: { name: string; type: string; comment: string }[] }>();
  for (const row of read.getRows()) {
    const [schema = '', name = '', column = '', type = '', comment = ''] = row.map(String);
    const key = `${schema}.${name}`;
    const table = tables.get(key) ?? { schema, name, comment: `about ${name}`, columns: [] };
    table.columns.push({ name: column, type, comment });
    tables.set(key, table);
  }
  return [...tables.values()];
}

function failure(error: unknown, sql: string): unknown {
  if (isWatershedError(error)) return error;
  const message = messageOf(error);
  if (/INTERRUPT/i.test(message)) return new WatershedError('cancelled', 'canceling statement due to user request');
  const caret = /\n\nLINE \d+: /.exec(message);
  const [kind = '', ...rest] = (caret === null ? message : message.slice(0, caret.index)).split(': ');
  const states: Readonly<Record<string, string>> = {
    'Parser Error': '42601',
    'Conversion Error': '22P02',
    'Out of Range Error': '22003',
  };
  const text = rest.join(': ');
  const sqlstate = states[kind] ?? (/Table with name/.test(text) ? '42P01' : /column/.test(text) ? '42703' : '42883');
  const position = caret === null ? undefined : positionOf(message.slice(caret.index), sql);
  return new WatershedError('statement_failed', text, {
    context: { sqlstate, ...(position === undefined ? {} : { position }) },
  });
}

// DuckDB shows the line and a caret below; the line may be cut at both ends.
function positionOf(text: string, sql: string): number | undefined {
  const [, line = '', shown = '', caret = ''] = /LINE (\d+): (.*)\n( *)\^/.exec(text) ?? [];
  const lines = sql.split('\n');
  const before = lines.slice(0, Number(line) - 1).reduce((sum, part) => sum + part.length + 1, 0);
  const at = caret.length - `LINE ${line}: `.length;
  const start = (lines[Number(line) - 1] ?? '').indexOf(shown.replace(/^\.\.\./, '').slice(0, 20));
  return line === '' ? undefined : before + Math.max(0, start) + at - (shown.startsWith('...') ? 3 : 0) + 1;
}
