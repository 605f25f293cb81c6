import { isWatershedError, WatershedError } from '#core/errors.ts';
import {
  bindComplete,
  closeComplete,
  commandComplete,
  copyDone,
  copyOutResponse,
  emptyQuery,
  errorResponse,
  type Field,
  noData,
  noticeResponse,
  parameterDescription,
  parseComplete,
  portalSuspended,
  readyForQuery,
  rowDescription,
} from './backend.ts';
import type { Bind, FrontendMessage } from './codec.ts';
import { copyWriter } from './copy.ts';
import type { Format } from './encode-rows.ts';
import { Executor, type ExecutorOptions, undescribed } from './executor.ts';
import { Holdings } from './holdings.ts';
import { splitStatements } from './lexer.ts';
import { Outbox } from './outbox.ts';
import type { Outcome } from './outcome.ts';
import { type Description, parametersIn, plan, type Planned } from './planned.ts';
import { type Binding, bindValues } from './queries.ts';
import type { RowReader } from './rows.ts';
import { errorFields } from './sqlstate.ts';

export interface SessionOptions extends Omit<ExecutorOptions, 'dropStatement' | 'portalRows' | 'closePortal'> {
  /** Resolves when the client has taken enough that more may come. */
  readonly send: (bytes: Uint8Array) => Promise<void> | void;
  readonly isLakeTable: (name: string) => boolean;
  /** Called once for each statement that ended, for metrics. */
  readonly onStatement: (outcome: 'ok' | 'error' | 'cancelled') => void;
}

interface Prepared {
  /** Undefined for a statement of nothing. */
  readonly planned: Planned | undefined;
  readonly declared: readonly number[];
  description: Description | undefined;
}

interface Portal {
  readonly prepared: Prepared;
  readonly description: Description;
  readonly binding: Binding;
  readonly formats: readonly Format[];
  readonly abort: AbortController;
  outcome: Outcome | undefined;
  isDone: boolean;
}

/**
 * What a client does once it is logged in.
 *
 *              Query                                      Parse, Bind, Describe, Execute, Close, Flush
 *     ┌───────┐ ────▶ each statement in turn,   ┌───────┐ ────▶ one step, answered when the client says
 *     │ ready │       the first error ends it   │ ready │       Flush or Sync (or the outbox is full)
 *     └───────┘ ◀──── ReadyForQuery             └───────┘ ◀──── Sync: portals close (outside a transaction),
 *                                                   │           ReadyForQuery
 *                                          an error │
 *                                                   ▼
 *                                              ┌──────────┐  every message but Sync and Terminate
 *                                              │ skipping │  is passed over
 *                                              └──────────┘ ────▶ Sync: ReadyForQuery
 *
 * One message at a time: `handle` resolves when the next may come. `cancel` stops the statement that runs.
 */
export class Session {
  private readonly options: SessionOptions;
  private readonly executor: Executor;
  private readonly statements = new Map<string, Prepared>();
  private readonly portals = new Map<string, Portal>();
  private readonly held = new Holdings();
  private readonly out: Outbox;
  private isSkipping = false;
  private running: AbortController | undefined;

  constructor(options: SessionOptions) {
    this.options = options;
    this.out = new Outbox(options.send);
    this.executor = new Executor({
      ...options,
      dropStatement: (name) => this.dropStatement(name),
      portalRows: (name) => this.portalRows(name),
      closePortal: async (name) => {
        const isThere = this.portals.has(name);
        await this.closePortal(name);
        return isThere;
      },
    });
  }

  /** Stops what runs now, if anything does: the client asked for it by its key, or is gone. */
  cancel(message = 'canceling statement due to user request'): void {
    this.running?.abort(new WatershedError('cancelled', message));
  }

  /** Ends everything this session holds. */
  async close(): Promise<void> {
    this.cancel('the client is gone');
    await this.closePortals();
    await this.executor.close();
  }

  async handle(message: FrontendMessage): Promise<void> {
    if (this.isSkipping && message.type !== 'sync') return;
    try {
      await this.step(message);
    } catch (error) {
      if (message.type === 'query' || message.type === 'function' || (message.type === 'malformed' && message.simple)) {
        await this.fail(error);
        await this.ready();
      } else {
        this.isSkipping = true;
        await this.fail(error);
      }
    }
  }

  private async step(message: FrontendMessage): Promise<void> {
    switch (message.type) {
      case 'query':
        return await this.simple(message.sql);
      case 'parse':
        return await this.parse(message.name, message.sql, message.oids);
      case 'bind':
        return await this.bind(message);
      case 'describe':
        return await this.describe(message.target, message.name);
      case 'execute':
        return await this.execute(message.portal, message.rowsMax);
      case 'close':
        return await this.closeNamed(message.target, message.name);
      case 'flush':
        return await this.out.flush();
      case 'sync':
        this.isSkipping = false;
        return await this.ready();
      case 'malformed':
        throw message.error;
      case 'function':
        throw new WatershedError('unsupported', 'function calls are not supported', { hint: 'use SELECT' });
      case 'copy':
      case 'terminate':
      case 'password':
        return;
    }
  }

