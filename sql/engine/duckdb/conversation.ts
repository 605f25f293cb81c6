import { WatershedError } from '#core/errors.ts';
import type { Param, ResultColumn, ResultSummary, Statement } from '../engine.ts';
import type { EngineChild } from './child-process.ts';
import type { Planner } from './plan.ts';
import type { Lease } from './pool.ts';
import type { FromChild, LakeNames, SentLake, WireError, WireParam } from './protocol.ts';
import { type Watch, type WatchOptions, watchStatement } from './watch.ts';

/** A statement that a child has begun to answer. */
export interface Conversation {
  readonly columns: readonly ResultColumn[];
  readonly parameters: readonly string[];
  /** Encoded rows to the end. Leaving early cancels the statement. The child is given back either way. */
  rows(): AsyncGenerator<Uint8Array, void, undefined>;
  /** Known when `rows` has ended. */
  summary(): Omit<ResultSummary, 'elapsedMs'>;
}

interface Request {
  readonly lease: Lease;
  readonly statement: Statement;
  readonly only: 'run' | 'describe';
  readonly planner: Planner;
  readonly names: LakeNames;
  readonly watch: WatchOptions;
}

/** Why a statement ended that begins again on another child. */
export const sentBack: WatershedError = new WatershedError('cancelled', 'the statement begins again on another child');

/** A child that works on when its statement is sent back is killed soon: others wait for it. */
const sendBackGraceMs = 200;

/**
 * Leads a child through one statement (the order is in protocol.ts) up to its columns; rejects where it does not come
 * so far.
 */
export async function converse(request: Request): Promise<Conversation> {
  const { lease, statement } = request;
  const { child } = lease;
  const watch = watchStatement(child, statement.limits.timeoutMs, statement.signal, request.watch);
  const finish = (): void => {
    watch.end();
    lease.release();
  };
  try {
    lease.onSendBack((isSpent) => watch.stop(sentBack, isSpent ? sendBackGraceMs : undefined));
    const columns = await begin(request, watch);
    await lease.begin(Promise.race([child.answered(), watch.stopped]));
    if (watch.reason !== undefined) {
      await drain(child, watch);
      throw watch.reason;
    }
    const answer: { summary?: Omit<ResultSummary, 'elapsedMs'> } = {};
    return {
      columns: columns.columns,
      parameters: columns.parameters,
      summary() {
        if (answer.summary === undefined) throw new WatershedError('internal', 'the statement has not ended');
        return answer.summary;
      },
      async *rows() {
        let over = false;
        try {
          for (;;) {
            const frame = await nextFrame(child, watch, statement).catch((error: unknown) => {
              over = true;
              throw error;
            });
            if (frame.kind === 'rows') {
              yield frame.bytes;
              continue;
            }
            over = true;
            answer.summary = expect(frame.message, 'done').summary;
            return;
          }
        } finally {
          if (!over) await drain(child, watch);
          finish();
        }
      },
    };
  } catch (error) {
    finish();
    throw error;
  }
}

/** Everything up to the columns. */
async function begin(request: Request, watch: Watch): Promise<Extract<FromChild, { type: 'columns' }>> {
  const {
    lease: { child },
    statement,
    only,
    planner,
    names,
  } = request;
  const ask = async <Type extends FromChild['type']>(type: Type): Promise<Extract<FromChild, { type: Type }>> => {
    const frame = await nextFrame(child, watch, statement);
    if (frame.kind === 'rows') throw new WatershedError('internal', `rows came in place of ${type}`);
    return expect(frame.message, type);
  };
  child.send({ type: 'prepare', sql: statement.sql, params: statement.params.map(wired), lake: names });
  const prepared = await ask('prepared');
  let lake: SentLake;
  try {
    lake = await planner.plan(prepared.tables, prepared.introspects);
  } catch (error) {
    child.send({ type: 'abandon' });
    throw error;
  }
  if (watch.reason !== undefined) {
    child.send({ type: 'abandon' });
    throw watch.reason;
  }
  child.send({
    type: 'run',
    lake: unsent(lake, child),
    encoding: statement.encoding,
    limits: statement.limits,
    only,
    tellsProgress: statement.onProgress !== undefined,
  });
  try {
    return await ask('columns');
  } catch (error) {
    child.shown.clear(); // which views were made before it failed, we do not know
    throw error;
  }
}

/** Leaves out what the child has already. */
function unsent(lake: SentLake, child: EngineChild): SentLake {
  const tables = lake.tables.map((table) => {
    if (child.shown.get(table.name) === table.key) return { name: table.name, key: table.key };
    child.shown.set(table.name, table.key);
    return table;
  });
  return { ...lake, tables };
}

async function nextFrame(child: EngineChild, watch: Watch, statement: Statement): ReturnType<EngineChild['next']> {
  try {
    for (;;) {
      const frame = await child.next();
      if (frame.kind === 'rows') return frame;
      if (frame.message.type === 'failed') throw watch.reason ?? received(frame.message.error);
      if (frame.message.type !== 'progress') return frame;
      statement.onProgress?.(frame.message.percent);
    }
  } catch (error) {
    throw child.alive ? error : (watch.reason ?? endedError(child.ending, error));
  }
}

function expect<Type extends FromChild['type']>(message: FromChild, type: Type): Extract<FromChild, { type: Type }> {
  if (message.type === type) return message as Extract<FromChild, { type: Type }>; // compared just now
  throw new WatershedError('internal', `the SQL process said ${message.type} in place of ${type}`);
}

/** Reads a statement that nobody waits for any more to its end; then the child is free again. */
async function drain(child: EngineChild, watch: Watch): Promise<void> {
  watch.stop(new WatershedError('cancelled', 'nobody reads the rows any more', { context: { sqlstate: '57014' } }));
  try {
    for (;;) {
      const frame = await child.next();
      if (frame.kind === 'message' && (frame.message.type === 'done' || frame.message.type === 'failed')) return;
    }
  } catch {
    // It has ended: the pool starts another.
  }
}

function received(error: WireError): WatershedError {
  return new WatershedError(error.code, error.message, {
    context: error.context,
    ...(error.hint === undefined ? {} : { hint: error.hint }),
  });
}

function endedError(ending: string, cause: unknown): WatershedError {
  return new WatershedError('internal', `the process that ran the statement ended by itself (${ending})`, {
    cause,
    hint: 'Run it again; if it ends again, ask for less at a time and report the statement.',
    context: { sqlstate: 'XX000', ending },
  });
}

function wired(param: Param): WireParam {
  return typeof param === 'bigint' ? { bigint: String(param) } : param;
}
