import type { FastifyPluginAsync } from 'fastify';
import Type, { type Static } from 'typebox';
import { requireCan } from '#core/auth/access.ts';
import type { Clock } from '#core/clock.ts';
import { WatershedError } from '#core/errors.ts';
import type { Log } from '#core/log/log.ts';
import type { Engine } from '../engine/engine.ts';
import { principalOf } from './identity.ts';
import { putBack, type Quarantined, quarantineIdSql } from './put-back.ts';
import { rowsOf, textOf } from './rows.ts';

const Which = Type.Object({
  id: Type.String({ maxLength: 200, description: 'topic/partition/offset, as GET /api/quarantine names it' }),
  record: Type.Optional(Type.String({ description: 'The mended record, one line; what was kept where it is left out' })),
}, { additionalProperties: false });

const listed = 100;
/** The bytes of a record as a page shows them; `watershed quarantine show` gives them whole. */
const shownBytesMax = 64 * 1024;

export interface QuarantineOptions {
  readonly engine: Engine;
  readonly log: Log;
  readonly clock: Clock;
}

/** Records that could not be kept: the newest with their bytes, and the way back into the log. */
export function quarantineRoutes(options: QuarantineOptions): FastifyPluginAsync {
  return async (app) => {
    app.get('/api/quarantine', { schema: { summary: `The newest ${listed} records that were set aside` } }, async (request) => {
      const { name } = principalOf(request);
      requireCan(principalOf(request), 'query');
      const found = await read(options.engine, name, '', [], listed);
      return {
        records: found.map(({ bytes, ...record }) => ({
          ...record, text: bytes.subarray(0, shownBytesMax).toString('utf8'), shownBytes: Math.min(bytes.length, shownBytesMax), keptBytes: bytes.length,
        })),
      };
    });
    app.post<{ Body: Static<typeof Which> }>('/api/quarantine/replay', {
      schema: { summary: 'Put a record back into its topic, as it is or mended', body: Which },
    }, async (request) => {
      const principal = principalOf(request);
      requireCan(principal, 'change_events');
      const { id, record } = request.body;
      const [found] = await read(options.engine, principal.name, `where ${quarantineIdSql} = $1`, [id], 1);
      if (found === undefined) throw new WatershedError('not_found', `there is no record ${id} in quarantine`, { hint: 'GET /api/quarantine lists them' });
      return { id, place: await putBack(options, found, record === undefined ? undefined : Buffer.from(record)) };
    });
  };
}

async function read(engine: Engine, user: string, where: string, params: readonly string[], limit: number): Promise<Quarantined[]> {
  const result = await engine.run({
    sql: `select ${quarantineIdSql}, "at", component, reason, topic, "partition", bytes, bytes_length, replayed_at
      from lake.quarantine ${where} order by "at" desc limit ${limit}`,
    params, user, encoding: 'json', limits: { timeoutMs: 30_000, rowsMax: limit, bytesMax: 256 * 2 ** 20 }, signal: AbortSignal.timeout(30_000),
  });
  const records: Quarantined[] = [];
  for await (const row of rowsOf(result.chunks)) {
    const cells = row.map((cell) => (cell === null ? undefined : textOf(cell)));
    const [id = '', at = '', component = '', reason = '', topic = '', partition, bytes = '', length = '0', replayedAt] = cells;
    records.push({
      id, at, component, reason, topic, partition: partition === undefined ? undefined : Number(partition),
      bytes: Buffer.from(bytes, 'base64'), bytesLength: Number(length), replayedAt,
    });
  }
  return records;
}
