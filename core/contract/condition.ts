/**
 * What an alert watches, and what a report may ask for before it is sent. `event` narrows it to one event.
 *
 * - `burst`: the posts of the last `minutes` are at least `times` what is usual in the 24 hours before.
 * - `stall`: a network that brought posts has brought none for `minutes`.
 * - `gap`: a collector is not connected, or what it missed in the last hour was not filled.
 * - `posts`: more than `above` posts: of a report's own time, of an alert's last `minutes`.
 * - `rows`: a statement returns at least one row.
 */
export type Condition =
  | { readonly kind: 'burst'; readonly event?: string; readonly minutes?: number; readonly times?: number }
  | { readonly kind: 'stall'; readonly event?: string; readonly source?: string; readonly minutes?: number }
  | { readonly kind: 'gap'; readonly event?: string; readonly source?: string }
  | { readonly kind: 'posts'; readonly event?: string; readonly above: number; readonly minutes?: number }
  | { readonly kind: 'rows'; readonly sql: string };
