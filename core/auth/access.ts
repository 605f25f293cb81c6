import { WatershedError } from '../errors.ts';

/** Who asks: the bearer of a token, or of a session that a token vouches for. */
export interface Principal {
  /** `admin`, `analyst`, or the name of a token. */
  readonly name: string;
  readonly kind: 'admin' | 'read';
  /** Which token that is, in a form that opens nothing: its SHA-256 in hexadecimal. Not for logs or answers. */
  readonly credential: string;
}

/** Everything that a door asks for, by the name of what is done. */
export const actions = [
  'query', // statements on the tables, through any door
  'read_store', // schema store as well: there lie also posts that must be forgotten, and those of deleted events
  'read_events', // events, their history, live counts
  'change_events', // create, edit, pause, archive, delete; load an archive; replay quarantine
  'read_reports', // saved queries, reports and what they produced
  'save_queries', // keep queries of one's own; those of others belong to change_reports
  'change_reports',
  'read_status', // jobs, health, lag
  'operate', // retry jobs, upkeep
  'manage_tokens', // tokens, sessions, one-time codes for others
] as const;
export type Action = (typeof actions)[number];

const forReaders: ReadonlySet<Action> = new Set(['query', 'read_events', 'read_reports', 'save_queries', 'read_status']);

/**
 * Every decision of every door. `event` is the id of the event that the action is about, where it is about one:
 * grants per event come later, and the doors name it already.
 */
export function can(principal: Principal, action: Action, _event?: string): boolean {
  return principal.kind === 'admin' || forReaders.has(action);
}

/** Throws `forbidden` where `can` says no. */
export function requireCan(principal: Principal, action: Action, event?: string): void {
  if (can(principal, action, event)) return;
  throw new WatershedError(
    'forbidden',
    `${principal.name} may read and query; ${action.replaceAll('_', ' ')} needs an admin token`,
    {
      hint: 'ask an administrator, or use the admin token',
      context: { action, event },
    },
  );
}
