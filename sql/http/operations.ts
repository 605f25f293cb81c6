import type { FastifyPluginAsync } from 'fastify';
import Type from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import { storeNamespace, tables } from '#core/contract/tables.ts';
import type { Database } from '#core/database/database.ts';
import type { Store } from '#core/store/store.ts';
import type { Catalog } from '#warehouse/catalog/catalog.ts';
import { loadMetadata, type TableCache } from '#warehouse/table/files.ts';
import { currentSnapshot } from '#warehouse/table/metadata.ts';
import { principalOf } from './identity.ts';

export interface OperationsOptions {
  readonly database: Database;
  readonly catalog: Catalog;
  readonly store: Store;
  readonly cache: TableCache;
  /** How far each landing is with its topic. */
  readonly landings: () => Promise<readonly object[]>;
}

/** A table as its newest snapshot describes it; null where the snapshot does not say. */
interface TableHealth {
  readonly name: string;
  readonly rows: number | null;
  readonly files: number | null;
  readonly bytes: number | null;
  readonly snapshots: number;
  readonly committedAt: string | null;
}

interface AuditRow {
  readonly at: Date;
  readonly principal: string;
  readonly door: string;
  readonly statement: string;
  readonly outcome: string;
  readonly rows: bigint | number;
  readonly elapsed_ms: number;
}

const Which = Type.Object({
  failed: Type.Optional(Type.Union([Type.Literal('1'), Type.Literal('0')], { description: '1: only what failed' })),
}, { additionalProperties: false });
const auditRowsMax = 100;

/** What the page of operations asks beyond `/api/status`: the state of the tables, and who asked what. */
export function operationsRoutes(options: OperationsOptions): FastifyPluginAsync {
  return async (app) => {
    app.get('/api/health', { schema: { summary: 'Tables (rows, files, bytes, last commit) and landings (what waits)' } }, async (request) => {
      requireCan(principalOf(request), 'read_status');
      const [found, landings] = await Promise.all([readTables(options), options.landings()]);
      return { tables: found, landings };
    });
    app.get<{ Querystring: { failed?: string } }>('/api/audit', {
      schema: { summary: `The newest ${auditRowsMax} statements of all doors, for administrators`, querystring: Which },
    }, async (request) => {
      requireCan(principalOf(request), 'operate');
      const rows = await options.database.query<AuditRow>(`select at, principal, door, statement, outcome, rows, elapsed_ms
        from watershed.statement_audit ${request.query.failed === '1' ? "where outcome <> 'done'" : ''} order by at desc, id desc limit ${auditRowsMax}`);
      return {
        statements: rows.map(({ at, principal, door, statement, outcome, rows: count, elapsed_ms: elapsedMs }) => (
          { at: at.toISOString(), user: principal, door, sql: statement, outcome, rows: Number(count), elapsedMs })),
      };
    });
  };
}

async function readTables({ catalog, store, cache }: OperationsOptions): Promise<TableHealth[]> {
  const names = Object.keys(tables);
  const locations = await catalog.loadAll(names.map((name) => ({ namespace: storeNamespace, name })));
  return await Promise.all(names.map(async (name, index): Promise<TableHealth> => {
    const location = locations[index];
    const metadata = location === undefined ? undefined : await loadMetadata(store, cache, location);
    const snapshot = metadata === undefined ? undefined : currentSnapshot(metadata);
    const total = (of: string): number | null => {
      const said = snapshot?.summary[`total-${of}`];
      return snapshot === undefined ? 0 : said === undefined ? null : Number(said);
    };
    return {
      name, rows: total('records'), files: total('data-files'), bytes: total('files-size'), snapshots: metadata?.snapshots.length ?? 0,
      committedAt: snapshot === undefined ? null : new Date(Number(snapshot['timestamp-ms'])).toISOString(),
    };
  }));
}
