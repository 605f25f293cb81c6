import { randomUUID } from 'node:crypto';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import Type, { type Static } from 'typebox';
import { can, type Principal, requireCan } from '#core/auth/access.ts';
import type { Database } from '#core/database/database.ts';
import { isWatershedError, WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Engine, Limits, Param } from '../engine/engine.ts';
import { bodyOf, streamOf } from './bodies.ts';
import { formatOf } from './formats.ts';
import { principalOf } from './identity.ts';
import { acceptLosslessJson, cancelWhenLeft, LimitsBody, limitsOf, paramOf } from './sql-routes.ts';

const Parameter = Type.Object(
  {
    name: Type.String({ pattern: '^[a-z][a-z0-9_]{0,62}$' }),
    type: Type.Union([Type.Literal('text'), Type.Literal('number'), Type.Literal('boolean'), Type.Literal('instant')]),
    default: Type.Optional(Type.Union([Type.String(), Type.Number(), Type.Boolean(), Type.Null()])),
  },
  { additionalProperties: false },
);

const Content = Type.Object(
  {
    name: Type.String({ minLength: 1, maxLength: 200 }),
    description: Type.Optional(Type.String({ maxLength: 5000 })),
    sql: Type.String({ minLength: 1, maxLength: 1_000_000 }),
    parameters: Type.Optional(Type.Array(Parameter, { maxItems: 100, description: 'The first is $1' })),
  },
  { additionalProperties: false },
);

const RunBody = Type.Object(
  {
    parameters: Type.Optional(
      Type.Record(Type.String(), Type.Unknown(), { description: 'Values by name; the others have their default' }),
    ),
    limits: Type.Optional(LimitsBody),
  },
  { additionalProperties: false },
);

type WithId = { Params: { id: string } };
type Content = Static<typeof Content>;

/** A saved query as the API shows it. */
interface SavedQuery {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly owner: string;
  readonly sql: string;
  readonly parameters: readonly Static<typeof Parameter>[];
  readonly version: number;
  readonly createdAt: string;
  readonly updatedAt: string;
  readonly updatedBy: string;
}

export interface QueryRoutesOptions {
  readonly database: Database;
  readonly engine: Engine;
  readonly limits: Limits;
  readonly logger: Logger;
  readonly stopping: AbortSignal;
  /** Reads ahead of a slow client. */
  readonly pace?: (source: AsyncIterator<Uint8Array>) => AsyncIterator<Uint8Array>;
}

/**
 * Statements kept under a name. Reading asks for `read_reports`, running for `query`, keeping one and changing one's
 * own for `save_queries`, changing those of others for `change_reports`.
 */
export function queryRoutes(options: QueryRoutesOptions): (app: FastifyInstance) => Promise<void> {
  const { database, engine } = options;
  return async (app) => {
    acceptLosslessJson(app);
    app.get('/api/queries', { schema: { summary: 'Saved queries' } }, async (request) => {
      requireCan(principalOf(request), 'read_reports');
      return {
        queries: (await database.query<QueryRow>(`select ${columns} from watershed.saved_query order by name, id`)).map(
          shown,
        ),
      };
    });
    app.post<{ Body: Content }>(
      '/api/queries',
      { schema: { summary: 'Save a query', body: Content } },
      async (request, reply) => {
        const by = principalOf(request);
        requireCan(by, 'save_queries');
        await checkStatement(engine, request.body.sql, by);
        return await reply.code(201).send(await insert(database, request.body, by.name));
      },
    );
    app.get<WithId>('/api/queries/:id', { schema: { summary: 'One saved query' } }, async (request, reply) => {
      requireCan(principalOf(request), 'read_reports');
      const query = await read(database, request.params.id);
      return await reply.header('etag', `"${query.version}"`).send(query);
    });
    app.put<WithId & { Body: Content }>(
      '/api/queries/:id',
      {
        schema: {
          summary: 'Change a saved query',
          description:
            'With If-Match (the version, as ETag gave it) a change that somebody else was quicker with is refused.',
          body: Content,
        },
      },
      async (request) => {
        const by = await changer(database, request);
        await checkStatement(engine, request.body.sql, by);
        return await change(database, request.params.id, request.body, versionOf(request), by.name);
      },
    );
    app.delete<WithId>('/api/queries/:id', { schema: { summary: 'Delete a saved query' } }, async (request, reply) => {
      await changer(database, request);
      const deleted = await database.execute('delete from watershed.saved_query where id = $1', [request.params.id]);
      if (deleted === 0) missing(request.params.id);
      return await reply.code(204).send();
    });
    addRunRoute(app, options);
  };
}

function addRunRoute(app: FastifyInstance, options: QueryRoutesOptions): void {
  const { database, engine } = options;
  app.post<WithId & { Body: Static<typeof RunBody> | undefined }>(
    '/api/queries/:id/run',
    {
      schema: {
        summary: 'Run a saved query',
        description: 'Formats as for /api/sql.',
        body: Type.Union([RunBody, Type.Null()]),
      },
    },
    async (request, reply) => {
      const principal = principalOf(request);
      requireCan(principal, 'query');
      const query = await read(database, request.params.id);
      const { parameters = {}, limits } = request.body ?? {};
      const format = formatOf(request);
      const result = await engine.run({
        sql: query.sql,
        params: valuesOf(query, parameters),
        user: principal.name,
        mayReadStore: can(principal, 'read_store'),
        encoding: format.encoding,
        limits: limitsOf({ sql: query.sql, ...(limits === undefined ? {} : { limits }) }, options.limits),
        signal: cancelWhenLeft(reply, options.stopping),
      });
      const body = await bodyOf(result, format, limits !== undefined, options.logger, options.pace);
      return await reply
        .type(format.contentType)
        .header('cache-control', 'no-store')
        .send(streamOf(body, reply.raw));
    },
  );
}

