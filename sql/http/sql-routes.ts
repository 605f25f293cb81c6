import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import Type from 'typebox';
import { can, requireCan } from '#core/auth/access.ts';
import { WatershedError } from '#core/errors.ts';
import type { Logger } from '#core/logger.ts';
import type { Engine, Limits, Param } from '../engine/engine.ts';
import { bodyOf, streamOf } from './bodies.ts';
import { formatOf, formats } from './formats.ts';
import { principalOf } from './identity.ts';
import { parseLossless } from './lossless.ts';

export interface SqlRoutesOptions {
  readonly engine: Engine;
  /** The most a statement may ask for. */
  readonly limits: Limits;
  readonly logger: Logger;
  /** Aborted when the server stops. */
  readonly stopping: AbortSignal;
  /** Reads ahead of a slow client. */
  readonly pace?: (source: AsyncIterator<Uint8Array>) => AsyncIterator<Uint8Array>;
}

export const LimitsBody = Type.Object(
  {
    timeoutMs: Type.Optional(Type.Number({ exclusiveMinimum: 0 })),
    rows: Type.Optional(Type.Integer({ minimum: 0 })),
    bytes: Type.Optional(Type.Integer({ minimum: 1 })),
  },
  {
    additionalProperties: false,
    description: 'Lower limits than those of the server; the result says `truncated` where rows or bytes cut it',
  },
);

export const SqlBody = Type.Object(
  {
    sql: Type.String({ minLength: 1, maxLength: 1_000_000, description: 'One statement that only reads' }),
    params: Type.Optional(
      Type.Array(Type.Unknown({ description: 'text, number, boolean or null' }), {
        maxItems: 1000,
        description: 'Values of $1, $2, …',
      }),
    ),
    limits: Type.Optional(LimitsBody),
  },
  { additionalProperties: false },
);

export interface SqlRequest {
  readonly sql: string;
  readonly params?: readonly unknown[];
  readonly limits?: { readonly timeoutMs?: number; readonly rows?: number; readonly bytes?: number };
}

/** What clients must know of errors that come after the first rows; tested in broken-off.test.ts. */
const lateErrors =
  'An error after the first rows cannot change the status: the last line of the body is then `{"error": problem}` ' +
  '(in JSON a last member), and the connection ends before the chunked body does.';

const bodyBytesMax = 8 * 1024 * 1024;

/** `POST /api/sql`: runs one statement and streams its rows. */
export function sqlRoutes(options: SqlRoutesOptions): (app: FastifyInstance) => Promise<void> {
  return async (app) => {
    acceptLosslessJson(app);
    app.post<{ Body: SqlRequest }>(
      '/api/sql',
      {
        schema: {
          summary: 'Run one statement that only reads',
          description: `Formats, by \`?format=\` or Accept: ${formats.map(({ name, mediaType }) => `${name} (${mediaType})`).join(', ')}. ${lateErrors}`,
          body: SqlBody,
        },
      },
      async (request, reply) => {
        const principal = principalOf(request);
        requireCan(principal, 'query');
        const format = formatOf(request);
        const cancel = cancelWhenLeft(reply, options.stopping);
        const { sql, params = [] } = request.body;
        const result = await options.engine.run({
          sql,
          params: params.map(paramOf),
          user: principal.name,
          mayReadStore: can(principal, 'read_store'),
          encoding: format.encoding,
          limits: limitsOf(request.body, options.limits),
          signal: cancel,
        });
        const body = await bodyOf(result, format, request.body.limits !== undefined, options.logger, options.pace);
        return await reply
          .type(format.contentType)
          .header('cache-control', 'no-store')
          .send(streamOf(body, reply.raw));
      },
    );
  };
}

/** Bodies of the routes of this plugin keep their integers whole. */
export function acceptLosslessJson(app: FastifyInstance): void {
  app.removeContentTypeParser('application/json');
  app.addContentTypeParser(
    'application/json',
    { parseAs: 'string', bodyLimit: bodyBytesMax },
    async (_request: FastifyRequest, body: string) => parseLossless(body),
  );
}

/** Aborted when the client closes the connection before it has the whole answer, or the server stops. */
export function cancelWhenLeft(reply: FastifyReply, stopping: AbortSignal): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort(new WatershedError('cancelled', 'the client left'));
  });
  return AbortSignal.any([controller.signal, stopping]);
}

export function paramOf(value: unknown): Param {
  if (
    value === null ||
    typeof value === 'string' ||
    typeof value === 'number' ||
    typeof value === 'boolean' ||
    typeof value === 'bigint'
  )
    return value;
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
