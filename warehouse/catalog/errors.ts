import { WatershedError } from '#core/errors.ts';
import type { LedgerRow, TableRef } from './catalog.ts';

/** The errors that every catalog throws alike. */

export function conflictError(table: TableRef, expected: string): WatershedError {
  const name = `${table.namespace}.${table.name}`;
  return new WatershedError('conflict', `table ${name} has moved on since it was read`, {
    hint: 'Read it again and decide anew.',
    context: { table: name, expected },
  });
}

export function chainError(row: LedgerRow, cause?: unknown): WatershedError {
  const { landing, logIdentity, topic, partition, from, to } = row;
  return new WatershedError(
    'corrupt',
    `the ledger of landing ${landing} does not end at ${from} in partition ${partition} of ${topic}: ` +
      `with the records to ${to} it would get a gap or an overlap`,
    {
      cause,
      hint: 'Stop the writer: the offsets in the table and the ledger disagree.',
      context: { landing, logIdentity, partition, from, to },
    },
  );
}