  private async simple(sql: string): Promise<void> {
    const statements = splitStatements(sql).filter(({ tokens }) => tokens.length > 0);
    if (statements.length === 0) this.out.put(emptyQuery());
    // As in PostgreSQL, a simple query closes the unnamed portal.
    await this.closePortal('');
    for (const statement of statements) {
      const abort = new AbortController();
      await this.whileRunning(abort, async () => {
        const planned = plan(statement, this.options.isLakeTable);
        const outcome = await this.executor.start(planned, undescribed.description, undescribed.binding, [0], abort);
        try {
          if (outcome.rows !== undefined && outcome.copy === undefined && outcome.discard === undefined) {
            this.out.put(rowDescription(outcome.rows.fields, outcome.rows.formats));
          }
          await this.complete(outcome, 0);
        } finally {
          await outcome.rows?.close();
        }
      });
    }
    await this.ready();
  }

  private async parse(name: string, sql: string, oids: readonly number[]): Promise<void> {
    if (name !== '' && this.statements.has(name))
      throw stateError('42P05', `prepared statement "${name}" already exists`);
    const [first, second] = splitStatements(sql).filter(({ tokens }) => tokens.length > 0);
    if (second !== undefined) throw stateError('42601', 'cannot insert multiple commands into a prepared statement');
    const planned = first === undefined ? undefined : plan(first, this.options.isLakeTable);
    if (planned !== undefined) this.executor.transaction.check(planned.command);
    this.held.keep(`statement ${name}`, sql.length + 100 * (planned?.statement.tokens.length ?? 0));
    this.statements.set(name, { planned, declared: oids, description: undefined });
    await this.out.push(parseComplete());
  }

  private async bind({ portal, statement, values, formats, resultFormats }: Bind): Promise<void> {
    const prepared = this.preparedNamed(statement);
    if (portal !== '' && this.portals.has(portal)) throw stateError('42P03', `cursor "${portal}" already exists`);
    await this.closePortal(portal);
    const { planned } = prepared;
    if (planned !== undefined) this.executor.transaction.check(planned.command);
    const abort = new AbortController();
    // With every type declared, or no parameter at all, there is nothing to ask the engine for before it runs.
    const isNeeded = planned !== undefined && (values.length > 0 || parametersIn(planned) > 0);
    const description = isNeeded ? await this.described(prepared, abort) : undescribed.description;
    this.held.keep(
      `portal ${portal}`,
      values.reduce((sum, value) => sum + (value?.length ?? 0), 0),
    );
    this.portals.set(portal, {
      prepared,
      description,
      binding: bindValues(planned?.query, description, values, formats),
      formats: resultFormats.length === 0 ? [0] : resultFormats,
      abort,
      outcome: undefined,
      isDone: false,
    });
    await this.out.push(bindComplete());
  }

  private async described(prepared: Prepared, abort: AbortController): Promise<Description> {
    const { planned } = prepared;
    if (planned === undefined) return undescribed.description;
    if (prepared.description === undefined || planned.command?.kind === 'fetch') {
      prepared.description = await this.whileRunning(
        abort,
        () => this.executor.describe(planned, prepared.declared, abort.signal),
        false,
      );
    }
    return prepared.description;
  }

  private async describe(target: 'statement' | 'portal', name: string): Promise<void> {
    if (target === 'statement') {
      const { parameters, fields } = await this.described(this.preparedNamed(name), new AbortController());
      this.out.put(parameterDescription(parameters.map(({ oid }) => oid)));
      return await this.pushFields(fields, [0]);
    }
    const portal = this.portals.get(name);
    if (portal !== undefined) return await this.pushFields(await this.portalFields(portal), portal.formats);
    const fields = await this.executor.describeCursor(name, new AbortController().signal);
    if (fields === undefined) throw stateError('34000', `portal "${name}" does not exist`);
    await this.pushFields(fields, [0]);
  }

  // To describe a portal its statement is started: Execute comes next, and planning twice would cost a round more.
  private async portalFields(portal: Portal): Promise<readonly Field[] | undefined> {
    const { planned } = portal.prepared;
    if (planned?.command !== undefined) return (await this.described(portal.prepared, portal.abort)).fields;
    return (await this.started(portal))?.rows?.fields;
  }

  private async started(portal: Portal): Promise<Outcome | undefined> {
    const { planned } = portal.prepared;
    if (planned === undefined) return undefined;
    portal.outcome ??= await this.whileRunning(
      portal.abort,
      () => this.executor.start(planned, portal.description, portal.binding, portal.formats, portal.abort),
      false,
    );
    return portal.outcome;
  }

