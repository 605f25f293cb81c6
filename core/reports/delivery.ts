import { WatershedError } from '../errors.ts';

export type DeliveryFormat = 'html' | 'csv' | 'xlsx' | 'pdf' | 'json';

/** Where one file of a run goes. */
export interface Delivery {
  readonly kind: 'file' | 'mail' | 'webhook' | 'store';
  /**
   * An address of mail, an http(s) address, a folder below `reports/` in the object store (may be empty), or nothing
   * for a file that is fetched here.
   */
  readonly target: string;
  readonly format: DeliveryFormat;
}

/** Throws `bad_request` for a recipient that cannot be one. */
export function checkDeliveries(deliveries: readonly Delivery[]): void {
  for (const { kind, target } of deliveries) {
    const wrong = (why: string): never => { throw new WatershedError('bad_request', `a report cannot go to "${target}": ${why}`); };
    // A line break in an address would begin a header of its own.
    if (kind === 'mail' && !/^[^\s@<>,;"]+@[^\s@<>,;"]+$/.test(target)) wrong('it is no address of mail');
    if (kind === 'webhook' && !(URL.canParse(target) && /^https?:$/.test(new URL(target).protocol))) wrong('it is no http address');
    // Nothing may leave the folder that reports have in the store.
    if (kind === 'store' && !/^(?:[A-Za-z0-9_][\w.-]*(?:\/[A-Za-z0-9_][\w.-]*)*)?$/.test(target)) wrong('a folder is letters, digits, - _ . and /');
  }
}

/** `alberta-daily-2013-06-21T0700Z.pdf` */
export function fileName(ownerId: string, slot: number, format: string): string {
  return `${ownerId}-${new Date(slot).toISOString().slice(0, 16).replace(':', '')}Z.${format}`;
}
