import type { Clock } from '#core/clock.ts';
import { lakeSchema, storeNamespace, type TableName, tables } from '#core/contract/tables.ts';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog } from '#warehouse/catalog/catalog.ts';
import type { TableCache } from '#warehouse/table/files.ts';
import type { Engine, Result, ResultColumn, Statement, TableInfo } from '../engine.ts';
import { type Conversation, converse, sentBack } from './conversation.ts';
import { withPivotValues } from './pivot-values.ts';
import { createPlanner } from './plan.ts';
import { createChildPool } from './pool.ts';
import type { LakeNames } from './protocol.ts';
import type { Past } from './slices.ts';

export interface DuckEngineOptions {
  readonly catalog: Catalog;
  readonly store: Store;
  readonly cache: TableCache;
  /** Statements that run at once, each in a process of its own. */
  readonly children: number;
  /** What DuckDB may take, per child. */
  readonly memoryBytes: number;
  readonly threads: number;
  /** Local folders in which the lake's files are, without a slash at the end: nothing else can be read. */
  readonly readable: readonly string[];
  /** A private folder for what children spill. */
  readonly tempDir: string;
  readonly tempBytesMax: number;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** What a child may occupy besides what DuckDB counts: Node, DuckDB's code, rows on their way. */
const residentBytesBesides = 512 * 2 ** 20;
const graceMs = 2_000;

/** Runs statements in DuckDB, in child processes that can be killed. */
export function createDuckEngine(options: DuckEngineOptions): Engine {
  const { clock, catalog, store, cache } = options;
  const pool = createChildPool(options);
  const planner = createPlanner({ catalog, store, cache, namespace: storeNamespace });
  const names = lakeNames();
  const watch = { clock, graceMs, residentBytesMax: options.memoryBytes + residentBytesBesides };

  const lead = async (statement: Statement, only: 'run' | 'describe'): Promise<Conversation> => {
    const { user, signal } = statement;
    for (let past: Past | undefined; ;) {
      const lease = await pool.acquire({ user, signal, ...(past === undefined ? {} : { past }) });
      try {
        const seen = names.filter(({ schema }) => schema !== storeNamespace || statement.mayReadStore === true);
        return await converse({ lease, statement, only, planner, names: seen, watch });
      } catch (error) {
        if (error !== sentBack) throw error;
        past = lease.past();
      }
    }
  };
  const start = async (statement: Statement, only: 'run' | 'describe'): Promise<Conversation> =>
    await withPivotValues(statement, clock, async (given, what) => await lead(given, what ?? only));
  return {
    kind: 'duckdb',
    async run(statement) {
      const startedMs = clock.monotonic();
      const conversation = await start(statement, 'run');
      return resultOf(conversation, () => clock.monotonic() - startedMs);
    },
    async describe(statement) {
      const conversation = await start(statement, 'describe');
      for await (const _rows of conversation.rows()); // there are none; this reads to the end
      return { columns: conversation.columns, parameters: conversation.parameters };
    },
    tables: async () =>
      await Promise.all(
        tableNames().flatMap((name) => [
          tableInfo(lakeSchema, name, async () => await planner.columns(name)),
          tableInfo(storeNamespace, name, async () => await planner.columns(name)),
        ]),
      ),
    [Symbol.asyncDispose]: async () => await pool[Symbol.asyncDispose](),
  };
}

function resultOf(conversation: Conversation, elapsedMs: () => number): Result {
  const summary = Promise.withResolvers<Awaited<Result['summary']>>();
  // Whoever only reads the rows gets the error from there.
  summary.promise.catch(() => undefined);
  return {
    columns: conversation.columns,
    summary: summary.promise,
    chunks: {
      async *[Symbol.asyncIterator]() {
        try {
          yield* conversation.rows();
          summary.resolve({ ...conversation.summary(), elapsedMs: elapsedMs() });
        } catch (error) {
          summary.reject(error);
          throw error;
        } finally {
          summary.reject(new WatershedError('cancelled', 'the rows were not read to their end'));
        }
      },
    },
  };
}

function tableNames(): TableName[] {
  return Object.keys(tables).filter((name): name is TableName => Object.hasOwn(tables, name));
}

function lakeNames(): LakeNames {
  return [lakeSchema, storeNamespace].map((schema) => ({ schema, names: tableNames() }));
}

async function tableInfo(
  schema: string,
  name: TableName,
  columns: () => Promise<readonly ResultColumn[]>,
): Promise<TableInfo> {
  const docs = new Map<string, string>(tables[name].columns.map((column) => [column.name, column.doc]));
  const known = schema === lakeSchema ? (column: ResultColumn): boolean => docs.has(column.name) : () => true;
  return {
    schema,
    name,
    comment: tables[name].comment,
    columns: (await columns()).filter(known).map((column) => ({
      name: column.name,
      type: column.type,
      comment: docs.get(column.name) ?? '',
    })),
  };
}