  private async execute(name: string, rowsMax: number): Promise<void> {
    const portal = this.portals.get(name);
    if (portal === undefined) throw stateError('34000', `portal "${name}" does not exist`);
    if (portal.isDone) {
      // PostgreSQL: a portal that ran to its end gives no more rows, and a statement is not run twice.
      if (portal.outcome?.rows === undefined) throw stateError('55000', `portal "${name}" cannot be run`);
      await this.out.push(commandComplete(portal.outcome.tag(0)));
      return;
    }
    await this.whileRunning(portal.abort, async () => {
      const outcome = await this.started(portal);
      if (outcome === undefined) {
        portal.isDone = true;
        await this.out.push(emptyQuery());
        return;
      }
      portal.isDone = await this.complete(outcome, rowsMax);
      if (!portal.isDone) outcome.rows?.suspend();
    });
  }

  /** Sends a started statement's answer: all of it, or `rowsMax` rows. Returns whether it is complete. */
  private async complete(outcome: Outcome, rowsMax: number): Promise<boolean> {
    for (const message of outcome.messages ?? []) this.out.put(message);
    const { rows, copy } = outcome;
    let count = 0;
    if (rows !== undefined && copy !== undefined) count = await this.sendCopy(outcome);
    else if (rows !== undefined) {
      count = await rows.take(rowsMax, (bytes) => (outcome.discard ? undefined : this.out.push(bytes)));
      if (rowsMax > 0 && count >= rowsMax) {
        await this.out.push(portalSuspended());
        return false;
      }
    }
    const notice = await rows?.notice();
    if (notice !== undefined) this.out.put(noticeResponse({ severity: 'WARNING', sqlstate: '01000', message: notice }));
    const tag = outcome.tag(count);
    await this.out.push(tag === '' ? emptyQuery() : commandComplete(tag));
    return true;
  }

  private async sendCopy({ rows, copy }: Outcome): Promise<number> {
    if (rows === undefined || copy === undefined) return 0;
    const writer = copyWriter(copy);
    this.out.put(copyOutResponse(rows.fields.length, copy.format === 'binary' ? 1 : 0));
    await this.out.push(writer.begin(rows.fields));
    const count = await rows.take(0, (bytes) => this.out.push(writer.rows(bytes)));
    this.out.put(writer.end());
    this.out.put(copyDone());
    return count;
  }

  private async closeNamed(target: 'statement' | 'portal', name: string): Promise<void> {
    if (target === 'statement') this.dropStatement(name);
    else await this.closePortal(name);
    await this.out.push(closeComplete());
  }

  private async closePortal(name: string): Promise<void> {
    const portal = this.portals.get(name);
    if (portal === undefined) return;
    this.portals.delete(name);
    this.held.release(`portal ${name}`);
    if (!portal.isDone) portal.abort.abort(new WatershedError('cancelled', 'the portal was closed'));
    await portal.outcome?.rows?.close();
  }

  private async closePortals(): Promise<void> {
    for (const name of this.portals.keys()) await this.closePortal(name);
  }

  private dropStatement(name: string | undefined): boolean {
    for (const each of name === undefined ? this.statements.keys() : [name]) this.held.release(`statement ${each}`);
    if (name !== undefined) return this.statements.delete(name);
    this.statements.clear();
    return true;
  }

  private async portalRows(name: string): Promise<RowReader | undefined> {
    const portal = this.portals.get(name);
    return portal === undefined ? undefined : (await this.started(portal))?.rows;
  }

  private preparedNamed(name: string): Prepared {
    const prepared = this.statements.get(name);
    if (prepared === undefined) throw stateError('26000', `prepared statement "${name}" does not exist`);
    return prepared;
  }

  /** Does work that `cancel` can stop. `isCounted`: it is the statement's end, not a preparation. */
  private async whileRunning<T>(abort: AbortController, work: () => Promise<T>, isCounted = true): Promise<T> {
    const before = this.running;
    this.running = abort;
    try {
      const result = await work();
      if (isCounted) this.options.onStatement('ok');
      return result;
    } catch (error) {
      if (isCounted) this.options.onStatement(isWatershedError(error, 'cancelled') ? 'cancelled' : 'error');
      throw error;
    } finally {
      this.running = before;
    }
  }

  private async fail(error: unknown): Promise<void> {
    this.executor.transaction.fail();
    this.out.put(errorResponse(errorFields(error)));
    // A client that waits for the answer to a Flush would wait for ever: what follows is passed over until Sync.
    await this.out.flush();
  }

  private async ready(): Promise<void> {
    // Portals live as long as their transaction.
    if (this.executor.transaction.status === 'I') await this.closePortals();
    this.out.put(readyForQuery(this.executor.transaction.status));
    await this.out.flush();
  }

  private pushFields(fields: readonly Field[] | undefined, formats: readonly Format[]): Promise<void> | void {
    return this.out.push(fields === undefined ? noData() : rowDescription(fields, formats));
  }
}

function stateError(sqlstate: string, message: string): WatershedError {
  return new WatershedError('bad_request', message, { context: { sqlstate } });
}
