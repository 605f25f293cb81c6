import { WatershedError } from '#core/errors.ts';
import type { TransactionStatus } from './backend.ts';
import type { Command } from './commands.ts';

export type TransactionCommand = Extract<
  Command,
  { kind: 'begin' | 'commit' | 'rollback' | 'savepoint' | 'release' | 'rollbackTo' }
>;

/** What a transaction statement did: its tag, a warning for the client, and whether a transaction ended. */
export interface TransactionStep {
  readonly tag: string;
  readonly warning?: { readonly sqlstate: string; readonly message: string };
  readonly started?: true;
  readonly ended?: { readonly committed: boolean };
}

/**
 * The transaction that clients believe in. Nothing is written here and each statement sees its own snapshot, so it
 * holds no lock and no resource: it is the status byte, the savepoints and the life of cursors.
 *
 *              BEGIN                     an error
 *     ┌──────┐ ─────────────▶ ┌──────┐ ─────────────▶ ┌────────┐
 *     │ idle │                │ open │                │ failed │  all but the three below: 25P02
 *     └──────┘ ◀───────────── └──────┘ ◀───────────── └────────┘
 *         ▲    COMMIT,ROLLBACK         ROLLBACK TO name    │
 *         └────────────────────────────────────────────────┘
 *                       COMMIT, ROLLBACK (both answer ROLLBACK)
 */
export class Transaction {
  private state: TransactionStatus = 'I';
  private savepoints: string[] = [];

  get status(): TransactionStatus {
    return this.state;
  }

  /** An error happened. */
  fail(): void {
    if (this.state === 'T') this.state = 'E';
  }

  /** Throws SQLSTATE 25P02 where the transaction has failed and the statement does not end it. */
  check(command: Command | undefined): void {
    if (this.state !== 'E' || (command !== undefined && ['commit', 'rollback', 'rollbackTo'].includes(command.kind)))
      return;
    throw stateError('25P02', 'current transaction is aborted, commands ignored until end of transaction block');
  }

  step(command: TransactionCommand): TransactionStep {
    switch (command.kind) {
      case 'begin':
        if (this.state !== 'I')
          return {
            tag: command.tag,
            warning: { sqlstate: '25001', message: 'there is already a transaction in progress' },
          };
        this.open();
        return { tag: command.tag, started: true };
      case 'commit':
      case 'rollback':
        return this.end(command);
      case 'savepoint':
        this.inBlock('SAVEPOINT');
        this.savepoints.push(command.name);
        return { tag: 'SAVEPOINT' };
      case 'release':
        this.inBlock('RELEASE SAVEPOINT');
        this.savepoints.length = this.find(command.name);
        return { tag: 'RELEASE' };
      case 'rollbackTo':
        this.inBlock('ROLLBACK TO SAVEPOINT');
        this.savepoints.length = this.find(command.name) + 1;
        this.state = 'T';
        return { tag: 'ROLLBACK' };
    }
  }

  private open(): void {
    this.state = 'T';
    this.savepoints = [];
  }

  private end(command: {
    readonly kind: 'begin' | 'commit' | 'rollback';
    readonly tag: string;
    readonly chain: boolean;
  }): TransactionStep {
    if (this.state === 'I')
      return { tag: command.tag, warning: { sqlstate: '25P01', message: 'there is no transaction in progress' } };
    const committed = command.kind === 'commit' && this.state === 'T';
    this.state = 'I';
    if (command.chain) this.open();
    return {
      tag: committed ? 'COMMIT' : 'ROLLBACK',
      ended: { committed },
      ...(command.chain ? { started: true } : {}),
    };
  }

  private inBlock(what: string): void {
    if (this.state === 'I') throw stateError('25P01', `${what} can only be used in transaction blocks`);
  }

  private find(name: string): number {
    const index = this.savepoints.lastIndexOf(name);
    if (index < 0) throw stateError('3B001', `savepoint "${name}" does not exist`);
    return index;
  }
}

function stateError(sqlstate: string, message: string): WatershedError {
  return new WatershedError('bad_request', message, { context: { sqlstate } });
}
