import swagger from '@fastify/swagger';
import type { FastifyInstance } from 'fastify';
import { problemType } from './problems.ts';

const text = { type: 'string' } as const;

/** `Problem` of problems.ts, as every route may answer. */
const problem = {
  description: 'What happened, why, and what to do next (RFC 9457)',
  content: {
    [problemType.split(';')[0] ?? '']: {
      schema: {
        type: 'object',
        required: ['type', 'title', 'status', 'code', 'detail'],
        properties: {
          type: text, title: text, status: { type: 'integer' }, detail: { ...text, description: 'What happened and why' },
          code: { ...text, description: 'What programs branch on' }, hint: { ...text, description: 'What to do' },
          sqlstate: { ...text, description: 'Of a statement that failed, as PostgreSQL names it' },
          position: { type: 'integer', minimum: 1, description: 'Where in the statement, in characters' },
        },
      },
    },
  },
} as const;

/**
 * Makes `app.swagger()` give the OpenAPI 3.1 document of all routes that are registered from here on and are not
 * hidden. To be called before the first of them.
 */
export async function describeApi(app: FastifyInstance): Promise<void> {
  await app.register(swagger, {
    openapi: {
      openapi: '3.1.0',
      info: { title: 'Watershed', version: '1', description: 'Crisis posts, asked in SQL' },
      components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
      security: [{ token: [] }],
    },
    transform: ({ schema, url }) => ({ url, schema: { ...schema, response: responsesOf(schema) } }),
  });
}

/** What a route tells of its answers, or only that it is done, and how it says that it failed. */
function responsesOf(schema: { readonly response?: unknown } | undefined): Readonly<Record<string, unknown>> {
  const told: Readonly<Record<string, unknown>> = Object.fromEntries(Object.entries(schema?.response ?? {}));
  const isTold = Object.keys(told).some((status) => status.startsWith('2'));
  return { ...(isTold ? {} : { 200: { description: 'Done' } }), ...told, default: problem };
}
