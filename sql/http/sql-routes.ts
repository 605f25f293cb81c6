import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Engine, Limits, Param, Result } from '../engine/engine.ts';
import { type Format, formatOf, formats } from './formats.ts';
import { principalOf } from './identity.ts';
import { parseLossless } from './lossless.ts';
import { knownError, problemOf } from './problems.ts';

export interface SqlRoutesOptions {
  readonly engine: Engine;
  /** The most a statement may ask for. */
  readonly limits: Limits;
  readonly logger: Logger;
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal;
}

const LimitsBody = Type.Object({
  timeoutMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
  rows: Type.Optional(Type.Integer({ minimum: 0 })),
  bytes: Type.Optional(Type.Integer({ minimum: 1 })),
}, { additionalProperties: false, description: 'Lower limits than those of the server; the result says `truncated` where rows or bytes cut it' });

const SqlBody = Type.Object({
  sql: Type.String({ minLength: 1, maxLength: 1_000_000, description: 'One statement that only reads' }),
  params: Type.Optional(Type.Array(Type.Unknown({ description: 'text, number, boolean or null' }), { maxItems: 1000, description: 'Values of $1, $2, …' })),
  limits: Type.Optional(LimitsBody),
}, { additionalProperties: false });

export interface SqlRequest {
  readonly sql: string;
  readonly params?: readonly unknown[];
  readonly limits?: { readonly timeoutMs?: number; readonly rows?: number; readonly bytes?: number };
}

const bodyBytesMax = 8 * 1024 * 1024;

/** `POST /api/sql`: runs one statement and streams its rows. */
export function sqlRoutes(options: SqlRoutesOptions): (app: FastifyInstance) => Promise<void> {
  return async (app) => {
    app.removeContentTypeParser('application/json');
    app.addContentTypeParser('application/json', { parseAs: 'string', bodyLimit: bodyBytesMax }, async (_request: FastifyRequest, body: string) =>
      parseLossless(body));
    app.post<{ Body: SqlRequest }>('/api/sql', {
      schema: {
        summary: 'Run one statement that only reads',
        description: `Formats, by \`?format=\` or Accept: ${formats.map(({ name, mediaType }) => `${name} (${mediaType})`).join(', ')}.`,
        body: SqlBody,
      },
    }, async (request, reply) => {
      const principal = principalOf(request);
      requireCan(principal, 'query');
      const format = formatOf(request);
      const cancel = cancelWhenLeft(reply, options.stopping);
      const { sql, params = [] } = request.body;
      const result = await options.engine.run({
        sql, params: params.map(paramOf), user: principal.name, encoding: format.encoding, limits: limitsOf(request.body, options.limits),
        signal: cancel,
      });
      return await sendResult(reply, result, format, request.body.limits !== undefined, options.logger);
    });
  };
}

/** Aborted when the client closes the connection before it has the whole answer, or the server stops. */
function cancelWhenLeft(reply: FastifyReply, stopping: AbortSignal): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new WatershedError('cancelled', 'the client left'));
  });
  return AbortSignal.any([controller.signal, stopping]);
}

export function paramOf(value: unknown): Param {
  if (value === null || typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' || typeof value === 'bigint') return value;
  throw new WatershedError('bad_request', 'a parameter is a text, a number, a boolean or null', {
    hint: 'Lists and objects can be sent as text and cast: $1::VARCHAR[], $1::JSON.',
  });
}

export function limitsOf({ limits = {} }: SqlRequest, most: Limits): Limits {
  return {
    timeoutMs: Math.min(limits.timeoutMs ?? most.timeoutMs, most.timeoutMs),
    rowsMax: Math.min(limits.rows ?? most.rowsMax, most.rowsMax),
    bytesMax: Math.min(limits.bytes ?? most.bytesMax, most.bytesMax),
  };
}

/** Sends rows as they come. What fails before the first of them still has a status of its own. */
async function sendResult(reply: FastifyReply, result: Result, format: Format, limited: boolean, logger: Logger): Promise<FastifyReply> {
  const chunks = result.chunks[Symbol.asyncIterator]();
  const first = await chunks.next();
  const body = format.encoding === 'json' ? jsonBody(result, first, chunks, logger) : plainBody(result, first, chunks, format, limited);
  return await reply.type(format.contentType).header('cache-control', 'no-store').send(Readable.from(body, { objectMode: false }));
}

async function* rest(first: IteratorResult<Uint8Array>, chunks: AsyncIterator<Uint8Array>): AsyncGenerator<Uint8Array> {
  try {
    for (let next = first; next.done !== true; next = await chunks.next()) yield next.value;
  } finally {
    await chunks.return?.();
  }
}

async function* jsonBody(
  result: Result, first: IteratorResult<Uint8Array>, chunks: AsyncIterator<Uint8Array>, logger: Logger,
): AsyncGenerator<Uint8Array> {
  const columns = result.columns.map(({ name, type }) => ({ name, type }));
  yield Buffer.from(`{"columns":${JSON.stringify(columns)},"rows":[`);
  try {
    yield* rest(first, chunks);
    const { rows, truncated, elapsedMs } = await result.summary;
    yield Buffer.from(`],"rowCount":${rows},"truncated":${truncated},"elapsedMs":${Math.round(elapsedMs * 1000) / 1000}}\n`);
  } catch (error) {
    // The status is out already: say what happened, then break off, so that nobody takes this for the whole.
    yield Buffer.from(`],"error":${JSON.stringify(problemOf(knownError(error, logger)))}}\n`);
    throw error;
  }
}

async function* plainBody(
  result: Result, first: IteratorResult<Uint8Array>, chunks: AsyncIterator<Uint8Array>, format: Format, limited: boolean,
): AsyncGenerator<Uint8Array> {
  yield* rest(first, chunks);
  const { truncated } = await result.summary;
  // These formats have no place for a remark; only who asked for a limit expects to be cut short.
  if (truncated && !limited) throw new WatershedError('limit_exceeded', `the result is larger than the server's limits; ${format.name} was cut short`);
}
