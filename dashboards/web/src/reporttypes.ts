import type { Condition } from '#core/contract/condition.ts';
import type { Part } from '#core/contract/report.ts';
import { count } from './parts.tsx';

/** Reports and alerts as the HTTP API gives and takes them. */

export const formats = ['html', 'pdf', 'xlsx', 'csv'] as const;
export type Format = (typeof formats)[number];

export interface Delivery {
  readonly kind: 'file' | 'mail' | 'webhook' | 'store';
  readonly target: string;
  readonly format: Format;
}

export interface ReportBody {
  readonly name: string;
  readonly layout: string;
  readonly parameters: { readonly event?: string; readonly hours?: number };
  readonly content: readonly Part[];
  readonly cron: string;
  readonly timeZone: string;
  readonly catchUp: 'skip' | 'last' | 'all';
  readonly deliveries: readonly Delivery[];
  readonly condition: Condition | null;
  readonly keepDays: number;
}

export interface ReportView extends ReportBody {
  readonly id: string;
  readonly owner: string;
  readonly status: 'active' | 'paused';
  readonly version: number;
  /** Signs webhooks; only for who may change reports. */
  readonly secret?: string;
  readonly nextAt: string | null;
}

export interface Layout {
  readonly name: string;
  readonly title: string;
  readonly description: string;
  readonly hours: number;
}

export interface Recipient {
  readonly kind: 'mail' | 'webhook';
  readonly target: string;
}

export interface AlertBody {
  readonly name: string;
  readonly condition: Condition;
  readonly forMinutes: number;
  readonly recipients: readonly Recipient[];
}

export interface AlertView extends AlertBody {
  readonly id: string;
  readonly owner: string;
  readonly status: 'active' | 'paused';
  readonly version: number;
  readonly secret?: string;
  readonly firingSince: string | null;
  readonly checkedAt: string | null;
  readonly detail: string | null;
  readonly error: string | null;
}

/** What a condition says now. */
export interface Verdict {
  readonly holds: boolean;
  readonly detail: string;
}

export interface RunView {
  readonly id: string;
  readonly slot: string;
  readonly version: number;
  readonly kind: 'scheduled' | 'test' | 'begun' | 'over';
  readonly state: 'planned' | 'delivering' | 'done' | 'failed' | 'skipped' | 'unmet';
  readonly error: string | null;
  readonly note: string | null;
  readonly formats: readonly string[];
  readonly deliveries: readonly {
    readonly kind: Delivery['kind']; readonly target: string; readonly format: string; readonly state: string; readonly attempts: number;
    readonly perhapsTwice: boolean; readonly error: string | null; readonly sentAt: string | null;
    readonly location: string | null;
  }[];
}

export const json = { 'content-type': 'application/json' };

/** A condition in words. */
export function conditionText(condition: Condition): string {
  const of = 'event' in condition && condition.event !== undefined ? ` in ${condition.event}` : '';
  const from = 'source' in condition && condition.source !== undefined ? ` from ${condition.source}` : '';
  switch (condition.kind) {
    case 'burst': return `the posts of ${condition.minutes ?? 10} minutes are ${condition.times ?? 5} times what is usual${of}`;
    case 'stall': return `no post${from}${of} for ${condition.minutes ?? 15} minutes`;
    case 'gap': return `a gap in collecting is open${from}${of}`;
    case 'posts': return `more than ${count.format(condition.above)} posts${of}${condition.minutes === undefined ? '' : ` in ${condition.minutes} minutes`}`;
    case 'rows': return `a statement returns a row: ${condition.sql.slice(0, 120)}`;
  }
}

/** Where something goes, in words. */
export function deliveryText(
  { kind, target, format }: { readonly kind: string; readonly target: string; readonly format: string },
): string {
  const where = kind === 'file' ? 'fetched here' : kind === 'store' ? `object store, folder reports/${target}` : target;
  return `${where} (${format.toUpperCase()})`;
}

/** "2013-06-21 13:00 UTC" */
export function minuteText(instant: string): string {
  return `${instant.slice(0, 16).replace('T', ' ')} UTC`;
}