interface QueryRow {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly owner: string;
  readonly statement: string;
  readonly parameters: readonly Static<typeof Parameter>[];
  readonly version: number;
  readonly created_at: Date;
  readonly updated_at: Date;
  readonly updated_by: string;
}

const columns = 'id, name, description, owner, statement, parameters, version, created_at, updated_at, updated_by';

function shown(row: QueryRow): SavedQuery {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    owner: row.owner,
    sql: row.statement,
    parameters: row.parameters,
    version: row.version,
    createdAt: row.created_at.toISOString(),
    updatedAt: row.updated_at.toISOString(),
    updatedBy: row.updated_by,
  };
}

async function insert(database: Database, content: Content, by: string): Promise<SavedQuery> {
  const { name, description = '', sql, parameters = [] } = content;
  const [row] = await database
    .query<QueryRow>(
      `insert into watershed.saved_query
         (id, name, description, owner, statement, parameters, version, created_at, updated_at, updated_by)
       values ($1, $2, $3, $4, $5, $6, 1, now(), now(), $4) returning ${columns}`,
      [randomUUID(), name, description, by, sql, JSON.stringify(parameters)],
    )
    .catch(named(name));
  return shown(row ?? missing(name));
}

async function read(database: Database, id: string): Promise<SavedQuery> {
  const [row] = await database.query<QueryRow>(`select ${columns} from watershed.saved_query where id = $1`, [id]);
  return shown(row ?? missing(id));
}

async function change(
  database: Database,
  id: string,
  content: Content,
  version: number | undefined,
  by: string,
): Promise<SavedQuery> {
  const { name, description = '', sql, parameters = [] } = content;
  const [row] = await database
    .query<QueryRow>(
      `update watershed.saved_query set name = $2, description = $3, statement = $4, parameters = $5, version = version + 1, updated_at = now(), updated_by = $6
      where id = $1 and ($7::int is null or version = $7) returning ${columns}`,
      [id, name, description, sql, JSON.stringify(parameters), by, version ?? null],
    )
    .catch(named(name));
  if (row !== undefined) return shown(row);
  const { version: now } = await read(database, id);
  throw new WatershedError('conflict', `somebody else changed the query first: it is at version ${now}`, {
    hint: 'Read it anew and decide again.',
  });
}

function missing(id: string): never {
  throw new WatershedError('not_found', `there is no saved query ${id}`, { hint: 'GET /api/queries lists them.' });
}

function named(name: string): (error: unknown) => never {
  return (error) => {
    if (!isWatershedError(error, 'already_exists')) throw error;
    throw new WatershedError('already_exists', `you have a query named ${name} already`, {
      cause: error,
      hint: 'Choose another name, or change that one.',
    });
  };
}

/** Who changes a query: its owner, or somebody who may change those of others. */
async function changer(database: Database, request: FastifyRequest<WithId>): Promise<Principal> {
  const principal = principalOf(request);
  const { owner } = await read(database, request.params.id);
  requireCan(principal, owner === principal.name ? 'save_queries' : 'change_reports');
  return principal;
}

function versionOf(request: FastifyRequest): number | undefined {
  const tag = request.headers['if-match'];
  if (tag === undefined || tag === '*') return undefined;
  const version = /^(?:W\/)?"(\d+)"$/.exec(tag)?.[1];
  if (version === undefined) throw new WatershedError('bad_request', 'If-Match wants the ETag of the query');
  return Number(version);
}

/** Refuses to keep what would never run. What is only mistaken may be saved: somebody may still be working on it. */
async function checkStatement(engine: Engine, sql: string, by: Principal): Promise<void> {
  try {
    await engine.describe({
      sql,
      params: [],
      user: by.name,
      mayReadStore: can(by, 'read_store'),
      encoding: 'json',
      limits: { timeoutMs: 10_000, rowsMax: 0, bytesMax: 0 },
      signal: AbortSignal.timeout(10_000),
    });
  } catch (error) {
    if (isWatershedError(error, 'statement_refused')) throw error;
  }
}

function valuesOf(query: SavedQuery, given: Readonly<Record<string, unknown>>): Param[] {
  const unknown = Object.keys(given).find((name) => !query.parameters.some((parameter) => parameter.name === name));
  const names = query.parameters.map(({ name }) => name).join(', ');
  if (unknown !== undefined)
    throw new WatershedError('bad_request', `${query.name} has no parameter ${unknown}`, {
      hint: `It has: ${names || 'none'}.`,
    });
  return query.parameters.map((parameter) => {
    const value = Object.hasOwn(given, parameter.name) ? given[parameter.name] : parameter.default;
    if (value === undefined)
      throw new WatershedError('bad_request', `${query.name} needs a value for ${parameter.name}`, {
        hint: `It has: ${names}.`,
      });
    return paramOf(value);
  });
}
